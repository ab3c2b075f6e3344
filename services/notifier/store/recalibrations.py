"""Recalibrations as last known, and the one transaction that takes a batch of them in and plans its deliveries."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.domain import messages
from services.notifier.domain.routing import Filters, filters_from, route
from services.notifier.store import grouped
from services.notifier.store.feed import Happening, append, lock_appending
from services.notifier.store.tables import decisions, deliveries, recalibrations, subscriptions
from shared.schemas import recalibration as records
from shared.schemas.recalibration import Recalibration
from shared.schemas.trace import NOWHERE, Passage

CHUNK = 500
STATES = {"firing": ("firing", "updated", "reopened"), "mitigated": ("mitigated",), "resolved": ("resolved",)}
"""The state of a recalibration by the kind of its last transition."""

OPEN = STATES["firing"] + STATES["mitigated"]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One record of the log: the recalibration, the wall time of its record, and what it carries on.

    ``happened`` is the source's own time of what brought it about, in ms of the system's clock, 0: unknown.
    """

    recalibration: Recalibration
    recorded: datetime
    passage: Passage = NOWHERE
    happened: int = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """What a batch came to: the transitions that were new, and how many deliveries of each type were planned."""

    fresh: list[Recalibration]
    planned: dict[str, int]


@dataclass(frozen=True, slots=True)
class Known:
    """A recalibration as stored, with the answers to it as JSON, oldest first."""

    body: str
    answers: list[str]


