"""How things stand, as figures: what people are late with, and how many subscriptions can be told anything."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.store.subscriptions import PAUSED
from services.notifier.store.tables import subscriptions

# Whatever was answered counts, also before it was reopened: that somebody looks at it is what this is about.
LATE = sa.text("""
    WITH asking AS (
        SELECT recalibrations.id,
               CAST(CAST(body AS jsonb) ->> 'acknowledge_by' AS timestamptz) < :now AS acknowledge_late,
               CAST(CAST(body AS jsonb) ->> 'decide_by' AS timestamptz) < :now AS decide_late
        FROM recalibrations
        WHERE kind IN ('firing', 'updated', 'reopened')
    )
    SELECT count(*) FILTER (WHERE acknowledge_late AND NOT EXISTS (
               SELECT FROM decisions WHERE decisions.recalibration = asking.id)) AS acknowledge,
           count(*) FILTER (WHERE decide_late AND NOT EXISTS (
               SELECT FROM decisions
               WHERE decisions.recalibration = asking.id AND decisions.kind IN ('decided', 'overridden'))) AS decide
    FROM asking
""")


@dataclass(frozen=True, slots=True)
class Late:
    """How many open recalibrations are past a deadline without the answer it is for."""

    acknowledge: int
    decide: int


class Standing:
    """Reads only."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def late(self, now: datetime) -> Late:
        """What is late at ``now`` of the system's clock."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(LATE, {"now": now})).one()
        return Late(row.acknowledge, row.decide)

    async def subscriptions(self) -> Mapping[str, int]:
        """How many there are that are ``enabled``, ``paused`` by their owner, or ``gone`` with their receiver."""
        state = sa.case(
            (subscriptions.c.enabled, "enabled"), (subscriptions.c.disabled_reason == PAUSED, "paused"), else_="gone"
        )
        query = sa.select(state, sa.func.count()).where(subscriptions.c.deleted.is_(None)).group_by(state)
        async with self._engine.connect() as connection:
            found: dict[str, int] = {row[0]: row[1] for row in await connection.execute(query)}
        return {name: found.get(name, 0) for name in ("enabled", "paused", "gone")}
