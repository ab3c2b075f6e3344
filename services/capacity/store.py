"""The read models in PostgreSQL: all their SQL. Written by the sink of ``views``, read by its API.

A writing transaction takes the lock of its partition's row in ``views_offsets``, leaves out what that row says is
applied, and moves it on: a batch that comes twice, or from a worker that was replaced, changes nothing.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import ListedCount, ListedDeal
from shared.schemas.position import Position, WorkState

ROWS_PER_STATEMENT = 5000
LIKELY_OVERLOADED = 0.5
"""A week is called overloaded when demand exceeds capacity more likely than not."""

_encode = msgspec.json.encode
_position = msgspec.json.Decoder(Position).decode
_work = msgspec.json.Decoder(WorkState).decode
_deal = msgspec.json.Decoder(Deal).decode
_counts = msgspec.json.Decoder(list[ListedCount]).decode
_forecast = msgspec.json.Decoder(Forecast).decode
_ages = msgspec.json.Decoder(dict[str, float | None]).decode


# -- writing

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
class Projection:
    """Of which frame, moment and plan the tables speak. ``report_ages`` are seconds by pool, None: never."""

    frame: int
    as_of: datetime
    week: str
    plan: str
    book_time: int = 0
    report_ages: Mapping[str, float | None] = field(default_factory=dict)


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
            await self._connection.execute(_DROP_POSITIONS, {"keys": _json(changes.gone)})
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
            "report_ages": _json(shown.report_ages),
            "listed_counts": _json(changes.listed_counts) if changes.listed_counts is not None else None,
        }
        await self._connection.execute(_PUT_PROJECTION, values)

    async def deals(self, deals: Sequence[Deal], dropped: Sequence[str]) -> None:
        """Put deals, each id once, where they are newer than what is there; forget the ``dropped`` ones."""
        await self._put(_PUT_DEALS, deals)
        if dropped:
            await self._connection.execute(_DROP_DEALS, {"ids": list(dropped)})

    async def _put(self, statement: Any, items: Sequence[Any]) -> None:
        for begin in range(0, len(items), ROWS_PER_STATEMENT):
            part = _json(items[begin : begin + ROWS_PER_STATEMENT])
            await self._connection.execute(statement, {"items": part})


def _json(value: Any) -> str:
    """JSON that PostgreSQL takes: its text cannot hold the character NUL, which JSON can."""
    encoded = _encode(value)
    if rb"\u0000" in encoded:
        encoded = _encode(_without_nul(msgspec.json.decode(encoded)))
    return encoded.decode()


def _without_nul(value: Any) -> Any:
    match value:
        case str():
            return value.replace("\0", "�")
        case list():
            return [_without_nul(item) for item in value]
        case dict():
            return {_without_nul(key): _without_nul(item) for key, item in value.items()}
        case _:
            return value


# -- reading

_PROJECTION = text("SELECT frame, as_of, week, plan, book_time, CAST(report_ages AS text) AS ages FROM projection")
_POSITIONS = text("""
    SELECT CAST(data AS text) FROM positions
    WHERE (CAST(:pool AS text) IS NULL OR pool = :pool)
      AND (CAST(:first AS text) IS NULL OR week >= :first) AND (CAST(:last AS text) IS NULL OR week <= :last)
      AND (CAST(:after_pool AS text) IS NULL OR (pool, week) > (:after_pool, CAST(:after_week AS text)))
    ORDER BY pool, week LIMIT :limit""")
_POSITIONS_OF_DEAL = text("""
    SELECT CAST(data AS text) FROM positions WHERE data -> 'top' @> CAST(:deal AS jsonb) ORDER BY pool, week""")
_POOLS = text("""
    SELECT pool, min(week) FILTER (WHERE overload > :likely) AS next_overloaded,
        max(overload) AS worst, (array_agg(week ORDER BY overload DESC, week))[1] AS worst_week
    FROM positions WHERE week >= :week GROUP BY pool""")
_WORK = text("SELECT CAST(data AS text) FROM work_states ORDER BY work")
_WORK_OF_DEAL = text("""
    SELECT CAST(data AS text) FROM work_states WHERE data -> 'top' @> CAST(:deal AS jsonb) ORDER BY work""")
_FORECASTS = text("""
    SELECT CAST(data AS text) FROM forecasts
    WHERE (CAST(:period AS text) IS NULL OR period = :period)
      AND (CAST(:segment AS text) IS NULL OR segment = :segment)
    ORDER BY period, segment""")
_FORECAST_NAMES = text("""
    SELECT DISTINCT period AS name FROM forecasts WHERE :what = 'period'
    UNION SELECT DISTINCT segment FROM forecasts WHERE :what = 'segment' ORDER BY name LIMIT 20""")
_DEAL = text("SELECT CAST(data AS text) FROM deals WHERE id = :id")
_DEALS = text("SELECT CAST(data AS text) FROM deals WHERE id = ANY(:ids)")
_REACHED = text("SELECT partition, next_offset FROM views_offsets WHERE topic = :topic")
_LISTED_OF_DEAL = text("SELECT reason, deal, exposure FROM listed_deals WHERE deal = :deal ORDER BY reason")
_LISTED = text("""
    SELECT reason, deal, exposure FROM listed_deals
    WHERE (CAST(:reason AS text) IS NULL OR reason = :reason)
      AND (CAST(:after_reason AS text) IS NULL OR (reason, deal) > (:after_reason, CAST(:after_deal AS text)))
    ORDER BY reason, deal LIMIT :limit""")
_LISTED_COUNTS = text("SELECT CAST(listed_counts AS text) FROM projection")


@dataclass(frozen=True, slots=True)
class PoolSummary:
    """A pool's weeks from the present one on: the first that is likely overloaded, and the worst."""

    next_overloaded: str | None
    worst: float
    worst_week: str


