"""How what changes is spread over frames on a busy system, so that what moved far is told soon."""

from typing import Final, NamedTuple


class Pace(NamedTuple):
    """``pools``: so many at most in one frame, those first whose headroom moved most; None: all.

    ``others``: so many seconds at least from a frame with pools that moved little to the next; those that moved far are
    told at once. ``forecasts``: so many at least between forecasts of the same plan and day. What changed meanwhile is
    told together. Seconds are those of the machine: the system's clock may stand still, run ahead or be set back.
    """

    pools: int | None = None
    others: float = 0.0
    forecasts: float = 0.0


EVERYTHING_AT_ONCE: Final = Pace()
