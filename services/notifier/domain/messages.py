"""What is sent: the body of a message, frozen when the delivery is planned so that every attempt sends the same."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from shared.schemas import recalibration as recalibrations
from shared.schemas.episode import SEVERITIES
from shared.schemas.recalibration import Recalibration

TEST = "test"
GROUPED = "recalibration.grouped"
WHOLE = 500
"""Of so many transitions one grouped message tells what they are about, of more only that they are there."""


def type_of(recalibration: Recalibration) -> str:
    """The event type, such as ``recalibration.firing``."""
    return f"recalibration.{recalibration.kind}"


def body(recalibration: Recalibration) -> str:
    """The message about one transition of a recalibration: type, the moment it speaks of, the whole record."""
    data = msgspec.Raw(recalibrations.encode(recalibration))
    message = {"type": type_of(recalibration), "timestamp": recalibration.at, "data": data}
    return msgspec.json.encode(message).decode()


class Item(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One transition in a grouped message; the whole record is asked for by its ``id``."""

    id: str
    event_id: str
    kind: str
    transition: int
    severity: str
    trigger: str = ""
    scope: str = ""
    pool: str | None = None
    at: datetime | None = None
    summary: str = ""
    owners: list[str] = []
    acknowledge_by: datetime | None = None
    decide_by: datetime | None = None


def item(recalibration: Recalibration) -> str:
    """What a grouped message says of one transition, as JSON."""
    one = recalibration
    return msgspec.json.encode(
        Item(
            id=one.id,
            event_id=one.event_id,
            kind=one.kind,
            transition=one.transition,
            severity=one.severity,
            trigger=one.trigger,
            scope=one.scope,
            pool=one.pool,
            at=one.at,
            summary=one.summary,
            owners=[person.id for person in one.owners],
            acknowledge_by=one.acknowledge_by,
            decide_by=one.decide_by,
        )
    ).decode()


def grouped_body(items: Sequence[str], now: datetime) -> str:
    """One message of many transitions: the severest first, otherwise in the order in which they came."""
    found = sorted((_decode_item(one) for one in items), key=lambda one: -SEVERITIES.index(one.severity))
    brief = [
        Item(id=one.id, event_id=one.event_id, kind=one.kind, transition=one.transition, severity=one.severity)
        for one in found[WHOLE:]
    ]
    data = {"count": len(found), "recalibrations": [*found[:WHOLE], *brief]}
    return msgspec.json.encode({"type": GROUPED, "timestamp": now, "data": data}).decode()


def told_in(items: Sequence[str]) -> list[str]:
    """The recalibrations that a grouped message of these tells of, each once."""
    return sorted({_decode_item(one).id for one in items})


_decode_item = msgspec.json.Decoder(Item).decode


def test_body(subscription: str, now: datetime) -> str:
    """The message that only tests whether a subscription's receiver answers."""
    data = {"subscription": subscription, "text": "Headroom can reach you here."}
    return json.dumps({"type": TEST, "timestamp": now.isoformat(), "data": data}, separators=(",", ":"))


def plain_data(**data: Any) -> str:
    """One line of JSON about something of the notifier's own."""
    return json.dumps(data, separators=(",", ":"))
