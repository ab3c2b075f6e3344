"""Transitions that wait to be told together: one message per subscription and window.

A window opens with the first that waits and is closed some time later, by whoever looks first: in one transaction what
waits becomes one delivery, so whatever is killed when, each is told once. What comes after opens the next window.
"""

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.domain import messages
from services.notifier.store.tables import deliveries, grouped
from shared.schemas.recalibration import Recalibration

GATHERING = 7_236_005
_CHUNK = 1000


async def put(connection: AsyncConnection, told: Sequence[tuple[uuid.UUID, Recalibration]]) -> None:
    """Let these transitions wait for the window of each one's subscription; one that waits already is left."""
    rows = [
        {"subscription": subscription, "event": one.event_id, "item": messages.item(one)} for subscription, one in told
    ]
    once = insert(grouped).on_conflict_do_nothing(constraint="grouped_once")
    for start in range(0, len(rows), _CHUNK):
        await connection.execute(once, rows[start : start + _CHUNK])


async def close(connection: AsyncConnection, subscription: uuid.UUID) -> bool:
    """Make one pending delivery of all that waits for a subscription; False when nothing does."""
    mine = sa.delete(grouped).where(grouped.c.subscription == subscription)
    rows = (await connection.execute(mine.returning(grouped.c.id, grouped.c.event, grouped.c.item))).all()
    if not rows:
        return False
    rows = sorted(rows, key=lambda row: row.id)
    now = datetime.now(UTC)
    await connection.execute(
        sa.insert(deliveries).values(
            subscription=subscription,
            # Made of what is in it: the same whoever makes it.
            event=str(uuid.uuid5(subscription, rows[0].event)),
            type=messages.GROUPED,
            told=messages.told_in([row.item for row in rows]),
            body=messages.grouped_body([row.item for row in rows], now),
            recorded=now,
            state="pending",
        )
    )
    return True


class Grouped:
    """Closes windows that have been open for ``window``."""

    def __init__(self, engine: AsyncEngine, window: timedelta) -> None:
        self._engine, self._window = engine, window

    async def gather(self) -> int:
        """Close the windows whose time has come; how many messages that made. Where another does so now, nothing."""
        ripe = (
            sa.select(grouped.c.subscription)
            .group_by(grouped.c.subscription)
            .having(sa.func.min(grouped.c.created) <= sa.func.clock_timestamp() - self._window)
        )
        async with self._engine.begin() as connection:
            # Two that gather at once would make two messages of what one of them saw a little more of.
            if not await connection.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(GATHERING))):
                return 0
            found = (await connection.execute(ripe)).scalars().all()
            return sum([await close(connection, subscription) for subscription in sorted(found)])
