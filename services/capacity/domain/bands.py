"""The quantiles of sums that lie on grids, over all situations in which deals rise and fall together.

What the few situations come to is summed roughly at every point of a week's grid, and how far that is from the answer
over all situations hardly changes between neighbours: a few looks tell at which point a share is first reached.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.copula import Guide
from services.capacity.domain.exact_sums import Sums

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

SHARES: Final = (0.5, 0.8, 0.95)
"""The quantiles of the bands."""
_REACHED: Final = 1e-9
"""A share is reached if so little is missing."""
_LOOKS: Final = 5
"""Guesses after which what is left is halved."""


def bands_of(portions: Sequence[Sums], guide: Guide) -> Floats:
    """The quantiles at ``SHARES``, none below the one before: shape (len(SHARES), weeks).

    ``portions`` have the weeks of ``guide`` in their order.
    """
    line = _Line(portions, guide)
    at, least, most = _first_reached(line)
    shares = np.array(SHARES)[:, None]
    found = line.places[at]
    part = (shares - least) / np.where(most > least, most - least, 1.0)
    smooth = np.concatenate([portion.smooth for portion in portions])
    uncertain = np.concatenate([portion.uncertain for portion in portions])
    even = smooth | (uncertain & (found > 0))
    step = np.concatenate([portion.step for portion in portions])
    found = found + np.where(even, np.clip(part, 0.0, 1.0) - 0.5, 0.0) * step
    return np.asarray(np.maximum.accumulate(np.maximum(found, 0.0), axis=0))


class _Line:
    """The points of all weeks one after the other; ``begin`` and ``end`` are where each week's are."""

    def __init__(self, portions: Sequence[Sums], guide: Guide) -> None:
        self._below = np.concatenate([each.below.reshape(len(each.below), -1) for each in portions], axis=1)
        self.places: Floats = np.concatenate([each.places.ravel() for each in portions])
        points = np.concatenate([np.full(len(each.step), each.places.shape[1]) for each in portions])
        self.end: Places = np.cumsum(points)
        self.begin: Places = self.end - points
        self._guide = guide
        rough = np.clip(guide.roughly(self._below), 0.0, 1.0)
        # Two more for each week: one search finds the place in every week.
        self._rising = rough + np.repeat(2.0 * np.arange(len(points)), points)

    def place(self, share: Floats, week: Places) -> Places:
        """The first point of the week where roughly that share is reached."""
        return np.searchsorted(self._rising, np.clip(share, 0.0, 1.5) + 2.0 * week)

    def rough(self, at: Places, week: Places) -> Floats:
        """The probability of up to a point, roughly."""
        return self._rising[at] - 2.0 * week

    def up_to(self, at: Places, week: Places) -> Floats:
        """The probability of up to a point, over all situations."""
        return 1.0 - self._guide.over_all(1.0 - self._below[:, at], self.places[at], week)


def _first_reached(line: _Line) -> tuple[Places, Floats, Floats]:
    """By quantile and week: where its share is first reached, and the probability below that point and up to it."""
    weeks = len(line.begin)
    week = np.tile(np.arange(weeks), len(SHARES))
    share = np.repeat(SHARES, weeks)
    before, first = line.begin[week] - 1, line.end[week] - 1
    least, most = np.zeros(len(week)), np.ones(len(week))
    off = np.zeros(len(week))
    left = np.flatnonzero(first - before > 1)
    look = 0
    while len(left):
        here = week[left]
        guess = line.place(share[left] - off[left], here) if look < _LOOKS else (before[left] + first[left]) // 2
        guess = np.clip(guess, before[left] + 1, first[left] - 1)
        found = line.up_to(guess, here)
        off[left] = found - line.rough(guess, here)
        reached = found >= share[left] - _REACHED
        yes, no = left[reached], left[~reached]
        first[yes], most[yes] = guess[reached], found[reached]
        before[no], least[no] = guess[~reached], found[~reached]
        left = left[first[left] - before[left] > 1]
        look += 1
    return first.reshape(-1, weeks), least.reshape(-1, weeks), most.reshape(-1, weeks)
