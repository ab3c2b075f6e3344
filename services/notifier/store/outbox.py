"""The outbox: decisions on their way to the log, in the order in which they were committed (``feed`` says why).

One relay at a time takes its turn, under a lock of its database session: it ends with the session, so a relay that
dies makes room for the next at once.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.store.tables import decisions, outbox

RELAYING = 7_236_004


@dataclass(frozen=True, slots=True)
class Unsent:
    """A row of the outbox: the decision's record as JSON, and the trace of the request that answered."""

    id: int
    body: bytes
    trace: bytes | None = None


class Turn:
    """The right to relay, held by a connection; every query goes through it, so a lost right shows as an error."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def unsent(self, limit: int) -> list[Unsent]:
        """The oldest rows that are not yet on the log, in order."""
        query = (
            sa.select(outbox.c.id, outbox.c.trace, decisions.c.body)
            .join(decisions, decisions.c.id == outbox.c.decision)
            .where(outbox.c.sent.is_(None))
            .order_by(outbox.c.id)
            .limit(limit)
        )
        found = await self._connection.execute(query)
        return [Unsent(row.id, row.body.encode(), row.trace.encode() if row.trace else None) for row in found]

    async def mark_sent(self, upto: int) -> None:
        """Everything up to and including row ``upto`` is on the log."""
        rows = sa.update(outbox).where(outbox.c.sent.is_(None), outbox.c.id <= upto)
        await self._connection.execute(rows.values(sent=sa.func.clock_timestamp()))


class Outbox:
    """Hands out turns, and says how long the queue is."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[Turn | None]:
        """A turn at relaying while the block runs, or None when somebody else has it."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if not await connection.scalar(sa.select(sa.func.pg_try_advisory_lock(RELAYING))):
                yield None
                return
            try:
                yield Turn(connection)
            finally:
                # The lock belongs to the session, so the session must not go back to the pool with it.
                await connection.invalidate()

    async def waiting(self) -> tuple[int, float]:
        """How many decisions are not yet on the log, and the age of the oldest in seconds."""
        age = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.min(outbox.c.created))
        query = sa.select(sa.func.count(), sa.func.coalesce(age, 0)).where(outbox.c.sent.is_(None))
        async with self._engine.connect() as connection:
            count, oldest = (await connection.execute(query)).one()
        return int(count), float(oldest)

    async def forget(self, keep: timedelta) -> int:
        """Delete rows sent longer ago than ``keep``; how many. The decisions themselves stay."""
        old = sa.delete(outbox).where(outbox.c.sent < sa.func.clock_timestamp() - keep)
        async with self._engine.begin() as connection:
            return (await connection.execute(old)).rowcount
