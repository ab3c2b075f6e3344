"""The queue of deliveries as the workers see it: lease, renew, settle.

A lease is a row marked with the worker's id and a time; a worker renews its leases while it lives, and when it dies
their time runs out and another worker takes the rows. Times are the database's wall clock, the one clock that all
workers share.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.domain import messages
from services.notifier.domain.schedule import Again, Delivered, Gone, Verdict
from services.notifier.domain.signing import Secret
from services.notifier.store.feed import Happening, append, lock_appending
from services.notifier.store.subscriptions import give_up_all, lock_subscription
from services.notifier.store.tables import attempts, deliveries, secrets, subscriptions

# For every active subscription its oldest due deliveries, as many as it has room for: no subscription, however many
# deliveries wait for it, stands before another.
LEASE = sa.text("""
    WITH busy AS (
        SELECT * FROM unnest(CAST(:busy AS uuid[]), CAST(:under_way AS int[])) AS busy(subscription, under_way)
    ), due AS (
        SELECT one.id
        FROM subscriptions
        LEFT JOIN busy ON busy.subscription = subscriptions.id
        CROSS JOIN LATERAL (
            SELECT deliveries.id, deliveries.due
            FROM deliveries
            WHERE deliveries.subscription = subscriptions.id
              AND deliveries.state = 'pending'
              AND deliveries.due <= clock_timestamp()
              AND (deliveries.leased_until IS NULL OR deliveries.leased_until < clock_timestamp())
              AND deliveries.id <> ALL (CAST(:mine AS bigint[]))
            ORDER BY deliveries.due, deliveries.id
            LIMIT greatest(0, CAST(:per_endpoint AS int) - coalesce(busy.under_way, 0))
            FOR UPDATE SKIP LOCKED
        ) AS one
        WHERE subscriptions.enabled
        ORDER BY one.due, one.id
        LIMIT :room
    )
    UPDATE deliveries
    SET leased_by = :worker, leased_until = clock_timestamp() + CAST(:lease AS interval)
    FROM due, subscriptions
    WHERE deliveries.id = due.id AND subscriptions.id = deliveries.subscription
    RETURNING deliveries.id, deliveries.subscription, deliveries.event, deliveries.body, deliveries.attempts,
              deliveries.recorded, subscriptions.url, subscriptions.channel
