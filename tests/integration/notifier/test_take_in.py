"""Recalibrations from the log into PostgreSQL: planned once, whatever comes again and whatever breaks."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.consumer import RecalibrationSink
from services.notifier.domain.routing import Filters
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.feed import Feed, lock_appending
from services.notifier.store.recalibrations import OPEN, STATES, Recalibrations
from services.notifier.store.subscriptions import Subscriptions
from services.notifier.store.tables import deliveries, metadata
from shared.schemas import dead_letter as dead_letters
from shared.streams.dead_letters import TooManyBroken
from shared.streams.shards import Outgoing
from tests.integration.notifier.made import arrivals, batch, recalibration, subscribe
from tests.waiting import eventually

URL = "https://hooks.example.com/in"


async def test_the_tables_are_those_of_the_migration(engine: AsyncEngine) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        ours = set(metadata.tables)

        def include(found: object, name: str | None, kind: str, *_: object) -> bool:
            return kind != "table" or name in ours

        options = {"include_object": include, "compare_type": True, "compare_server_default": False}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))

    async with engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_a_transition_is_stored_planned_and_put_into_the_feed_once(engine: AsyncEngine) -> None:
    all_of_it = await subscribe(engine, URL)
    await subscribe(engine, URL, Filters(pools=frozenset({"support"})))
    store = Recalibrations(engine)
    for _ in range(3):
        await store.take_in(arrivals(recalibration()))
    planned = await Deliveries(engine).listed(limit=10)
    assert [(one.subscription, one.type, one.state) for one in planned] == [
        (all_of_it.id, "recalibration.firing", "pending")
    ]
    assert [entry.type for entry in await Feed(engine).after(0, 10)] == ["recalibration.firing"]


async def test_an_older_transition_changes_nothing(engine: AsyncEngine) -> None:
    await subscribe(engine, URL)
    store = Recalibrations(engine)
    await store.take_in(arrivals(recalibration(transition=3, kind="mitigated")))
    taken = await store.take_in(arrivals(recalibration(transition=2, kind="updated"), recalibration(transition=3)))
    assert taken.fresh == []
    [known] = await store.listed(kinds=STATES["mitigated"], pool="engineering", limit=10, before=None)
    assert '"mitigated"' in known.body
    assert len(await Deliveries(engine).listed(limit=10)) == 1


async def test_several_transitions_in_one_batch_are_each_planned_and_the_last_is_stored(engine: AsyncEngine) -> None:
    await subscribe(engine, URL)
    store = Recalibrations(engine)
    whole = arrivals(
        *(recalibration(transition=n, kind=kind) for n, kind in enumerate(("firing", "updated", "resolved")))
    )
    await store.take_in(whole[:2])
    taken = await store.take_in(whole)
    assert [one.kind for one in taken.fresh] == ["resolved"]
    assert len(await Deliveries(engine).listed(limit=10)) == 3
    assert await store.listed(kinds=OPEN, pool=None, limit=10, before=None) == []


async def test_a_batch_larger_than_one_insert_is_planned_whole(engine: AsyncEngine) -> None:
    for _ in range(3):
        await subscribe(engine, URL)
    taken = await Recalibrations(engine).take_in(arrivals(*(recalibration(f"r{n}") for n in range(700))))
    assert taken.planned == {"recalibration.firing": 2100}


async def eventually_locked_out(engine: AsyncEngine, count: int, other: asyncio.Task[Any] | None = None) -> None:
    """Until ``count`` transactions wait for a lock, or ``other`` is over."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def locked_out() -> bool:
        async with engine.connect() as connection:
            return bool(await connection.scalar(waiting) == count) or (other is not None and other.done())

    await eventually(locked_out)


async def assert_all_given_up(engine: AsyncEngine, count: int) -> None:
    found = await Deliveries(engine).listed(limit=10)
    assert [one.state for one in found] == ["given-up"] * count


