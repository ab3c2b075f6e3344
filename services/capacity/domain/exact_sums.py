"""Sums of deals that are what they are and of a crowd, on a grid: how likely they exceed a limit, and their quantiles.

The deals are convolved exactly in a few situations of the common factor, the crowd is known by moments in each, and the
answers are integrated over all situations.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.convolution import Grid, Lumps, distribution
from services.capacity.domain.copula import over_all
from services.capacity.domain.overload import exceeds
from services.capacity.domain.planned import PlannedDemand

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

_SELDOM: Final = 0.05
_WIDE: Final = 7.0
"""Deviations from the mean beyond which no sum of independent deals is met."""
_SAME: Final = 1e-7
"""Relative: a sum so close to the limit is at it."""
SHARES: Final = (0.5, 0.8, 0.95)
"""The quantiles of the bands."""


@dataclass(frozen=True)
class Moments:
    """Mean, variance and third moment by situation and week."""

    mean: Floats
    variance: Floats
    third: Floats

    def at(self, weeks: Places) -> "Moments":
        return Moments(self.mean[:, weeks], self.variance[:, weeks], self.third[:, weeks])

    def plus(self, planned: PlannedDemand, weeks: Places) -> "Moments":
        more = planned.mean[weeks], planned.variance[weeks], planned.third[weeks]
        return Moments(self.mean + more[0], self.variance + more[1], self.third + more[2])

    def first(self, count: int) -> "Moments":
        return Moments(self.mean[:count], self.variance[:count], self.third[:count])

    def score(self, limit: Floats) -> Floats:
        """How many deviations the mean lies above each limit (the last axis is the week)."""
        wide = (len(self.mean), *([1] * (limit.ndim - 1)), -1)
        deviation = np.maximum(np.sqrt(self.variance), 1e-9 * np.maximum(np.abs(self.mean), 1.0)).reshape(wide)
        found: Floats = (self.mean.reshape(wide) - limit) / deviation
        return found


def exact(
    limit: Floats, lumps: Lumps, crowd: Moments, total: Moments, weight: Floats, points: int, only_overload: bool
) -> tuple[Floats, Floats]:
    """P(more than the limit), and the quantiles (nothing if ``only_overload``), of lumps and crowd together."""
    count = len(lumps.chances)
    crowd = crowd.first(count)
    grid, offset = _grid(lumps, crowd, points)
    masses, sums = distribution(lumps, grid)
    # Where effort is uncertain sums lie anywhere about their point, save that of no deal; and where several sums lie
    # at one point, what they differ by is given back as chance.
    uncertain = ((lumps.chances.max(axis=0) > 0) & (np.array(lumps.cvs)[lumps.effort] > 0)).any(axis=1)
    nobody = (grid.first == 0)[:, None] & (np.arange(points) == 0)
    sums = np.where(nobody & uncertain[:, None], 0.0, sums)
    lost = _lost(lumps, masses, sums, nobody)
    wider = Moments(crowd.mean, crowd.variance + lost, crowd.third)
    together = _together(masses, sums, wider, grid, offset)
    slack = limit + _SAME * np.maximum(np.abs(limit), 1.0)
    over = 1.0 - together.up_to(slack)
    apart = np.flatnonzero(~together.smooth)
    smear = np.where(nobody, lost[:, None], (uncertain * grid.step**2 / 12 + lost)[:, None])[apart]
    for number, mass in enumerate(masses):
        here = crowd.at(apart)
        moments = here.mean[number][:, None], here.variance[number][:, None] + smear, here.third[number][:, None]
        above = exceeds(slack[apart, None] - sums[apart], *np.broadcast_arrays(*moments))
        over[number, apart] = (mass[apart] * above).sum(axis=1)
    overload = over_all(np.clip(over, 0.0, 1.0), total.score(limit), weight)
    return overload, np.zeros((1, 1)) if only_overload else _bands(together, total, weight, uncertain)


@dataclass(frozen=True)
class _Together:
    """Lumps and crowd: ``below`` is the probability of up to each point by situation, week and point.

    ``places`` are the amounts at the points, ``step`` apart. Where the crowd is ``smooth`` what lies at a point is
    spread evenly about it; elsewhere it is just there.
    """

    below: Floats
    places: Floats
    step: Floats
    smooth: Flags

    def up_to(self, amount: Floats) -> Floats:
        """P(no more than so much) by situation and week, where it is smooth."""
        at = np.clip((amount - self.places[:, 0]) / self.step + 0.5, -1.0, float(self.places.shape[1]))
        point = np.clip(np.floor(at).astype(np.intp), 0, self.places.shape[1] - 1)
        rows = np.arange(len(at))
        least = np.where(point > 0, self.below[:, rows, np.maximum(point - 1, 0)], 0.0)
        return np.asarray(least + np.clip(at - point, 0.0, 1.0) * (self.below[:, rows, point] - least))


def _together(masses: Floats, sums: Floats, crowd: Moments, grid: Grid, offset: Floats) -> _Together:
    smooth = crowd.variance.min(axis=0) > grid.step**2
    spread = crowd.variance.max(axis=0) > (0.3 * grid.step) ** 2
    begin = np.where(spread, offset, crowd.mean[len(masses) // 2])
    if not spread.any():
        return _Together(np.cumsum(masses, axis=2), sums + begin[:, None], grid.step, smooth)
    edges = offset[:, None] + (np.arange(grid.points + 1) - 0.5) * grid.step[:, None]
    moments = (np.broadcast_to(each[..., None], (*each.shape, grid.points + 1)) for each in _each(crowd))
    above = exceeds(np.broadcast_to(edges, (len(masses), *edges.shape)), *moments)
    above[..., 0], above[..., -1] = 1.0, 0.0
    part = np.where(spread[:, None], -np.diff(above), np.eye(1, grid.points))
    both = np.fft.irfft(np.fft.rfft(masses) * np.fft.rfft(part), grid.points)
    even = (grid.first[:, None] + np.arange(grid.points)) * grid.step[:, None]
    moved = (masses[len(masses) // 2] * (sums - even)).sum(axis=1)
    places = np.where(spread[:, None], even + moved[:, None], sums) + begin[:, None]
    return _Together(np.clip(np.cumsum(both, axis=2), 0.0, 1.0), places, grid.step, smooth)


def _each(moments: Moments) -> tuple[Floats, Floats, Floats]:
    return moments.mean, moments.variance, moments.third


def _lost(lumps: Lumps, masses: Floats, sums: Floats, nobody: Flags) -> Floats:
    """The variance that the grid takes away, by week."""
    mass, p = masses[len(masses) // 2], lumps.chances[len(masses) // 2]
    first = (lumps.pushes * lumps.amounts).sum(axis=2)
    second = (lumps.pushes * lumps.amounts**2).sum(axis=2) * (1 + np.array(lumps.cvs)[lumps.effort] ** 2)
    variance = (p * second - (p * first) ** 2).sum(axis=1)
    mean = (mass * sums).sum(axis=1)
    lost = variance - (mass * (sums - mean[:, None]) ** 2).sum(axis=1)
    # While most of the time nobody is won, sums are few and each has its own point.
    return np.where((lost > 1e-4 * variance) & ((nobody * mass).sum(axis=1) < _SELDOM), lost, 0.0)


def _grid(lumps: Lumps, crowd: Moments, points: int) -> tuple[Grid, Floats]:
    """The grid that holds every sum that is met; and the amount at which the crowd is taken to begin."""
    cv = np.array(lumps.cvs)[lumps.effort]
    first = (lumps.pushes * lumps.amounts).sum(axis=2)
    second = (lumps.pushes * lumps.amounts**2).sum(axis=2) * (1 + cv**2)
    mean = (lumps.chances * first).sum(axis=2)
    deviation = np.sqrt(np.maximum((lumps.chances * second - (lumps.chances * first) ** 2).sum(axis=2), 0.0))
    most = lumps.amounts.max(axis=2) * (1 + 5 * cv) * (lumps.chances.max(axis=0) > 0)
    low = np.maximum((mean - _WIDE * deviation).min(axis=0), 0.0)
    high = np.minimum((mean + _WIDE * deviation).max(axis=0) + 2 * most.max(axis=1), most.sum(axis=1))
    aside = np.sqrt(crowd.variance)
    offset = np.where(aside.max(axis=0) > 0, (crowd.mean - 5 * aside).min(axis=0), crowd.mean[0])
    wide = np.where(aside.max(axis=0) > 0, (crowd.mean + 6 * aside).max(axis=0) - offset, 0.0)
    many = (lumps.chances.max(axis=0) > 0).sum(axis=1)
    spare = np.minimum(many / 2, 4 + 2 * np.sqrt(many)) + 3
    low = np.minimum(low, high)
    step = np.maximum((high - low + wide) / (points - spare), 1e-12)
    return Grid(step, np.floor(low / step - spare / 2).clip(0).astype(np.intp), points), offset


def _bands(together: _Together, total: Moments, weight: Floats, uncertain: Flags) -> Floats:
    """The quantiles of lumps and crowd together: shape (len(SHARES), weeks)."""
    at, least, most = _quantile_points(together, total, weight)
    found = together.places[np.arange(len(weight)), at]
    part = (np.array(SHARES)[:, None] - least) / np.where(most > least, most - least, 1.0)
    even = together.smooth | (uncertain & (found > 0))
    found = found + np.where(even, np.clip(part, 0.0, 1.0) - 0.5, 0.0) * together.step
    return np.asarray(np.maximum.accumulate(np.maximum(found, 0.0), axis=0))


def _quantile_points(together: _Together, total: Moments, weight: Floats) -> tuple[Places, Floats, Floats]:
    """By quantile and week: where its share is first reached, and the probability below that point and up to it."""
    below, places = together.below, together.places
    _, weeks, points = below.shape
    rows = np.arange(weeks)
    shares = np.array(SHARES)[:, None] - 1e-9

    def up_to(at: Places) -> Floats:
        inside = np.where(at >= 0, below[:, rows, np.maximum(at, 0)], 0.0)
        return over_all(inside, -total.score(places[rows, np.maximum(at, 0)]), weight)

    if len(below) == 1:
        high = (below[0] < shares[..., None]).sum(axis=2).clip(0, points - 1)
        return high, up_to(high - 1), up_to(high)
    low = np.full((len(SHARES), weeks), -1)
    high = np.full((len(SHARES), weeks), points - 1)
    while (high - low).max(initial=0) > 1:
        middle = (low + high) // 2
        reached = up_to(middle) >= shares
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return high, up_to(high - 1), up_to(high)