""")


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery to attempt now. ``attempts`` were made before in this round; ``active`` secrets all sign."""

    id: int
    subscription: uuid.UUID
    channel: str
    url: str
    event: str
    body: str
    attempts: int
    recorded: datetime
    active: Sequence[Secret]


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt was: when it began, how long it took, what came back."""

    at: datetime
    took: timedelta
    status: int | None
    answer: str


class Queue:
    """The deliveries that are to be made, for one worker."""

    def __init__(self, engine: AsyncEngine, worker: uuid.UUID, lease: timedelta) -> None:
        self._engine, self._worker, self._lease = engine, worker, lease

    async def take(
        self, *, room: int, per_endpoint: int, under_way: Mapping[uuid.UUID, int], mine: Sequence[int]
    ) -> list[Leased]:
        """At most ``room`` due deliveries, leased.

        ``under_way`` are this worker's attempts by subscription, ``mine`` their ids.
        """
        values = {
            "busy": list(under_way),
            "under_way": list(under_way.values()),
            "mine": list(mine),
            "per_endpoint": per_endpoint,
            "room": room,
            "worker": self._worker,
            "lease": self._lease,
        }
        async with self._engine.begin() as connection:
            rows = (await connection.execute(LEASE, values)).all()
            active = await _active_secrets(connection, {row.subscription for row in rows})
        return [
            Leased(
                row.id,
                row.subscription,
                row.channel,
                row.url,
                row.event,
                row.body,
                row.attempts,
                row.recorded,
                active.get(row.subscription, []),
            )
            for row in rows
        ]

    async def renew(self) -> None:
        """This worker lives: all its leases begin anew."""
        until = sa.func.clock_timestamp() + self._lease
        async with self._engine.begin() as connection:
            await connection.execute(
                sa.update(deliveries).where(deliveries.c.leased_by == self._worker).values(leased_until=until)
            )

    async def release(self) -> None:
        """This worker ends: what it holds is free at once."""
        async with self._engine.begin() as connection:
            await connection.execute(
                sa.update(deliveries)
                .where(deliveries.c.leased_by == self._worker)
                .values(leased_by=None, leased_until=None)
            )

    async def settle(self, leased: Leased, attempt: Attempt, verdict: Verdict) -> bool:
        """Record an attempt and what follows from it, in one transaction.

        False when the lease had been taken over meanwhile: then the attempt is recorded as lost, and what becomes of
        the delivery is the other worker's to say.
        """
        async with self._engine.begin() as connection:
            if isinstance(verdict, Gone):
                # First of all locks: two that find the receiver gone would else each wait for the other's delivery.
                await lock_subscription(connection, leased.subscription)
            held = await self._apply(connection, leased, attempt, verdict)
            await connection.execute(
                sa.insert(attempts).values(
                    delivery=leased.id,
                    at=attempt.at,
                    milliseconds=round(attempt.took / timedelta(milliseconds=1)),
                    status=attempt.status,
                    outcome=outcome(verdict) if held else "lost",
                    reason=verdict.reason,
                    answer=attempt.answer,
                )
            )
            if held and isinstance(verdict, Gone):
                await _end(connection, leased.subscription, verdict, attempt.at)
        return held

    async def _apply(self, connection: AsyncConnection, leased: Leased, attempt: Attempt, verdict: Verdict) -> bool:
        values: dict[str, object] = {
            "attempts": deliveries.c.attempts + 1,
            "status": attempt.status,
            "reason": verdict.reason,
            "leased_by": None,
            "leased_until": None,
        }
        if isinstance(verdict, Again):
            values["due"] = sa.func.clock_timestamp() + verdict.after
        else:
            values["state"] = "delivered" if isinstance(verdict, Delivered) else "given-up"
            values["ended"] = sa.func.clock_timestamp()
        changed = await connection.execute(
            sa.update(deliveries)
            .where(
                deliveries.c.id == leased.id, deliveries.c.leased_by == self._worker, deliveries.c.state == "pending"
            )
            .values(**values)
        )
        return changed.rowcount == 1


def outcome(verdict: Verdict) -> str:
    """The word for a verdict, in the log of attempts and in metrics."""
    match verdict:
        case Delivered():
            return "delivered"
        case Again():
            return "again"
        case Gone():
            return "gone"
        case _:
            return "given-up"


async def _end(connection: AsyncConnection, subscription: uuid.UUID, verdict: Gone, now: datetime) -> None:
    """The receiver is gone: end the subscription, give up what waits for it, and say so where its owner looks."""
    name = await connection.scalar(
        sa.update(subscriptions)
        .where(subscriptions.c.id == subscription)
        .values(enabled=False, disabled_reason=verdict.reason, changed=sa.func.clock_timestamp())
        .returning(subscriptions.c.name)
    )
    await give_up_all(connection, subscription, verdict.reason)
    data = messages.plain_data(subscription=str(subscription), name=name, reason=verdict.reason, at=now.isoformat())
    await lock_appending(connection)
    await append(connection, [Happening(f"disabled-{uuid.uuid4()}", "subscription.disabled", data)])


async def _active_secrets(connection: AsyncConnection, ids: set[uuid.UUID]) -> dict[uuid.UUID, list[Secret]]:
    """The secrets that sign now, newest first."""
    if not ids:
        return {}
    query = (
        sa.select(secrets.c.subscription, secrets.c.secret)
        .where(
            secrets.c.subscription.in_(ids),
            sa.or_(secrets.c.expires.is_(None), secrets.c.expires > sa.func.clock_timestamp()),
        )
        .order_by(secrets.c.id.desc())
    )
    found: dict[uuid.UUID, list[Secret]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.subscription, []).append(Secret(row.secret))
    return found
