"""The queue of deliveries as the workers see it: lease, renew, settle.

A lease is a row marked with the worker's id and a time; a worker renews its leases while it lives, and when it dies
their time runs out and another worker takes the rows. Times are the database's wall clock, the one clock that all
workers share.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

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
              deliveries.recorded, deliveries.trace, deliveries.arrived, deliveries.happened,
              subscriptions.url, subscriptions.channel
""")


SETTLE = sa.text("""
    UPDATE deliveries
    SET attempts = deliveries.attempts + 1,
        state = settled.state,
        status = settled.status,
        reason = settled.reason,
        due = coalesce(clock_timestamp() + settled.wait, deliveries.due),
        ended = CASE WHEN settled.state <> 'pending' THEN clock_timestamp() END,
        leased_by = NULL,
        leased_until = NULL
    FROM unnest(
        CAST(:ids AS bigint[]), CAST(:states AS text[]), CAST(:statuses AS int[]), CAST(:reasons AS text[]),
        CAST(:waits AS interval[])
    ) AS settled(id, state, status, reason, wait)
    WHERE deliveries.id = settled.id AND deliveries.leased_by = :worker AND deliveries.state = 'pending'
    RETURNING deliveries.id
""")


@dataclass(frozen=True, slots=True)
class Leased:
    """A delivery to attempt now. ``attempts`` were made before in this round; ``active`` secrets all sign.

    ``trace`` is that of the change that brought it about, ``arrived`` the wall time at which the door took that in, and
    ``happened`` its source's own time, by the system's clock.
    """

    id: int
    subscription: uuid.UUID
    channel: str
    url: str
    event: str
    body: str
    attempts: int
    recorded: datetime
    active: Sequence[Secret]
    trace: bytes | None = None
    arrived: datetime | None = None
    happened: datetime | None = None


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one attempt was: when it began, how long it took, what came back."""

    at: datetime
    took: timedelta
    status: int | None
    answer: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """An attempt that is over, and what follows from it."""

    leased: Leased
    attempt: Attempt
    verdict: Verdict


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
                row.trace.encode() if row.trace else None,
                _moment(row.arrived),
                _moment(row.happened),
            )
            for row in rows
        ]

    async def renew(self, mine: Sequence[int]) -> None:
        """This worker lives: the leases of ``mine``, which are under way, begin anew.

        Others in its name run out. They are there when the connection broke between a lease and its answer: nobody
        attempts them, and they must come free although the worker lives.
        """
        held = (deliveries.c.leased_by == self._worker) & deliveries.c.id.in_(mine)
        until = sa.func.clock_timestamp() + self._lease
        async with self._engine.begin() as connection:
            await connection.execute(sa.update(deliveries).where(held).values(leased_until=until))

    async def release(self) -> None:
        """This worker ends: what it holds is free at once."""
        async with self._engine.begin() as connection:
            await connection.execute(
                sa.update(deliveries)
                .where(deliveries.c.leased_by == self._worker)
                .values(leased_by=None, leased_until=None)
            )

    async def settle(self, settlements: Sequence[Settlement]) -> set[int]:
        """Record attempts and what follows from them, all in one transaction; the deliveries whose lease was held.

        Of the others the lease had been taken over meanwhile: their attempt is recorded as lost, and what becomes of
        the delivery is the other worker's to say.
        """
        gone = {one.leased.subscription: one for one in settlements if isinstance(one.verdict, Gone)}
        async with self._engine.begin() as connection:
            for subscription in sorted(gone):
                # First of all locks: two that find the receiver gone would else each wait for the other's delivery.
                await lock_subscription(connection, subscription)
            held = await self._apply(connection, settlements)
            await connection.execute(sa.insert(attempts), [_line(one, one.leased.id in held) for one in settlements])
            for one in gone.values():
                if one.leased.id in held:
                    await _end(connection, one)
        return held

    async def _apply(self, connection: AsyncConnection, settlements: Sequence[Settlement]) -> set[int]:
        values = {
            "worker": self._worker,
            "ids": [one.leased.id for one in settlements],
            "states": [_state(one.verdict) for one in settlements],
            "statuses": [one.attempt.status for one in settlements],
            "reasons": [one.verdict.reason for one in settlements],
            "waits": [one.verdict.after if isinstance(one.verdict, Again) else None for one in settlements],
        }
        return set((await connection.execute(SETTLE, values)).scalars())


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


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


def _state(verdict: Verdict) -> str:
    """The state in which a verdict leaves a delivery."""
    match verdict:
        case Again():
            return "pending"
        case Delivered():
            return "delivered"
        case _:
            return "given-up"


def _line(one: Settlement, held: bool) -> dict[str, object]:
    """A line of the log of attempts."""
    return {
        "delivery": one.leased.id,
        "at": one.attempt.at,
        "milliseconds": round(one.attempt.took / timedelta(milliseconds=1)),
        "status": one.attempt.status,
        "outcome": outcome(one.verdict) if held else "lost",
        "reason": one.verdict.reason,
        "answer": one.attempt.answer,
    }


async def _end(connection: AsyncConnection, one: Settlement) -> None:
    """The receiver is gone: end the subscription, give up what waits for it, and say so where its owner looks."""
    subscription, reason = one.leased.subscription, one.verdict.reason
    name = await connection.scalar(
        sa.update(subscriptions)
        .where(subscriptions.c.id == subscription)
        .values(enabled=False, disabled_reason=reason, changed=sa.func.clock_timestamp())
        .returning(subscriptions.c.name)
    )
    await give_up_all(connection, subscription, reason)
    at = one.attempt.at.isoformat()
    data = messages.plain_data(subscription=str(subscription), name=name, reason=reason, at=at)
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
