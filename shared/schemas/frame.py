"""``frames.v1``: one projection — all that triggers see, in order, replayable."""

from datetime import datetime

import msgspec

from shared.schemas.position import Position, WorkState

TYPE = "headroom.frame.v1"


class ListedDeal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deal that the projection lists apart, with the reason.

    Reasons: no-product, unknown-product, no-needs, unknown-stage, no-close-date, stale, no-rate.
    """

    deal: str
    reason: str
    exposure: float = 0.0


class Frame(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What changed in one projection, or everything when ``complete`` (after each restore and at week rollover).

    ``now`` is the moment it speaks of and the only clock of its readers; ``plan`` is ``id@version``; ``upto`` the
    deals offset applied, by partition; ``book_time`` the newest source time (ms) of a deal in it. ``report_ages`` are
    seconds since each pool's last report, None: never. ``listed`` replaces the former list whenever it is not None.
    ``gone`` are positions (pool, week) that no longer exist, which a complete frame need not name.
    """

    now: datetime
    week: str
    plan: str
    complete: bool
    upto: dict[int, int]
    positions: list[Position] = []
    work: list[WorkState] = []
    gone: list[tuple[str, str]] = []
    report_ages: dict[str, float | None] = {}
    listed: list[ListedDeal] | None = None
    book_time: int = 0


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Frame).decode
