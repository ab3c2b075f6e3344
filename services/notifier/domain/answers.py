"""Who may answer a recalibration, and what makes two answers the same.

An answer is a decision record: an acknowledgement or a decision with effects. Asked again with the same words, or with
the same idempotency key, it is the same record with the same id, so a client may repeat a request whose answer it lost.
"""

import hashlib
import math
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from shared.schemas.decision import Decision, Effect
from shared.schemas.recalibration import Recalibration
from shared.schemas.week import monday, week_of

NAMESPACE = uuid.UUID("5b0a3f0e-7d2c-5b52-9a51-6f1f3d6e2c11")

Answering = Literal["acknowledged", "decided"]


@dataclass(frozen=True, slots=True)
class Words:
    """What somebody answers: who, why, and for a decision the action and its effects."""

    kind: Answering
    by: str
    why: str = ""
    action: str | None = None
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer is not taken: the recalibration is ``closed``, or the person was ``not-asked`` or ``not-allowed``.

    ``may`` are those who may decide instead.
    """

    cause: Literal["closed", "not-asked", "not-allowed"]
    reason: str
    may: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """An answer's identity: ``id`` of its decision record, and the fingerprint of its words."""

    id: str
    fingerprint: str


def refusal(recalibration: Recalibration, by: str) -> Refusal | None:
    """Why ``by`` may not answer ``recalibration``, or None if they may: an owner, or somebody it escalates to."""
    if recalibration.kind == "resolved":
        return Refusal("closed", f"It was resolved at {recalibration.at.isoformat()}; there is nothing left to answer.")
    asked = [person.id for person in (*recalibration.owners, *recalibration.escalation)]
    if by not in asked:
        return Refusal("not-asked", f"{by!r} is neither an owner nor in the escalation of it: {', '.join(asked)}.")
    return None


def objections(effects: tuple[Effect, ...]) -> list[str]:
    """What is wrong with the effects of a decision, one sentence each; none when they can be applied."""
    found = []
    for number, effect in enumerate(effects):
        found += [f"effects[{number}]: {text}" for text in _objections(effect)]
    return found


def _objections(effect: Effect) -> list[str]:
    found = [f"{week!r} is not an ISO week such as 2026-W14" for week in effect.weeks if not _is_week(week)]
    if not effect.pool:
        found.append("it names no pool")
    if not math.isfinite(effect.amount):
        found.append("the amount is not a number")
    if not effect.deals and not effect.weeks:
        found.append("it names neither weeks nor deals")
    if not effect.deals and effect.amount == 0:
        found.append("an amount of 0 changes nothing")
    return found


def _is_week(text: str) -> bool:
    try:
        return week_of(monday(text)) == text
    except ValueError:
        return False


def name(words: Words, recalibration: str, asked: int, key: str | None, standing: Named | None = None) -> Named:
    """The identity of an answer to ``recalibration``.

    ``asked`` is the transition at which it last fired or reopened: asked anew, the same words are a new answer. With
    an idempotency ``key`` the key alone is the identity; without, an acknowledgement is its person, and a decision is
    the one that is ``standing`` if it has the same words: a later decision replaces an earlier one, so going back to
    former words is a new decision.
    """
    fingerprint = hashlib.sha256(msgspec.json.encode([asked, words])).hexdigest()
    if key is not None:
        natural = f"key:{key}"
    elif words.kind == "acknowledged":
        natural = f"by:{words.by}"
    elif standing is not None and standing.fingerprint == fingerprint:
        return standing
    else:
        natural = f"words:{fingerprint}:{standing.id if standing else ''}"
    identity = "\0".join((recalibration, str(asked), words.kind, natural))
    return Named(str(uuid.uuid5(NAMESPACE, identity)), fingerprint)


def decision(words: Words, recalibration: str, identity: str, now: datetime) -> Decision:
    """The record of an answer given at ``now``."""
    return Decision(
        id=identity,
        recalibration=recalibration,
        kind=words.kind,
        at=now,
        by=words.by,
        why=words.why,
        action=words.action,
        effects=list(words.effects),
    )
