"""Answers to recalibrations: the answer, its outbox row and its place in the feed in one transaction."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.notifier.domain.answers import Named, Refusal, Words, decision, name, refusal
from services.notifier.domain.authority import beyond
from services.notifier.store.feed import Happening, append, lock_appending
from services.notifier.store.tables import decisions, outbox, recalibrations
from shared.schemas import decision as decision_records
from shared.schemas import recalibration as recalibration_records
from shared.schemas.decision import Decision
from shared.schemas.plan import Plan


@dataclass(frozen=True, slots=True)
class Given:
    """An answer that stands: ``new`` when this call made it. ``since_fired`` is set on the first acknowledgement."""

    decision: Decision
    new: bool
    since_fired: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Unknown:
    """There is no such recalibration."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The idempotency key was used before for other words."""


class Answers:
    """Writes answers."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def give(
        self,
        recalibration: str,
        words: Words,
        *,
        now: datetime,
        key: str | None,
        key_name: str,
        trace: bytes | None = None,
        plan: Plan | None = None,
    ) -> Given | Unknown | Refusal | Mismatch:
        """Record an answer at ``now`` of the system's clock; the same answer again is found, not made.

        ``key`` is the idempotency key, ``key_name`` the name of the API key that was used; ``trace`` goes on with it.
        ``plan`` is the one in force, which says how much whom may decide; it must be given for a decision with effects.
        """
        async with self._engine.begin() as connection:
            # The lock keeps an answer and the recalibration's resolving in one order.
            query = sa.select(recalibrations).where(recalibrations.c.id == recalibration).with_for_update()
            row = (await connection.execute(query)).first()
            if row is None:
                return Unknown()
            named = name(words, recalibration, row.asked, key, await _standing(connection, recalibration))
            known = await _known(connection, named.id)
            if known is not None:
                record, fingerprint = known
                same = key is None or fingerprint == named.fingerprint
                return Given(record, new=False) if same else Mismatch()
            asking = recalibration_records.decode(row.body.encode())
            refused = refusal(asking, words.by)
            if refused is None and words.effects:
                assert plan is not None, "effects are held against a plan"
                refused = beyond(words, asking, plan)
            if refused is not None:
                return refused
            first = words.kind == "acknowledged" and not await _acknowledged(connection, recalibration)
            record = decision(words, recalibration, named.id, now)
            await _insert(connection, record, named.fingerprint, key_name, trace)
            return Given(record, new=True, since_fired=now - row.fired if first else None)


async def _known(connection: AsyncConnection, identity: str) -> tuple[Decision, str] | None:
    row = (await connection.execute(sa.select(decisions).where(decisions.c.id == identity))).first()
    return None if row is None else (decision_records.decode(row.body.encode()), row.fingerprint)


async def _standing(connection: AsyncConnection, recalibration: str) -> Named | None:
    """The decision in force: the last one."""
    query = (
        sa.select(decisions.c.id, decisions.c.fingerprint)
        .where(decisions.c.recalibration == recalibration, decisions.c.kind == "decided")
        .order_by(decisions.c.number.desc())
        .limit(1)
    )
    row = (await connection.execute(query)).first()
    return None if row is None else Named(row.id, row.fingerprint)


async def _acknowledged(connection: AsyncConnection, recalibration: str) -> bool:
    earlier = sa.exists().where(decisions.c.recalibration == recalibration, decisions.c.kind == "acknowledged")
    return bool(await connection.scalar(sa.select(earlier)))


async def _insert(
    connection: AsyncConnection, record: Decision, fingerprint: str, key_name: str, trace: bytes | None
) -> None:
    body = decision_records.encode(record).decode()
    await lock_appending(connection)
    await connection.execute(
        insert(decisions).values(
            id=record.id,
            recalibration=record.recalibration,
            kind=record.kind,
            fingerprint=fingerprint,
            key_name=key_name,
            body=body,
        )
    )
    carried = None if trace is None else trace.decode()
    await connection.execute(insert(outbox).values(decision=record.id, trace=carried))
    await append(connection, [Happening(record.id, f"decision.{record.kind}", body)])
