"""The read models as the sink of ``views`` writes them.

A writing transaction takes the lock of its partition's row in ``views_offsets``, leaves out what that row says is
applied, and moves it on: a batch that comes twice, or from a worker that was replaced, changes nothing.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.capacity.store.as_json import as_json
from services.capacity.store.projection import Projection
from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import ListedCount, ListedDeal
from shared.schemas.position import Position, WorkState

ROWS_PER_STATEMENT = 5000

_LOCK_OFFSET = text("""
    SELECT next_offset FROM views_offsets WHERE topic = :topic AND partition = :partition FOR UPDATE""")
_FIRST_OFFSET = text("""
    INSERT INTO views_offsets (topic, partition, next_offset) VALUES (:topic, :partition, 0) ON CONFLICT DO NOTHING""")
_MOVE_OFFSET = text("""
    UPDATE views_offsets SET next_offset = :next_offset WHERE topic = :topic AND partition = :partition""")
_OFFSETS = text("SELECT topic, partition, next_offset FROM views_offsets")

_CLEAR_POSITIONS = text("DELETE FROM positions")
_CLEAR_WORK = text("DELETE FROM work_states")
_CLEAR_FORECASTS = text("DELETE FROM forecasts")
_CLEAR_LISTED = text("DELETE FROM listed_deals")

_DROP_POSITIONS = text("""
    DELETE FROM positions USING jsonb_array_elements(CAST(:keys AS jsonb)) AS key
    WHERE pool = key ->> 0 AND week = key ->> 1""")
_PUT_POSITIONS = text("""
    INSERT INTO positions (pool, week, overload, data)
    SELECT item ->> 'pool', item ->> 'week', coalesce(CAST(item ->> 'overload' AS float8), 0), item
    FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    ON CONFLICT (pool, week) DO UPDATE SET overload = excluded.overload, data = excluded.data""")
_PUT_WORK = text("""
    INSERT INTO work_states (work, pool, data)
    SELECT item ->> 'work', item ->> 'pool', item FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    ON CONFLICT (work) DO UPDATE SET pool = excluded.pool, data = excluded.data""")
_PUT_LISTED = text("""
    INSERT INTO listed_deals (reason, deal, exposure)
    SELECT item ->> 'reason', item ->> 'deal', coalesce(CAST(item ->> 'exposure' AS float8), 0)
    FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    ON CONFLICT (reason, deal) DO UPDATE SET exposure = excluded.exposure""")
_PUT_FORECASTS = text("""
    INSERT INTO forecasts (period, segment, data)
    SELECT item ->> 'period', item ->> 'segment', item FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    ON CONFLICT (period, segment) DO UPDATE SET data = excluded.data""")
_PUT_PROJECTION = text("""
    INSERT INTO projection (frame, as_of, week, plan, book_time, report_ages, listed_counts)
    VALUES (:frame, :as_of, :week, :plan, :book_time, CAST(:report_ages AS jsonb), CAST(:listed_counts AS jsonb))
    ON CONFLICT ("only") DO UPDATE SET frame = excluded.frame, as_of = excluded.as_of, week = excluded.week,
        plan = excluded.plan, book_time = excluded.book_time, report_ages = excluded.report_ages,
        listed_counts = coalesce(excluded.listed_counts, projection.listed_counts)""")
_PUT_DEALS = text("""
    INSERT INTO deals (id, version, data)
    SELECT item ->> 'id', CAST(item ->> 'version' AS bigint), item
    FROM jsonb_array_elements(CAST(:items AS jsonb)) AS item
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, data = excluded.data
    WHERE deals.version < excluded.version""")
_DROP_DEALS = text("DELETE FROM deals WHERE id = ANY(:ids)")


@dataclass(frozen=True, slots=True)
class Changes:
    """What a run of frames comes to. ``everything``: what is not named no longer exists.

    ``listed`` and ``listed_counts`` None: unchanged.
    """

    projection: Projection
    everything: bool
    positions: Sequence[Position]
    gone: Sequence[tuple[str, str]]
    work: Sequence[WorkState]
    listed: Sequence[ListedDeal] | None
    listed_counts: Sequence[ListedCount] | None = None
    forecasts: Sequence[Forecast] = ()


class WritingModels:
    """The tables as the sink writes them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def next_offsets(self) -> dict[tuple[str, int], int]:
        """How far each partition is applied, by topic name and partition."""
        async with self._engine.connect() as connection:
            rows = await connection.execute(_OFFSETS)
            return {(row.topic, row.partition): row.next_offset for row in rows}

    @asynccontextmanager
    async def advance(self, topic: str, partition: int, upto: int) -> AsyncIterator["Writing"]:
        """A transaction that brings the tables to offset ``upto`` of a partition; its ``start`` is where to begin."""
        place = {"topic": topic, "partition": partition}
        async with self._engine.begin() as connection:
            start = await connection.scalar(_LOCK_OFFSET, place)
            if start is None:
                await connection.execute(_FIRST_OFFSET, place)
                start = (await connection.execute(_LOCK_OFFSET, place)).scalar_one()
            yield Writing(connection, start)
            if upto > start:
                await connection.execute(_MOVE_OFFSET, {**place, "next_offset": upto})


class Writing:
    """One transaction. ``start`` is the first offset that is not in the tables yet."""

    def __init__(self, connection: AsyncConnection, start: int) -> None:
        self._connection, self.start = connection, start

    async def frames(self, changes: Changes) -> None:
        """Bring positions, work, forecasts, listed deals and the projection's own row up to date."""
        if changes.everything:
            await self._connection.execute(_CLEAR_POSITIONS)
            await self._connection.execute(_CLEAR_WORK)
            await self._connection.execute(_CLEAR_FORECASTS)
        elif changes.gone:
            await self._connection.execute(_DROP_POSITIONS, {"keys": as_json(changes.gone)})
        await self._put(_PUT_POSITIONS, changes.positions)
        await self._put(_PUT_WORK, changes.work)
        await self._put(_PUT_FORECASTS, changes.forecasts)
        if changes.listed is not None:
            await self._connection.execute(_CLEAR_LISTED)
            await self._put(_PUT_LISTED, changes.listed)
        shown = changes.projection
        values = {
            "frame": shown.frame,
            "as_of": shown.as_of,
            "week": shown.week,
            "plan": shown.plan,
            "book_time": shown.book_time,
            "report_ages": as_json(shown.report_ages),
            "listed_counts": as_json(changes.listed_counts) if changes.listed_counts is not None else None,
        }
        await self._connection.execute(_PUT_PROJECTION, values)

    async def deals(self, deals: Sequence[Deal], dropped: Sequence[str]) -> None:
        """Put deals, each id once, where they are newer than what is there; forget the ``dropped`` ones."""
        await self._put(_PUT_DEALS, deals)
        if dropped:
            await self._connection.execute(_DROP_DEALS, {"ids": list(dropped)})

    async def _put(self, statement: Any, items: Sequence[Any]) -> None:
        for begin in range(0, len(items), ROWS_PER_STATEMENT):
            part = as_json(items[begin : begin + ROWS_PER_STATEMENT])
            await self._connection.execute(statement, {"items": part})