class Recalibrations:
    """Writes and reads recalibrations."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def take_in(self, arrivals: Sequence[Arrival]) -> Taken:
        """Store what is new in ``arrivals`` and plan a delivery to every subscription it goes to: all or nothing.

        A transition that is not newer than the stored one changes nothing and plans nothing, so a batch may be
        repeated, whole or in part.
        """
        async with self._engine.begin() as connection:
            fresh = await self._fresh(connection, arrivals)
            await self._upsert(connection, [arrival.recalibration for arrival in fresh])
            planned = await self._plan(connection, fresh)
            if fresh:
                await lock_appending(connection)
                await append(connection, [_happening(arrival.recalibration) for arrival in fresh])
        return Taken([arrival.recalibration for arrival in fresh], planned)

    async def _fresh(self, connection: AsyncConnection, arrivals: Sequence[Arrival]) -> list[Arrival]:
        """Those whose transition is newer than what is stored and than those before them."""
        ids = sorted({arrival.recalibration.id for arrival in arrivals})
        query = (
            sa.select(recalibrations.c.id, recalibrations.c.transition)
            .where(recalibrations.c.id.in_(ids))
            .order_by(recalibrations.c.id)
            .with_for_update()
        )
        newest: dict[str, int] = {row.id: row.transition for row in await connection.execute(query)}
        fresh = []
        for arrival in arrivals:
            one = arrival.recalibration
            if one.transition > newest.get(one.id, -1):
                newest[one.id] = one.transition
                fresh.append(arrival)
        return fresh

    async def _upsert(self, connection: AsyncConnection, fresh: Sequence[Recalibration]) -> None:
        asked: dict[str, int] = {}
        last: dict[str, Recalibration] = {}
        for one in fresh:
            last[one.id] = one
            if one.kind in ("firing", "reopened"):
                asked[one.id] = one.transition
        if not last:
            return
        rows = [_row(one, asked.get(key, 0)) for key, one in sorted(last.items())]
        new = insert(recalibrations)
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=["id"],
                set_={
                    **{name: new.excluded[name] for name in ("transition", "kind", "severity", "trigger", "pool")},
                    **{name: new.excluded[name] for name in ("fired", "body")},
                    "asked": sa.func.greatest(recalibrations.c.asked, new.excluded.asked),
                },
                where=recalibrations.c.transition < new.excluded.transition,
            ),
            rows,
        )

    async def _plan(self, connection: AsyncConnection, fresh: Sequence[Arrival]) -> dict[str, int]:
        """One delivery for each fresh transition and each subscription it goes to; grouped ones wait for others."""
        if not fresh:
            return {}
        going = [
            (arrival, subscription)
            for listening in [await _listening(connection)]
            for arrival in fresh
            for subscription, filters in listening
            if route(filters, arrival.recalibration).goes
        ]
        together = [(to, arrival.recalibration) for arrival, to in going if arrival.recalibration.grouped]
        await grouped.put(connection, together)
        singly = [(arrival, to) for arrival, to in going if not arrival.recalibration.grouped]
        bodies = {arrival.recalibration.event_id: messages.body(arrival.recalibration) for arrival, _ in singly}
        rows = [_delivery(arrival, to, bodies[arrival.recalibration.event_id]) for arrival, to in singly]
        planned: dict[str, int] = {}
        once = insert(deliveries).on_conflict_do_nothing(constraint="deliveries_once")
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            made = await connection.execute(once.values(some).returning(deliveries.c.type))
            for one in made.scalars():
                planned[one] = planned.get(one, 0) + 1
        return planned

    async def listed(
        self, *, kinds: Sequence[str] | None, pool: str | None, limit: int, before: tuple[datetime, str] | None
    ) -> list[Known]:
        """The recalibrations in the state that ``kinds`` make, newest firing first, after the place ``before``."""
        query = sa.select(recalibrations.c.id, recalibrations.c.body).order_by(
            recalibrations.c.fired.desc(), recalibrations.c.id.desc()
        )
        if kinds is not None:
            query = query.where(recalibrations.c.kind.in_(kinds))
        if pool is not None:
            query = query.where(recalibrations.c.pool == pool)
        if before is not None:
            place = sa.tuple_(recalibrations.c.fired, recalibrations.c.id)
            query = query.where(place < sa.tuple_(sa.literal(before[0]), sa.literal(before[1])))
        async with self._engine.connect() as connection:
            found = (await connection.execute(query.limit(limit))).all()
            answers = await _answers(connection, [row.id for row in found])
        return [Known(row.body, answers.get(row.id, [])) for row in found]

    async def known(self, identity: str) -> Known | None:
        """One recalibration with the answers to it, or None."""
        async with self._engine.connect() as connection:
            body = await connection.scalar(sa.select(recalibrations.c.body).where(recalibrations.c.id == identity))
            answers = await _answers(connection, [identity])
        return None if body is None else Known(body, answers.get(identity, []))


async def _listening(connection: AsyncConnection) -> list[tuple[uuid.UUID, Filters]]:
    """Who is to be told; they stay so until the transaction ends.

    Whoever deletes or disables a subscription meanwhile waits, and so gives up what is planned here, too.
    """
    query = (
        sa.select(subscriptions.c.id, subscriptions.c.filters)
        .where(subscriptions.c.enabled, subscriptions.c.deleted.is_(None))
        .order_by(subscriptions.c.id)
        .with_for_update(read=True)
    )
    return [(row.id, filters_from(row.filters)) for row in await connection.execute(query)]


async def _answers(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, list[str]]:
    query = (
        sa.select(decisions.c.recalibration, decisions.c.body)
        .where(decisions.c.recalibration.in_(ids))
        .order_by(decisions.c.number)
    )
    found: dict[str, list[str]] = {}
    for row in await connection.execute(query):
        found.setdefault(row.recalibration, []).append(row.body)
    return found


def _row(one: Recalibration, asked: int) -> dict[str, object]:
    return {
        "id": one.id,
        "transition": one.transition,
        "asked": asked,
        "kind": one.kind,
        "severity": one.severity,
        "trigger": one.trigger,
        "pool": one.pool,
        "fired": one.fired,
        "body": records.encode(one).decode(),
    }


def _delivery(arrival: Arrival, subscription: object, body: str) -> dict[str, object]:
    one = arrival.recalibration
    return {
        "subscription": subscription,
        "event": one.event_id,
        "type": messages.type_of(one),
        "recalibration": one.id,
        "body": body,
        "recorded": arrival.recorded,
        "trace": None if arrival.passage.trace is None else arrival.passage.trace.decode(),
        "arrived": arrival.passage.arrived or None,
        "happened": arrival.happened or None,
        "state": "pending",
    }


def _happening(one: Recalibration) -> Happening:
    return Happening(one.event_id, messages.type_of(one), records.encode(one).decode())
