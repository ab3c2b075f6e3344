"""The read models on a real database: what frames and deals leave there."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.capacity.store.reading import ReadingModels
from services.capacity.store.writing import Changes, Writing, WritingModels
from services.capacity.views import ViewsSink
from shared.db import create_engine, upgrade
from shared.schemas import deal, frame
from shared.schemas.deal import Deal, Line
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame, ListedDeal
from shared.schemas.position import Position, TopDeal, WorkState
from shared.streams.shards import Batch
from shared.topics import DEALS, FRAMES
from tests.unit.triggers.scenes import MONDAY, WEEK, Written, at, position, slipping
from tests.unit.triggers.test_trigger_shard import story
from tests.unit.views.test_views_fold import one_by_one


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    await asyncio.to_thread(upgrade, database_url)
    made = create_engine(database_url)
    yield made
    await made.dispose()


@pytest.fixture
def sink(engine: AsyncEngine) -> ViewsSink:
    return ViewsSink(WritingModels(engine), lambda: None)


def frames_at(first: int, frames: Sequence[Frame]) -> Batch:
    records = [Written(first + i, None, frame.encode(one)) for i, one in enumerate(frames)]
    return Batch(FRAMES, 0, records, first + len(records))


def deals_at(first: int, deals: Sequence[Deal], partition: int = 0) -> Batch:
    records = [Written(first + i, one.id.encode(), deal.encode(one)) for i, one in enumerate(deals)]
    return Batch(DEALS, partition, records, first + len(records))


def made(object_: str, version: int = 1, **fields: object) -> Deal:
    return Deal(id=f"crm/{object_}", source="crm", object=object_, version=version, **fields)  # type: ignore[arg-type]


async def tables(engine: AsyncEngine) -> tuple[list[Position], list[WorkState], list[ListedDeal]]:
    async with ReadingModels(engine).snapshot() as snapshot:
        positions = await snapshot.positions(None, None, None, None, 10_000)
        return positions, await snapshot.work(), await snapshot.listed(None, None, 10_000)


async def test_any_batches_leave_what_the_frames_say(engine: AsyncEngine, sink: ViewsSink) -> None:
    chance = random.Random(5)
    frames = story(5, 120)
    begin = 0
    while begin < len(frames):
        end = min(len(frames), begin + chance.randint(1, 9))
        again = max(0, begin - chance.randint(0, 3))  # a crash repeats what was not acknowledged
        await sink.apply(frames_at(again, frames[again:end]))
        begin = end
    positions, work, listed, _ = one_by_one(({}, {}, [], {}), frames)
    found = await tables(engine)
    assert found[0] == [positions[key] for key in sorted(positions)]
    assert found[1] == [work[key] for key in sorted(work)]
    assert found[2] == listed
    async with ReadingModels(engine).snapshot() as snapshot:
        shown = await snapshot.projection()
    assert shown is not None
    assert (shown.frame, shown.as_of, shown.plan) == (119, frames[-1].now, frames[-1].plan)


async def test_listed_deals_are_replaced_only_by_another_list(engine: AsyncEngine, sink: ViewsSink) -> None:
    stale = ListedDeal("crm/1", "stale", 10.0)
    await sink.apply(frames_at(0, [at(0, complete=True, listed=[stale, ListedDeal("crm/2", "no-needs")])]))
    await sink.apply(frames_at(1, [at(1)]))
    assert len((await tables(engine))[2]) == 2
    await sink.apply(frames_at(2, [at(2, listed=[stale])]))
    assert (await tables(engine))[2] == [stale]


async def test_forecasts_change_one_by_one_and_a_complete_frame_replaces_them(
    engine: AsyncEngine, sink: ViewsSink
) -> None:
    async def shown() -> dict[tuple[str, str], float]:
        async with ReadingModels(engine).snapshot() as snapshot:
            return {(one.period, one.segment): one.bookings for one in await snapshot.forecasts(None, None)}

    def of(**bookings: float) -> list[Forecast]:
        return [Forecast(period="2026-Q2", segment=name, at=MONDAY, bookings=value) for name, value in bookings.items()]

    await sink.apply(frames_at(0, [at(0, complete=True, forecasts=of(large=1.0, small=2.0))]))
    await sink.apply(frames_at(1, [at(1, forecasts=of(small=3.0)), at(2)]))
    assert await shown() == {("2026-Q2", "large"): 1.0, ("2026-Q2", "small"): 3.0}
    await sink.apply(frames_at(3, [at(3, complete=True, forecasts=of(small=4.0))]))
    assert await shown() == {("2026-Q2", "small"): 4.0}


async def test_an_earlier_worker_changes_nothing_any_more(engine: AsyncEngine, sink: ViewsSink) -> None:
    await sink.apply(frames_at(0, [at(0, position(0, 0.1), complete=True), at(1, position(0, 0.9))]))
    await sink.apply(frames_at(0, [at(0, position(0, 0.1), complete=True)]))
    assert [one.overload for one in (await tables(engine))[0]] == [0.9]
    assert await sink.positions() == {(FRAMES, 0): 2}


async def test_a_table_told_in_parts_is_shown_whole_or_not_at_all(engine: AsyncEngine, sink: ViewsSink) -> None:
    """Killed between the parts, the next worker reads them again from the first."""
    await sink.apply(frames_at(0, [at(0, position(0, 0.1), position(1, 0.1), complete=True)]))
    parts = [at(1, position(0, 0.9), complete=True, more=True), at(1, position(1, 0.9), more=True)]
    last = at(1, position(2, 0.9))
    await sink.apply(frames_at(1, parts[:1]))
    await sink.apply(frames_at(2, parts[1:]))
    assert [one.overload for one in (await tables(engine))[0]] == [0.1, 0.1]

    successor = ViewsSink(WritingModels(engine), lambda: None)
    assert await successor.positions() == {(FRAMES, 0): 1}
    await successor.apply(frames_at(1, parts))
    await successor.apply(frames_at(3, [last]))
    assert [one.overload for one in (await tables(engine))[0]] == [0.9, 0.9, 0.9]
    assert await successor.positions() == {(FRAMES, 0): 4}


async def test_a_failure_leaves_neither_rows_nor_offset(
    engine: AsyncEngine, sink: ViewsSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sink.apply(frames_at(0, [at(0, position(0, 0.1), complete=True)]))
    write = Writing.frames

    async def fails(self: Writing, changes: Changes) -> None:
        await write(self, changes)
        raise RuntimeError("behind what was written")

    monkeypatch.setattr(Writing, "frames", fails)
    with pytest.raises(RuntimeError):
        await sink.apply(frames_at(1, [at(1, position(0, 0.9))]))
    assert [one.overload for one in (await tables(engine))[0]] == [0.1]
    assert await sink.positions() == {(FRAMES, 0): 1}


async def test_a_frame_that_cannot_be_read_is_passed_over_with_its_offset(engine: AsyncEngine, sink: ViewsSink) -> None:
    records = [Written(0, None, frame.encode(at(0, position(0, 0.1), complete=True))), Written(1, None, b"{")]
    await sink.apply(Batch(FRAMES, 0, records, 2))
    assert [one.overload for one in (await tables(engine))[0]] == [0.1]
    assert await sink.positions() == {(FRAMES, 0): 2}


async def test_deals_are_kept_whole_and_only_newer_ones_replace_them(engine: AsyncEngine, sink: ViewsSink) -> None:
    lines = [Line("enterprise", quantity=3.0, custom=True)]
    whole = made("1", 3, name="Überlange Röhre\0", stage="commit", amount=1e-7, lines=lines)
    await sink.apply(deals_at(0, [made("1", 2, stage="qualified"), whole, made("2", 1)]))
    await sink.apply(deals_at(3, [made("1", 1, stage="qualified"), made("3", 1)], partition=1))
    async with ReadingModels(engine).snapshot() as snapshot:
        assert await snapshot.deal("crm/1") == Deal(**{**_fields(whole), "name": "Überlange Röhre�"})
        assert await snapshot.deal("crm/3") == made("3", 1)
        assert await snapshot.deal("crm/9") is None
    assert await sink.positions() == {(DEALS, 0): 3, (DEALS, 1): 5}


async def test_a_record_taken_back_is_forgotten(engine: AsyncEngine, sink: ViewsSink) -> None:
    await sink.apply(deals_at(0, [made("1")]))
    await sink.apply(Batch(DEALS, 0, [Written(1, b"crm/1", None)], 2))
    async with ReadingModels(engine).snapshot() as snapshot:
        assert await snapshot.deal("crm/1") is None


async def test_a_deal_finds_what_it_stresses(engine: AsyncEngine, sink: ViewsSink) -> None:
    other = position(2, 0.5, top=[TopDeal("crm/11", 5.0, 0.1)])
    frames = [at(0, position(0, 0.9), position(1, 0.2), other, complete=True, work=[slipping(3.0)])]
    await sink.apply(frames_at(0, frames))
    async with ReadingModels(engine).snapshot() as snapshot:
        positions, work = await snapshot.stressed_by("crm/1")
        assert [one.week for one in positions] == ["2026-W14", "2026-W15"]
        assert [one.work for one in work] == ["release"]
        assert await snapshot.stressed_by("crm/9") == ([], [])


async def test_pools_are_summed_up_from_the_present_week_on(engine: AsyncEngine, sink: ViewsSink) -> None:
    weeks = [position(-1, 0.99), position(0, 0.1), position(1, 0.5), position(2, 0.7), position(3, 0.8)]
    await sink.apply(frames_at(0, [at(0, *weeks, position(0, 0.2, pool="engineering"), complete=True)]))
    async with ReadingModels(engine).snapshot() as snapshot:
        found = await snapshot.pools(WEEK)
    assert (found["implementation"].next_overloaded, found["implementation"].worst_week) == ("2026-W16", "2026-W17")
    assert (found["engineering"].next_overloaded, found["engineering"].worst) == (None, 0.2)


def _fields(one: Deal) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}