async def test_what_is_planned_while_its_subscription_is_deleted_is_given_up(engine: AsyncEngine) -> None:
    to = await subscribe(engine, URL)
    async with engine.connect() as holding:
        await lock_appending(holding)  # the last that taking in waits for: its deliveries are planned by then
        taking = asyncio.create_task(Recalibrations(engine).take_in(arrivals(recalibration())))
        await eventually_locked_out(engine, 1)
        deleting = asyncio.create_task(Subscriptions(engine).delete(to.id))
        await eventually_locked_out(engine, 2, deleting)
        await holding.rollback()
    await asyncio.wait_for(asyncio.gather(taking, deleting), 10)
    await assert_all_given_up(engine, 1)


async def test_nothing_is_planned_to_a_subscription_that_is_being_deleted(engine: AsyncEngine) -> None:
    to = await subscribe(engine, URL)
    store = Recalibrations(engine)
    await store.take_in(arrivals(recalibration("r1")))
    async with engine.connect() as holding:
        await holding.execute(sa.select(deliveries.c.id).with_for_update())  # as a settlement does
        deleting = asyncio.create_task(Subscriptions(engine).delete(to.id))
        await eventually_locked_out(engine, 1)
        taking = asyncio.create_task(store.take_in(arrivals(recalibration("r2"))))
        await eventually_locked_out(engine, 2, taking)
        await holding.rollback()
    await asyncio.wait_for(asyncio.gather(taking, deleting), 10)
    await assert_all_given_up(engine, 1)


async def test_nothing_is_sent_again_to_a_subscription_that_is_being_deleted(engine: AsyncEngine) -> None:
    to = await subscribe(engine, URL)
    await Recalibrations(engine).take_in(arrivals(recalibration("r1"), recalibration("r2")))
    pending, done = [one.id for one in await Deliveries(engine).listed(limit=2)]
    async with engine.begin() as connection:
        await connection.execute(sa.update(deliveries).where(deliveries.c.id == done).values(state="given-up"))
    async with engine.connect() as holding:
        await holding.execute(sa.select(deliveries.c.id).where(deliveries.c.id == pending).with_for_update())
        deleting = asyncio.create_task(Subscriptions(engine).delete(to.id))
        await eventually_locked_out(engine, 1)
        sending = asyncio.create_task(Deliveries(engine).replay(done))
        await eventually_locked_out(engine, 2, sending)
        await holding.rollback()
    again, _ = await asyncio.wait_for(asyncio.gather(sending, deleting), 10)
    assert again is None
    await assert_all_given_up(engine, 2)


class Graves:
    """Where the sink's dead letters go, and how often it told of a stored batch."""

    def __init__(self) -> None:
        self.letters: list[dead_letters.DeadLetter] = []
        self.taken = 0

    async def bury(self, letters: Sequence[Outgoing]) -> None:
        self.letters += [dead_letters.decode(letter.value or b"") for letter in letters]

    def sink(self, engine: AsyncEngine) -> RecalibrationSink:
        def taken() -> None:
            self.taken += 1

        return RecalibrationSink(Recalibrations(engine), bury=self.bury, taken=taken, waiting=lambda: None)


async def test_a_record_that_cannot_be_read_is_buried_and_the_rest_is_taken_in(engine: AsyncEngine) -> None:
    graves = Graves()
    nul = recalibration("r2", summary="a\0b")
    await graves.sink(engine).apply(batch(b"{", recalibration(), None, b'{"id": 1}', nul))
    assert [letter.offset for letter in graves.letters] == [0, 3, 4]
    assert {letter.reason for letter in graves.letters} == {"not-a-recalibration"}
    assert len(await Recalibrations(engine).listed(kinds=None, pool=None, limit=10, before=None)) == 1
    assert graves.taken == 1


async def test_too_many_broken_records_end_it(engine: AsyncEngine) -> None:
    with pytest.raises(TooManyBroken):
        await Graves().sink(engine).apply(batch(*[b"{"] * 50))
