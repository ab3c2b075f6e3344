"""The read models as the API reads them."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.capacity.store.as_json import as_json
from services.capacity.store.projection import Projection
from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import ListedCount, ListedDeal
from shared.schemas.position import Position, WorkState

LIKELY_OVERLOADED = 0.5
"""A week is called overloaded when demand exceeds capacity more likely than not."""

_position = msgspec.json.Decoder(Position).decode
_work = msgspec.json.Decoder(WorkState).decode
_deal = msgspec.json.Decoder(Deal).decode
_counts = msgspec.json.Decoder(list[ListedCount]).decode
_forecast = msgspec.json.Decoder(Forecast).decode
_ages = msgspec.json.Decoder(dict[str, float | None]).decode

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
        named = {"deal": as_json([{"deal": deal}])}
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
