"""``decisions.v1``: what the owners answered — who, when, why, and with which effects on capacity."""

from datetime import datetime
from typing import Literal

import msgspec

TYPE = "headroom.decision.v1"

Kind = Literal["acknowledged", "unacknowledged", "decided", "overridden", "escalated", "expired"]


class Effect(msgspec.Struct, frozen=True, omit_defaults=True):
    """A change of capacity that was decided: ``amount`` of the pool's unit more (or less) in each of ``weeks``.

    Counts as decided until a report confirms it or ``confirm_by`` passes. With ``deals`` it holds those deals' effort
    back instead: their demand on ``pool`` is taken out (a promise withdrawn or built on the standard product).
    """

    pool: str
    weeks: list[str] = []
    amount: float = 0.0
    deals: list[str] = []
    confirm_by: datetime | None = None


class Decision(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One answer to one recalibration. ``id`` is unique: readers drop ids already seen."""

    id: str
    recalibration: str
    kind: Kind
    at: datetime
    by: str
    why: str = ""
    action: str | None = None
    effects: list[Effect] = []


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Decision).decode
