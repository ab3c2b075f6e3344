"""The whole process, from the log to a receiver and back to the log."""

import json
from typing import Any

from shared.schemas.decision import Effect
from shared.topics import PLANS, RECALIBRATIONS
from tests.integration.notifier.made import plan_record, recalibration
from tests.integration.notifier.process import Process, System
from tests.integration.notifier.receiver import Receiver
from tests.waiting import eventually


async def known(process: Process, identity: str) -> Any:
    """What the API says of a recalibration, once it knows it."""

    async def question() -> Any:
        status, body = await process.get(f"/v1/recalibrations/{identity}")
        return body if status == 200 else None

    return await eventually(question)


async def test_from_the_log_to_the_receiver_and_back(system: System, receiver: Receiver) -> None:
    await system.write(PLANS, plan_record(may_decide={"hours": 100}))
    process = await system.start()
    made = await process.subscribe(receiver.url(), pools=["engineering"], severity="warning")
    await system.tell(recalibration(), recalibration("other", pool="support", scope="support"))
    await eventually(lambda: receiver.got)
    message = receiver.got[0].verified(made["secret"])
    assert message["data"]["id"] == "r1"

    await known(process, "r1")
    seen = await process.post("/v1/recalibrations/r1/acknowledge", {"by": "ada", "note": "on it"})
    effects = [{"pool": "engineering", "weeks": ["2026-W14", "2026-W15"], "amount": 80}]
    words = {"by": "grace", "why": "two contractors", "action": "contractors", "effects": effects}
    refused = await process.post("/v1/recalibrations/r1/decide", words | {"by": "ada"})
    assert (refused[0], refused[1]["may"]) == (403, ["grace"])
    decided = await process.post("/v1/recalibrations/r1/decide", words)
    assert (seen[0], decided[0]) == (201, 201)

    acknowledged, decision = await system.decided(2)
    assert (acknowledged.kind, acknowledged.by, acknowledged.why) == ("acknowledged", "ada", "on it")
    assert (decision.kind, decision.by, decision.action) == ("decided", "grace", "contractors")
    assert decision.effects == [Effect("engineering", ["2026-W14", "2026-W15"], 80.0)]
    assert decision.recalibration == "r1"
    assert decision.id == decided[1]["id"]
    assert [answer["kind"] for answer in (await known(process, "r1"))["answers"]] == ["acknowledged", "decided"]

    assert [one.path for one in receiver.got] == ["hook"]
    assert await process.stop() == 0


async def test_it_ends_when_told_to_while_it_waits_for_topics(system: System) -> None:
    process = await system.spawn(HEADROOM_KAFKA__TOPIC_PREFIX=f"{system.kafka.topic_prefix}none-")
    await eventually(lambda: "waiting for topics" in process.log.read_text(), within=60)
    assert await process.stop() == 0


async def test_its_series_and_its_log_do_not_show_secrets(system: System, receiver: Receiver) -> None:
    process = await system.start(HEADROOM_LOG_LEVEL="debug")
    made = await process.subscribe(receiver.answer("hook", 500))
    await system.tell(recalibration())
    await eventually(lambda: receiver.got)

    async def series() -> str:
        async with process.api.get("/metrics") as response:
            return await response.text()

    async def counted() -> bool:
        return 'headroom_notifier_attempts_total{channel="webhook",outcome="again"} 1.0' in await series()

    await eventually(counted)
    text = await series()
    for name in ("deliveries_pending", "oldest_undelivered_seconds", "outbox_pending", "relaying", "database_up"):
        assert f"\nheadroom_notifier_{name} " in text
    secret = made["secret"].removeprefix("whsec_")
    assert secret not in text
    assert secret not in process.log.read_text()
    _, listed = await process.get("/v1/subscriptions")
    assert secret not in json.dumps(listed)


async def test_answers_reach_the_log_in_the_order_in_which_they_were_given(system: System) -> None:
    process = await system.start()
    rival = await system.start()
    await system.tell(*(recalibration(f"r{n}") for n in range(10)))
    await known(process, "r9")
    given = []
    for n in range(40):
        words = {"by": "ada", "why": f"step {n}"}
        status, answer = await (process, rival)[n % 2].post(f"/v1/recalibrations/r{n % 10}/decide", words)
        assert status == 201, answer
        given.append(answer["id"])
    assert [one.id for one in await system.decided(40)] == given


async def test_broken_records_do_not_stop_it(system: System, receiver: Receiver) -> None:
    process = await system.start()
    await process.subscribe(receiver.url())
    for broken in (b"{", b"\xff\xfe", b'{"id":1}'):
        await system.write(RECALIBRATIONS, broken)
    await system.tell(recalibration())
    await eventually(lambda: receiver.got)
