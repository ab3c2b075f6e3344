"""The normaliser as a process on real Kafka: what the door took in becomes deals, reports, signals and dead letters."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from httpx2 import HTTPError

from shared.schemas import dead_letter, deal
from shared.topics import DEAD_LETTERS, DEALS, HISTORY, INBOX, PLANS, REPORTS, SIGNALS
from tests.integration.ingest.doors import BATCH, Door, free_port, header
from tests.integration.ingest.processes import Process
from tests.integration.ingest.test_door_plans import plan
from tests.waiting import eventually

DATA = Path(__file__).parents[3].parent / "shared" / "data"
TRACE = "00-12345678901234567890123456789012-1234567890123456-01"


@pytest.fixture(scope="module")
async def normaliser(door: Door, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Process]:
    log = tmp_path_factory.mktemp("normaliser") / "log"
    with Process("normalise", door.settings, free_port(), log) as process:
        await eventually(lambda: is_ready(door, process), within=120, what="the normaliser")
        yield process
        assert not process.dead, log.read_text()[-4000:]
        assert process.terminate() == 0, log.read_text()[-4000:]


def event(subject: str, day: int = 1, **more: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "id": f"e-{subject}-{day}", "source": "crm", "type": "com.headroom.deal.changed"}
    return {**base, "subject": subject, "time": f"2026-04-0{day}T12:00:00Z", **more}


async def deals_now(door: Door) -> dict[str, deal.Deal]:
    """Each deal as the log has it last."""
    return {record.key.decode(): deal.decode(record.value) for record in await door.read(DEALS)}


async def test_a_deal_is_merged_from_its_changes(door: Door, normaliser: Process) -> None:
    batch = [
        event("one", 2, data={"stage": "won"}),
        event("one", 1, data={"stage": "open", "amount": 10, "lines": [{"product": "tier", "quantity": 2}]}),
        event("one", 3, data={"amount": None}),
    ]
    assert (await door.send(batch, BATCH, {"traceparent": TRACE})).status_code == 202

    async def merged() -> None:
        found = (await deals_now(door))["crm/one"]
        assert (found.stage, found.amount, found.lines[0].quantity, found.version) == ("won", None, 2.0, 3)

    await eventually(lambda: happens(merged))
    (inbox, *_) = [record for record in await door.read(INBOX) if record.key == b"crm/one"]
    on_deals = [record for record in await door.read(DEALS) if record.key == b"crm/one"]
    on_history = [record for record in await door.read(HISTORY) if record.key == b"crm/one"]
    assert {record.partition for record in (*on_deals, *on_history)} == {inbox.partition}
    assert [deal.decode(record.value).version for record in on_history] == [1, 2, 3]
    assert header(on_deals[-1], "ce_traceparent") == TRACE


async def test_reports_signals_and_poison_go_their_ways(door: Door, normaliser: Process) -> None:
    report = {"kind": "backlog", "pool": "p", "week": "2026-W20", "amount": 12}
    batch = [
        event("r1", type="com.headroom.capacity.reported", data=report),
        event("s1", type="com.headroom.signal.observed", data={"kind": "tickets-opened"}),
    ]
    assert (await door.send(batch, BATCH)).status_code == 202
    assert (await door.hubspot(b'[{"portalId": 1}, 7]')).status_code == 202

    async def there() -> None:
        assert [json.loads(record.key)[0] for record in await door.read(REPORTS)] == ["p"]
        assert [record.key for record in await door.read(SIGNALS)] == [b"crm/e-s1-1"]
        letters = [dead_letter.decode(record.value) for record in await door.read(DEAD_LETTERS)]
        assert {(letter.reason, letter.value) for letter in letters} == {
            ("wrong-shape", b'{"portalId": 1}'),
            ("wrong-shape", b"7"),
        }

    await eventually(lambda: happens(there))


async def test_the_captured_hubspot_bodies(door: Door, normaliser: Process) -> None:
    bodies = [DATA / "payloads" / f"hubspot-{number}.json" for number in (1, 2, 3)]
    if not all(body.exists() for body in bodies):
        pytest.skip("the customer's data (../shared) is not here")
    for body in bodies:
        assert (await door.hubspot(body.read_bytes())).status_code == 202

    async def merged() -> None:
        found = await deals_now(door)
        first, second = found["hubspot-48975575/332507367156"], found["hubspot-5799819/697680835"]
        assert (first.stage, first.amount, first.deleted) == ("qualified", 2000.0, True)
        assert second.stage == "won"

    await eventually(lambda: happens(merged))


async def test_a_published_plan_fills_rates(door: Door, normaliser: Process) -> None:
    await door.send(event("before", data={"currency": "EUR"}))
    headers = {"x-api-key": door.key}
    answer = await door.client.put("/v1/plans/rates", content=plan("rates").encode(), headers=headers)
    assert answer.status_code == 201
    assert len(await door.read(PLANS)) == 1
    await door.send(event("after", data={"currency": "EUR"}))
    await door.send(event("other", data={"currency": "USD"}))

    async def filled() -> None:
        found = await deals_now(door)
        assert [found[f"crm/{name}"].rate for name in ("before", "after", "other")] == [1.0, 1.0, None]

    await eventually(lambda: happens(filled))


async def test_metrics_and_readiness(door: Door, normaliser: Process) -> None:
    assert await is_ready(door, normaliser)
    text = (await door.client.get(f"{normaliser.url}/metrics")).text
    assert "headroom_ingest_normalised_total" in text
    assert "headroom_build_info" in text


async def is_ready(door: Door, process: Process) -> bool:
    if process.dead:
        pytest.fail(f"the process ended: {process.log.read_text()[-4000:]}")
    try:
        return (await door.client.get(f"{process.url}/readyz")).status_code == 200
    except HTTPError:
        return False


async def happens(check: Any) -> bool:
    """Whether ``check`` passes now; what it looks for may not be there yet."""
    try:
        await check()
    except (KeyError, IndexError) as missing:
        raise AssertionError(f"{missing!r}") from missing
    return True