class ReadingModels:
    """The tables as the API reads them; each ``snapshot`` sees one state of all of them."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator["Snapshot"]:
        """One consistent view, as of one frame."""
        async with self._engine.connect() as plain:
            connection = await plain.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield Snapshot(connection)


class Snapshot:
    """Questions to one state of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def projection(self) -> Projection | None:
        """Of what the tables speak; None before the first frame."""
        row = (await self._connection.execute(_PROJECTION)).first()
        if row is None:
            return None
        return Projection(row.frame, row.as_of, row.week, row.plan, row.book_time, _ages(row.ages))

    async def positions(
        self, pool: str | None, first: str | None, last: str | None, after: tuple[str, str] | None, limit: int
    ) -> list[Position]:
        """Positions by pool and week, both weeks included, past ``after`` (pool, week)."""
        after_pool, after_week = after or (None, None)
        values = {"pool": pool, "first": first, "last": last, "limit": limit}
        rows = await self._connection.scalars(_POSITIONS, values | {"after_pool": after_pool, "after_week": after_week})
        return [_position(row) for row in rows]

    async def pools(self, week: str) -> dict[str, PoolSummary]:
        """A summary of each pool that has positions from ``week`` on."""
        rows = await self._connection.execute(_POOLS, {"week": week, "likely": LIKELY_OVERLOADED})
        return {row.pool: PoolSummary(row.next_overloaded, row.worst, row.worst_week) for row in rows}

    async def work(self) -> list[WorkState]:
        """All work items by name."""
        return [_work(row) for row in await self._connection.scalars(_WORK)]

    async def forecasts(self, period: str | None, segment: str | None) -> list[Forecast]:
        """Forecasts by period and segment."""
        rows = await self._connection.scalars(_FORECASTS, {"period": period, "segment": segment})
        return [_forecast(row) for row in rows]

    async def forecast_names(self, what: str) -> list[str]:
        """The first ``period`` or ``segment`` names that there are forecasts of."""
        return list(await self._connection.scalars(_FORECAST_NAMES, {"what": what}))

    async def deal(self, deal: str) -> Deal | None:
        """A deal as it was last known, deleted ones too."""
        row = await self._connection.scalar(_DEAL, {"id": deal})
        return None if row is None else _deal(row)

    async def deals(self, ids: Sequence[str]) -> dict[str, Deal]:
        """Those of ``ids`` that are known, deleted ones too, by id."""
        found = (_deal(row) for row in await self._connection.scalars(_DEALS, {"ids": list(ids)}))
        return {deal.id: deal for deal in found}

    async def reached(self, topic: str) -> dict[int, int]:
        """How far each partition of ``topic`` is in these tables: the next offset."""
        rows = await self._connection.execute(_REACHED, {"topic": topic})
        return {row.partition: row.next_offset for row in rows}

    async def stressed_by(self, deal: str) -> tuple[list[Position], list[WorkState]]:
        """The positions and work items among whose causes the deal is named."""
        named = {"deal": _json([{"deal": deal}])}
        positions = [_position(row) for row in await self._connection.scalars(_POSITIONS_OF_DEAL, named)]
        return positions, [_work(row) for row in await self._connection.scalars(_WORK_OF_DEAL, named)]

    async def listed(self, reason: str | None, after: tuple[str, str] | None, limit: int) -> list[ListedDeal]:
        """Listed deals by reason and id, past ``after`` (reason, deal)."""
        after_reason, after_deal = after or (None, None)
        values = {"reason": reason, "limit": limit, "after_reason": after_reason, "after_deal": after_deal}
        rows = await self._connection.execute(_LISTED, values)
        return [ListedDeal(row.deal, row.reason, row.exposure) for row in rows]

    async def reasons_of(self, deal: str) -> list[ListedDeal]:
        """Why a deal is listed, if it is."""
        rows = await self._connection.execute(_LISTED_OF_DEAL, {"deal": deal})
        return [ListedDeal(row.deal, row.reason, row.exposure) for row in rows]

    async def listed_counts(self) -> dict[str, int]:
        """How many deals are listed for each reason, those included that are too many to be named."""
        counts = await self._connection.scalar(_LISTED_COUNTS)
        return {count.reason: count.deals for count in _counts(counts)} if counts is not None else {}
