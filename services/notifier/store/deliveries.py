"""The log of deliveries, as people read it, and what they can do: test, replay."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.domain import messages
from services.notifier.store.tables import attempts, deliveries, grouped, subscriptions


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one subscription: ``state`` is pending, delivered or given-up, ``reason`` why.

    ``attempts`` count from the planning or the last replay; ``due`` is when the next one comes while pending.
    """

    id: int
    subscription: uuid.UUID
    event: str
    type: str
    recalibration: str | None
    state: str
    attempts: int
    due: datetime
    status: int | None
    reason: str
    created: datetime
    ended: datetime | None


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One line of a delivery's log; ``answer`` are the first bytes of what came back."""

    at: datetime
    milliseconds: int
    status: int | None
    outcome: str
    reason: str
    answer: str


_COLUMNS = [deliveries.c[name] for name in Delivery.__dataclass_fields__]
_ATTEMPT_COLUMNS = [attempts.c[name] for name in PastAttempt.__dataclass_fields__]


class Deliveries:
    """Reads the log of deliveries and puts into it."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def listed(
        self, *, limit: int, before: int | None = None, recalibration: str | None = None, **equal: Any
    ) -> list[Delivery]:
        """Newest first, those before id ``before``; ``equal`` are columns and what they must be, None: anything.

        Of a ``recalibration`` also the grouped messages that tell of it among others.
        """
        query = sa.select(*_COLUMNS).order_by(deliveries.c.id.desc()).limit(limit)
        for column, value in equal.items():
            if value is not None:
                query = query.where(deliveries.c[column] == value)
        if recalibration is not None:
            among = deliveries.c.told.is_not(None) & deliveries.c.told.contains([recalibration])
            query = query.where((deliveries.c.recalibration == recalibration) | among)
        if before is not None:
            query = query.where(deliveries.c.id < before)
        async with self._engine.connect() as connection:
            return [Delivery(*row) for row in await connection.execute(query)]

    async def get(self, key: int) -> tuple[Delivery, list[PastAttempt]] | None:
        """A delivery with its attempts, oldest first; None when there is none."""
        past = sa.select(*_ATTEMPT_COLUMNS).where(attempts.c.delivery == key).order_by(attempts.c.id)
        async with self._engine.connect() as connection:
            row = (await connection.execute(sa.select(*_COLUMNS).where(deliveries.c.id == key))).first()
            if row is None:
                return None
            return Delivery(*row), [PastAttempt(*line) for line in await connection.execute(past)]

    async def plan_test(self, subscription: uuid.UUID, now: datetime) -> Delivery:
        """A test message to a subscription, due at once."""
        made = (
            sa.insert(deliveries)
            .values(
                subscription=subscription,
                event=f"test-{uuid.uuid4()}",
                type=messages.TEST,
                body=messages.test_body(str(subscription), now),
                recorded=sa.func.clock_timestamp(),
                state="pending",
            )
            .returning(*_COLUMNS)
        )
        async with self._engine.begin() as connection:
            return Delivery(*(await connection.execute(made)).one())

    async def replay(self, key: int) -> Delivery | None:
        """Begin a delivery anew, due at once, with the same event id; None when its subscription is not enabled.

        One that is pending already is only made due; an attempt under way is left to end. What is sent again because
        somebody wishes so says nothing about how long a change takes to its delivery.
        """
        pending = deliveries.c.state == "pending"
        # Held, so that who deletes or disables it meanwhile waits and gives up this one, too.
        active = (
            sa.select(subscriptions.c.id)
            .join(deliveries, deliveries.c.subscription == subscriptions.c.id)
            .where(deliveries.c.id == key, subscriptions.c.enabled)
            .with_for_update(read=True, of=subscriptions)
        )
        again = (
            sa.update(deliveries)
            .where(deliveries.c.id == key)
            .values(
                state="pending",
                attempts=sa.case((pending, deliveries.c.attempts), else_=0),
                arrived=sa.case((pending, deliveries.c.arrived)),
                happened=sa.case((pending, deliveries.c.happened)),
                due=sa.func.clock_timestamp(),
                ended=None,
                reason="replayed",
            )
            .returning(*_COLUMNS)
        )
        async with self._engine.begin() as connection:
            if (await connection.execute(active)).first() is None:
                return None
            row = (await connection.execute(again)).first()
        return None if row is None else Delivery(*row)

    async def waiting(self) -> tuple[int, float]:
        """How many deliveries to enabled subscriptions are to be made, and the age of the oldest in seconds.

        What a subscription gathers to be told together is one delivery, as old as the first of it.
        """
        pending = sa.select(deliveries.c.subscription, deliveries.c.created).where(deliveries.c.state == "pending")
        gathering = sa.select(grouped.c.subscription, sa.func.min(grouped.c.created)).group_by(grouped.c.subscription)
        one = pending.union_all(gathering).subquery()
        age = sa.func.extract("epoch", sa.func.clock_timestamp() - sa.func.min(one.c.created))
        query = (
            sa.select(sa.func.count(), sa.func.coalesce(age, 0))
            .select_from(one)
            .join(subscriptions, subscriptions.c.id == one.c.subscription)
            .where(subscriptions.c.enabled)
        )
        async with self._engine.connect() as connection:
            count, oldest = (await connection.execute(query)).one()
        return int(count), float(oldest)

    async def forget(self, keep: timedelta) -> int:
        """Delete ended deliveries older than ``keep``, with their attempts; how many."""
        old = sa.delete(deliveries).where(
            deliveries.c.state != "pending", deliveries.c.ended < sa.func.clock_timestamp() - keep
        )
        async with self._engine.begin() as connection:
            return (await connection.execute(old)).rowcount
