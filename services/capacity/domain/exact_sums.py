"""Sums of deals that are what they are and of a crowd, on a grid: how likely they exceed a limit, and their quantiles.

The deals are convolved exactly in a few situations of the common factor, the crowd is known by moments in each.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy import fft

from services.capacity.domain.convolution import Grid, Lumps, distribution
from services.capacity.domain.crowd import Moments

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

_WIDE: Final = 5.0
"""Deviations from the mean beyond which a sum of independent deals is hardly ever met."""
_SAME: Final = 1e-7
"""Relative: a sum so close to the limit is at it."""


@dataclass(frozen=True)
class Sums:
    """Lumps and crowd of some weeks: ``over`` is P(more than the limit) by situation and week.

    ``below`` is the probability of up to each point by situation, week and point; ``places`` are the amounts at the
    points, ``step`` apart. In a ``smooth`` week what lies at a point is spread evenly about it; where just some deal's
    effort is ``uncertain`` that of deals is; elsewhere it is just there.
    """

    over: Floats
    below: Floats
    places: Floats
    step: Floats
    smooth: Flags
    uncertain: Flags
    lumps: "_Masses"

    def over_with(self, limit: Floats, crowd: Moments, weeks: Places) -> Floats:
        """P(more than the limit) by situation in these weeks, with another crowd."""
        return self.lumps.exceed(slack_of(limit), crowd, weeks)


@dataclass(frozen=True)
class _Masses:
    """Lumps alone: ``masses`` by situation, week and point, the ``sums`` there, and their variance about those."""

    masses: Floats
    sums: Floats
    smear: Floats

    def exceed(self, limit: Floats, crowd: Moments, weeks: Places) -> Floats:
        """P(more than the limit) by situation in these weeks, together with a crowd."""
        if not len(weeks):
            return np.zeros((len(self.masses), 0))
        above = crowd.exceeds(limit[:, None] - self.sums[weeks], self.smear[weeks])
        return np.asarray(np.clip(np.einsum("swp,swp->sw", self.masses[:, weeks], above), 0.0, 1.0))


def sums_of(limit: Floats, lumps: Lumps, crowd: Moments, points: int) -> Sums:
    """Lumps and crowd together, in each of the situations of ``lumps``."""
    grid, offset = _grid(lumps, crowd, points)
    masses, sums = distribution(lumps, grid)
    # Where effort is uncertain sums lie anywhere about their point, save that of no deal.
    uncertain = ((lumps.chances.max(axis=0) > 0) & (np.array(lumps.cvs)[lumps.effort] > 0)).any(axis=1)
    nobody = (grid.first == 0)[:, None] & (np.arange(points) == 0)
    sums = np.where(nobody & uncertain[:, None], 0.0, sums)
    smear = np.where(nobody, 0.0, (uncertain * grid.step**2 / 12)[:, None])
    alone = _Masses(masses, sums, smear)
    below, places, smooth = _together(alone, crowd, grid, offset)
    slack = slack_of(limit)
    over = 1.0 - _up_to(below, places, grid.step, slack)
    apart = np.flatnonzero(~smooth)
    over[:, apart] = alone.exceed(slack[apart], crowd.at(apart), apart)
    return Sums(np.clip(over, 0.0, 1.0), below, places, grid.step, smooth, uncertain, alone)


def slack_of(limit: Floats) -> Floats:
    """What a sum has to exceed to be more than the limit, rounding aside."""
    return np.asarray(limit + _SAME * np.maximum(np.abs(limit), 1.0))


def _up_to(below: Floats, places: Floats, step: Floats, amount: Floats) -> Floats:
    """P(no more than so much) by situation and week, where it is smooth."""
    at = np.clip((amount - places[:, 0]) / step + 0.5, -1.0, float(places.shape[1]))
    point = np.clip(np.floor(at).astype(np.intp), 0, places.shape[1] - 1)
    rows = np.arange(len(at))
    least = np.where(point > 0, below[:, rows, np.maximum(point - 1, 0)], 0.0)
    return np.asarray(least + np.clip(at - point, 0.0, 1.0) * (below[:, rows, point] - least))


def _together(lumps: _Masses, crowd: Moments, grid: Grid, offset: Floats) -> tuple[Floats, Floats, Flags]:
    """The probability of up to each point, the amounts at the points, and in which weeks all is spread about them."""
    masses, sums = lumps.masses, lumps.sums
    middle = len(masses) // 2
    smooth = crowd.variance.min(axis=0) > grid.step**2
    spread = crowd.variance.max(axis=0) > (0.3 * grid.step) ** 2
    begin = np.where(spread, offset, crowd.mean[middle])
    below, places = np.empty_like(masses), sums + begin[:, None]
    narrow, wide = np.flatnonzero(~spread), np.flatnonzero(spread)
    if len(narrow):
        below[:, narrow] = np.cumsum(masses[:, narrow], axis=2)
    if not len(wide):
        return below, places, smooth
    few = slice(None) if not len(narrow) else wide
    step = grid.step[few, None]
    edges = offset[few, None] + (np.arange(grid.points + 1) - 0.5) * step
    above = crowd.at(wide).exceeds(edges)
    above[..., 0], above[..., -1] = 1.0, 0.0
    both = fft.rfft(above[..., :-1] - above[..., 1:])
    both *= fft.rfft(masses[:, few])
    below[:, few] = np.clip(np.cumsum(fft.irfft(both, grid.points), axis=2), 0.0, 1.0)
    even = (grid.first[few, None] + np.arange(grid.points)) * step
    moved = np.einsum("wp,wp->w", masses[middle][few], sums[few] - even)
    places[few] = even + (moved + begin[few])[:, None]
    return below, places, smooth


def _grid(lumps: Lumps, crowd: Moments, points: int) -> tuple[Grid, Floats]:
    """The grid that holds every sum that is met; and the amount at which the crowd is taken to begin."""
    cv = np.array(lumps.cvs)[lumps.effort]
    first = (lumps.pushes * lumps.amounts).sum(axis=2)
    second = (lumps.pushes * lumps.amounts**2).sum(axis=2) * (1 + cv**2)
    mean = (lumps.chances * first).sum(axis=2)
    deviation = np.sqrt(np.maximum((lumps.chances * second - (lumps.chances * first) ** 2).sum(axis=2), 0.0))
    most = lumps.amounts.max(axis=2) * (1 + 4 * cv) * (lumps.chances.max(axis=0) > 0)
    low = np.maximum((mean - _WIDE * deviation).min(axis=0), 0.0)
    high = np.minimum((mean + _WIDE * deviation).max(axis=0) + most.max(axis=1), most.sum(axis=1))
    aside = np.sqrt(crowd.variance)
    offset = np.where(aside.max(axis=0) > 0, (crowd.mean - 4 * aside).min(axis=0), crowd.mean[0])
    wide = np.where(aside.max(axis=0) > 0, (crowd.mean + 5 * aside).max(axis=0) - offset, 0.0)
    many = (lumps.chances.max(axis=0) > 0).sum(axis=1)
    spare = np.minimum(many / 2, 4 + 2 * np.sqrt(many)) + 3
    low = np.minimum(low, high)
    step = np.maximum((high - low + wide) / (points - spare), 1e-12)
    return Grid(step, np.floor(low / step - spare / 2).clip(0).astype(np.intp), points), offset
