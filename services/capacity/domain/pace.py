"""How what changes is spread over frames on a busy system, so that what moved far is told soon."""

from datetime import timedelta
from typing import Final, NamedTuple


class Pace(NamedTuple):
    """``pools``: so many at most in one frame, those first whose headroom moved most; None: all.

    ``others``: so much time at least from a frame to the next while no pool moved far. ``forecasts``: so much time at
    least between forecasts of the same plan and day. What changed meanwhile is told together.
    """

    pools: int | None = None
    others: timedelta = timedelta()
    forecasts: timedelta = timedelta()


EVERYTHING_AT_ONCE: Final = Pace()
