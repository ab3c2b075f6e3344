"""Subscriptions and their secrets."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.domain.routing import Filters, filters_from
from services.notifier.domain.signing import Secret
from services.notifier.store.grouped import close
from services.notifier.store.tables import deliveries, secrets, subscriptions

PAUSED = "paused by its owner"
"""Why a subscription is not enabled that its owner paused."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """Who is told of what, where. ``disabled_reason`` says why it is not enabled."""

    id: uuid.UUID
    name: str
    channel: str
    url: str
    filters: Filters
    enabled: bool
    disabled_reason: str | None
    created: datetime
    changed: datetime


class Subscriptions:
    """Writes and reads subscriptions."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, name: str, url: str, filters: Filters, secret: Secret, key_name: str) -> Subscription:
        """A new webhook subscription."""
        made = (
            sa.insert(subscriptions)
            .values(
                id=uuid.uuid4(),
                name=name,
                channel="webhook",
                url=url,
                filters=filters.stored(),
                enabled=True,
                key_name=key_name,
            )
            .returning(subscriptions)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(made)).one()
            await connection.execute(sa.insert(secrets).values(subscription=row.id, secret=secret.reveal()))
        return _subscription(row)

    async def all(self) -> list[Subscription]:
        """Every subscription that is not deleted, oldest first."""
        query = _present().order_by(subscriptions.c.created, subscriptions.c.id)
        async with self._engine.connect() as connection:
            return [_subscription(row) for row in await connection.execute(query)]

    async def get(self, key: uuid.UUID) -> Subscription | None:
        """One subscription, or None when there is none or it was deleted."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_present().where(subscriptions.c.id == key))).first()
        return None if row is None else _subscription(row)

    async def change(self, key: uuid.UUID, **values: Any) -> Subscription | None:
        """Set ``name``, ``url``, ``filters`` or ``enabled``; the subscription as it then is, or None."""
        if isinstance(values.get("filters"), Filters):
            values["filters"] = values["filters"].stored()
        if "enabled" in values:
            values["disabled_reason"] = None if values["enabled"] else PAUSED
        changed = (
            sa.update(subscriptions)
            .where(subscriptions.c.id == key, subscriptions.c.deleted.is_(None))
            .values(changed=sa.func.clock_timestamp(), **values)
            .returning(subscriptions)
        )
        async with self._engine.begin() as connection:
            row = (await connection.execute(changed)).first()
        return None if row is None else _subscription(row)

    async def delete(self, key: uuid.UUID) -> bool:
        """Take a subscription away; what waits for it is given up and stays in the log. False: there was none."""
        gone = (
            sa.update(subscriptions)
            .where(subscriptions.c.id == key, subscriptions.c.deleted.is_(None))
            .values(deleted=sa.func.clock_timestamp(), enabled=False, disabled_reason="deleted")
            .returning(subscriptions.c.id)
        )
        async with self._engine.begin() as connection:
            if (await connection.execute(gone)).first() is None:
                return False
            await connection.execute(sa.delete(secrets).where(secrets.c.subscription == key))
            await give_up_all(connection, key, "the subscription was deleted")
        return True

    async def rotate(self, key: uuid.UUID, secret: Secret, overlap: timedelta) -> datetime | None:
        """Sign with ``secret`` too from now on, and with the former ones until the moment returned.

        None when there is no such subscription.
        """
        async with self._engine.begin() as connection:
            if not await lock_subscription(connection, key):
                return None
            until = sa.func.least(secrets.c.expires, sa.func.clock_timestamp() + overlap)
            await connection.execute(
                sa.delete(secrets).where(secrets.c.subscription == key, secrets.c.expires <= sa.func.clock_timestamp())
            )
            ended = await connection.execute(
                sa.update(secrets)
                .where(secrets.c.subscription == key)
                .values(expires=until)
                .returning(secrets.c.expires)
            )
            last: Sequence[datetime] = ended.scalars().all()
            await connection.execute(sa.insert(secrets).values(subscription=key, secret=secret.reveal()))
        return max(last)


async def lock_subscription(connection: AsyncConnection, key: uuid.UUID) -> bool:
    """Hold a subscription's row until the transaction ends; False when there is none."""
    query = sa.select(subscriptions.c.id).where(subscriptions.c.id == key, subscriptions.c.deleted.is_(None))
    return (await connection.execute(query.with_for_update())).first() is not None


async def give_up_all(connection: AsyncConnection, subscription: uuid.UUID, reason: str) -> None:
    """End every pending delivery of a subscription, and what waits to be told together, visibly."""
    await close(connection, subscription)
    await connection.execute(
        sa.update(deliveries)
        .where(deliveries.c.subscription == subscription, deliveries.c.state == "pending")
        .values(state="given-up", reason=reason, ended=sa.func.clock_timestamp(), leased_by=None, leased_until=None)
    )


def _present() -> sa.Select[Any]:
    return sa.select(subscriptions).where(subscriptions.c.deleted.is_(None))


def _subscription(row: sa.Row[Any]) -> Subscription:
    return Subscription(
        row.id,
        row.name,
        row.channel,
        row.url,
        filters_from(row.filters),
        row.enabled,
        row.disabled_reason,
        row.created,
        row.changed,
    )
