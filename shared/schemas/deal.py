"""``deals.v1``: the whole deal as last known, never a delta."""

from datetime import date
from typing import Literal

import msgspec

TYPE = "headroom.deal.v1"

DealType = Literal["new", "expansion", "renewal"]


class Stamp(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """When a field was last said: source time in milliseconds, the source's sequence, version of the mapping used.

    Stamps order as they are written: later time wins, then higher sequence, then newer mapping.
    """

    time: int
    sequence: int = 0
    mapping: int = 0


class Line(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """One product of a deal. Money is in the deal's currency; without its own ``probability`` the stage's counts."""

    product: str
    quantity: float | None = None
    amount: float | None = None
    list_amount: float | None = None
    arr: float | None = None
    segment: str | None = None
    custom: bool | None = None
    type: DealType | None = None
    probability: float | None = None


class Deal(msgspec.Struct, omit_defaults=True, kw_only=True, gc=False):
    """A deal as the CRM last said it.

    ``id`` is ``source/object``; ``version`` counts the changes the normaliser wrote, and leaps where it had to begin a
    deal anew; ``deleted`` deals stay as a record so that a late event of the same deal does not revive it. ``close`` is
    the day the deal is expected to close, or closed; ``engaged`` the day work on it began. ``fields`` holds each
    field's stamp, ``time`` the newest of them in ms. A line's segment, custom flag, type and probability default to the
    deal's.
    """

    id: str
    source: str
    object: str
    version: int
    time: int = 0
    deleted: bool = False
    name: str | None = None
    stage: str | None = None
    close: date | None = None
    engaged: date | None = None
    amount: float | None = None
    currency: str | None = None
    rate: float | None = None
    rate_date: date | None = None
    segment: str = ""
    type: DealType = "new"
    custom: bool = False
    probability: float | None = None
    owner: str | None = None
    account: str | None = None
    scale: dict[str, float] = {}
    lines: list[Line] = []
    fields: dict[str, Stamp] = {}


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Deal).decode
