"""The notifier under kills and stalls: nothing lost, nothing planned twice, every repetition under the same id."""

import asyncio
import json
import os
import random
import signal
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.store.deliveries import Deliveries
from shared.db import create_engine
from shared.schemas.recalibration import Recalibration
from tests.integration.notifier.made import recalibration
from tests.integration.notifier.process import Process, System
from tests.integration.notifier.process import system as make_system
from tests.integration.notifier.receiver import Receiver
from tests.waiting import eventually

pytestmark = pytest.mark.faults

KILLS = max(2, int(os.environ.get("HEADROOM_FAULT_RUNS", "4")) // 2)
TAKEOVER = 15.0


@pytest.fixture
async def system(kafka: str, topic_prefix: str, database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    async with make_system(kafka, topic_prefix, database_url, tmp_path) as system:
        yield system


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url)
    yield engine
    await engine.dispose()


async def test_a_killed_workers_delivery_is_taken_over_under_the_same_id(
    system: System, receiver: Receiver, engine: AsyncEngine
) -> None:
    first = await system.start(HEADROOM_NOTIFIER__TIMEOUT="300")
    await first.subscribe(receiver.answer("hook", receiver.hang, 200))
    await system.tell(recalibration())
    await eventually(lambda: receiver.got)
    second = await system.start()
    first.kill()  # sent, and not yet marked
    await eventually(lambda: len(receiver.got) == 2, within=TAKEOVER)
    one, again = receiver.got
    assert (one.event, one.body) == (again.event, again.body)
    await eventually(lambda: all_ended(engine))
    assert second.child.poll() is None


async def test_a_stalled_worker_that_wakes_up_changes_nothing_any_more(
    system: System, receiver: Receiver, engine: AsyncEngine
) -> None:
    first = await system.start(HEADROOM_NOTIFIER__TIMEOUT="300")
    await first.subscribe(receiver.answer("hook", receiver.hang, 200))
    await system.tell(recalibration())
    await eventually(lambda: receiver.got)
    await system.start()
    first.child.send_signal(signal.SIGSTOP)
    await eventually(lambda: all_ended(engine), within=TAKEOVER + 10)
    receiver.release()
    first.child.send_signal(signal.SIGCONT)

    async def lost() -> bool:
        [delivery] = await Deliveries(engine).listed(limit=10)
        found = await Deliveries(engine).get(delivery.id)
        assert found is not None
        return sorted(line.outcome for line in found[1]) == ["delivered", "lost"]

    await eventually(lost)
    [delivery] = await Deliveries(engine).listed(limit=10)
    assert (delivery.state, delivery.attempts) == ("delivered", 1)


async def all_ended(engine: AsyncEngine) -> bool:
    every = await Deliveries(engine).listed(limit=1)
    return bool(every) and not await Deliveries(engine).listed(limit=1, state="pending")


async def test_kills_under_load_lose_and_double_nothing(
    system: System, receiver: Receiver, engine: AsyncEngine
) -> None:
    """Recalibrations stream in while notifiers die; each must be planned once per subscription and arrive."""
    process = await system.start()
    for path in ("a", "b"):
        await process.subscribe(receiver.url(path))
    told: list[Recalibration] = []
    enough = asyncio.Event()

    async def tell() -> None:
        for n in count():
            if enough.is_set():
                return
            for transition, kind in STEPS:
                told.append(recalibration(f"r{n}", transition, kind))
                await system.tell(told[-1])
                await asyncio.sleep(0.03)

    telling = asyncio.create_task(tell())
    for _ in range(KILLS):
        arrived = len(receiver.got)
        await eventually(lambda: len(receiver.got) > arrived + random.randrange(20), within=60)  # noqa: B023
        process.kill()
        process.start()
    enough.set()
    await telling
    wanted = Counter({(path, one.event_id): 1 for path in ("a", "b") for one in told})

    def arrived_all() -> bool:
        return {(got.path, got.event) for got in receiver.got} == set(wanted)

    await eventually(arrived_all, within=60)
    await eventually(lambda: all_ended(engine), within=60)
    planned = await Deliveries(engine).listed(limit=10_000)
    assert len(planned) == len({(one.subscription, one.event) for one in planned}) == len(wanted)
    bodies = {(got.path, got.event): set[str]() for got in receiver.got}
    for got in receiver.got:
        bodies[got.path, got.event].add(got.body)
    assert all(len(seen) == 1 for seen in bodies.values())


async def test_kills_while_a_storm_is_gathered_lose_and_double_nothing(
    system: System, receiver: Receiver, engine: AsyncEngine
) -> None:
    """Grouped ones stream in while notifiers die; each is in one message, however often that is sent."""
    quick = {"HEADROOM_NOTIFIER__GROUP_WINDOW": "0.3", "HEADROOM_NOTIFIER__POLL": "0.1"}
    process = await system.start(**quick)
    await process.subscribe(receiver.url())
    told: list[Recalibration] = []
    enough = asyncio.Event()

    async def tell() -> None:
        while not enough.is_set():
            told.append(recalibration(f"r{len(told)}", grouped=True))
            await system.tell(told[-1])
            await asyncio.sleep(0.03)

    telling = asyncio.create_task(tell())
    for _ in range(KILLS):
        arrived = len(receiver.got)
        await eventually(lambda: len(receiver.got) > arrived, within=60)  # noqa: B023
        process.kill()
        process.start()
    enough.set()
    await telling

    def messages() -> dict[str, str]:
        """By their ids, which stay the same when one is sent again, as its content does."""
        found: dict[str, str] = {}
        for got in receiver.got:
            assert found.setdefault(got.event, got.body) == got.body
        return found

    def times_told() -> Counter[str]:
        bodies = [json.loads(body)["data"]["recalibrations"] for body in messages().values()]
        return Counter(one["event_id"] for body in bodies for one in body)

    await eventually(lambda: len(times_told()) == len(told), within=60)
    assert set(times_told().values()) == {1}
    assert len(messages()) < len(told)


STEPS = ((1, "firing"), (2, "updated"), (3, "resolved"))

# The outbox row cannot be marked until the trigger is gone: the relay stands between its two effects.
HOLD = """
CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(600); RETURN NEW; END $$;
CREATE TRIGGER hold BEFORE UPDATE ON outbox FOR EACH ROW EXECUTE FUNCTION hold();
"""
HOLDING = """
SELECT pid FROM pg_stat_activity
WHERE datname = current_database() AND query LIKE 'UPDATE outbox%' AND wait_event = 'PgSleep'
"""


async def test_a_relay_killed_between_sending_and_marking_repeats_the_same_decision(
    system: System, engine: AsyncEngine
) -> None:
    first = await system.start()
    await system.tell(recalibration())
    await eventually(lambda: knows(first))
    await execute(engine, *HOLD.strip().rsplit("\n", 1))
    status, given = await first.post("/v1/recalibrations/r1/acknowledge", {"by": "ada"})
    assert status == 201
    holding = await eventually(lambda: rows(engine, HOLDING))
    first.kill()
    for pid in holding:
        await execute(engine, f"SELECT pg_terminate_backend({pid})")
    await execute(engine, "DROP TRIGGER hold ON outbox")

    second = await system.start()
    status, after = await second.post("/v1/recalibrations/r1/decide", {"by": "ada", "why": "next"})
    assert status == 201
    assert [one.id for one in await system.decided(3)] == [given["id"], given["id"], after["id"]]


async def knows(process: Process) -> bool:
    return (await process.get("/v1/recalibrations/r1"))[0] == 200


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(sa.text(statement))


async def rows(engine: AsyncEngine, query: str) -> list[int]:
    async with engine.connect() as connection:
        return list((await connection.execute(sa.text(query))).scalars())


async def test_another_relay_takes_over_from_a_killed_one(system: System, engine: AsyncEngine) -> None:
    first = await system.start()
    second = await system.start()
    await system.tell(recalibration())
    await eventually(lambda: knows(first))
    given = [await decide(first, n) for n in range(3)]
    await eventually(lambda: system.has_decided(given))
    first.kill()
    given += [await decide(second, n) for n in range(3, 6)]
    await eventually(lambda: system.has_decided(given))


async def decide(process: Process, step: int) -> str:
    status, answer = await process.post("/v1/recalibrations/r1/decide", {"by": "ada", "why": f"step {step}"})
    assert status == 201
    return str(answer["id"])
