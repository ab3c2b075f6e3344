"""``episodes.v1``: the state of each trigger in each scope, pending ones included."""

from datetime import datetime
from typing import Literal

import msgspec

TYPE = "headroom.episode.v1"
EVALUATED_TYPE = "headroom.evaluated.v1"

Phase = Literal["clear", "pending", "firing", "mitigated"]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")
"""From the mildest to the worst."""


class Asked(msgspec.Struct, frozen=True):
    """That these owners were asked singly, in an ISO week: it counts against their alert budget."""

    week: str
    severity: Severity
    owners: list[str]


class Ended(msgspec.Struct, frozen=True):
    """An earlier episode of the same trigger and scope, by number, that was told and is resolved since ``at``."""

    number: int
    at: datetime


class Episode(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One breach of one trigger in one scope, from the first pending frame to resolved.

    ``number`` counts the episodes of this trigger and scope, ``transition`` those of this episode; ``applied`` is the
    offset of the frame the row is applied to: an earlier or equal frame changes nothing. ``since`` is when the
    condition began to hold, ``fired`` when it had held long enough. ``weeks`` are all weeks breached so far, in
    order. ``clear_since`` is when the clear condition began to hold without a break. ``days`` are those of the last so
    many on which it was breached, where the trigger counts days (``of``). A ``shadow`` episode was told to nobody; a
    ``grouped`` one was beyond its owners' alert budget when it fired; ``singly`` are this week's firings that were not,
    of earlier episodes too. ``ended`` are the resolved ones whose recalibrations are still on the log, oldest first;
    ``ended_known`` that none is missing there, as in rows of versions that did not note them. A row is never deleted:
    the next episode's number, and with it every id, goes on from there.
    """

    trigger: str
    scope: str
    number: int
    phase: Phase
    applied: int
    transition: int = 0
    since: datetime | None = None
    fired: datetime | None = None
    asked: datetime | None = None
    clear_since: datetime | None = None
    severity: Severity = "warning"
    weeks: list[str] = []
    worst: float = 0.0
    recalibration: str | None = None
    days: list[str] = []
    shadow: bool = False
    grouped: bool = False
    singly: list[Asked] = []
    ended: list[Ended] = []
    ended_known: bool = False


class Evaluated(msgspec.Struct):
    """How far frames are evaluated: every frame up to offset ``frame`` has left its mark in the rows, if it left any.

    Written now and then, so that a restart need not evaluate again what changed nothing. A negative one says that none
    is, whatever stands before it on the topic: ``frames.v1`` was made anew. The frames from offset ``begin`` on, a
    complete one first, are all that evaluation still depends on; those before need not be read again.
    """

    frame: int
    begin: int = 0


def record_key(trigger: str, scope: str) -> bytes:
    """The Kafka key of an episode."""
    return msgspec.json.encode([trigger, scope])


EVALUATED_KEY = b'"evaluated"'
"""The Kafka key of the one ``Evaluated``."""

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Episode).decode
decode_evaluated = msgspec.json.Decoder(Evaluated).decode
