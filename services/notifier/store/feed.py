"""The feed: everything that happened, in the order in which it was committed. The event stream reads it.

Ids come from a sequence, which two open transactions can draw from in one order and commit in the other; a reader that
goes on from the last id it saw would then miss one. So whoever appends holds a lock from its first append to its
commit. The outbox is appended to under the same lock, for the same reason.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.store.tables import feed

APPENDING = 7_236_003


@dataclass(frozen=True, slots=True)
class Happening:
    """One event: ``event`` is unique, ``type`` such as ``recalibration.firing``, ``data`` one line of JSON."""

    event: str
    type: str
    data: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A happening in its place: ``id`` grows in the order of commits."""

    id: int
    type: str
    data: str


async def lock_appending(connection: AsyncConnection) -> None:
    """Wait for the right to append; held until the transaction ends. Take it last, after all row locks."""
    await connection.execute(sa.select(sa.func.pg_advisory_xact_lock(APPENDING)))


async def append(connection: AsyncConnection, happenings: Sequence[Happening]) -> None:
    """Add to the feed, in the caller's transaction and under the lock; an event that is there already is left."""
    if happenings:
        rows = [{"event": one.event, "type": one.type, "data": one.data} for one in happenings]
        await connection.execute(insert(feed).on_conflict_do_nothing(index_elements=["event"]), rows)


class Feed:
    """Reads the feed."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def after(self, last: int, limit: int) -> list[Entry]:
        """At most ``limit`` entries after ``last``, in order."""
        query = sa.select(feed.c.id, feed.c.type, feed.c.data).where(feed.c.id > last).order_by(feed.c.id).limit(limit)
        async with self._engine.connect() as connection:
            rows = await connection.execute(query)
            return [Entry(row.id, row.type, row.data) for row in rows]

    async def end(self) -> int:
        """The id of the last entry, 0 when there is none."""
        async with self._engine.connect() as connection:
            return int((await connection.execute(sa.select(sa.func.coalesce(sa.func.max(feed.c.id), 0)))).scalar_one())

    async def forget(self, keep: timedelta) -> int:
        """Delete what is older than ``keep``; how many. The last entry stays, so that ``end`` never falls."""
        newest = sa.select(sa.func.max(feed.c.id)).scalar_subquery()
        old = sa.delete(feed).where(feed.c.created < sa.func.clock_timestamp() - keep, feed.c.id < newest)
        async with self._engine.begin() as connection:
            return (await connection.execute(old)).rowcount
