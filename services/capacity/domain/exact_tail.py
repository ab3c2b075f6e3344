"""P(demand > capacity) and the bands of demand, exact for the largest deals of each week.

Up to ``LARGEST`` deals of a week are what they are: not won, or won and closing 0, 1, 2 … weeks late, with their
uncertain effort. Everything else is a crowd known by three moments. Deals rise and fall together by the copula. Weeks
in which the deals are too small, or the capacity too far away for it to make a difference of a thousandth, are left to
the moments of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.convolution import Grid, Lumps, distribution
from services.capacity.domain.copula import all_of, few, given, over_all
from services.capacity.domain.demand import PoolDemand, PoolGroup
from services.capacity.domain.members import Members
from services.capacity.domain.moments import MEAN, THIRD, VARIANCE
from services.capacity.domain.overload import exceeds, quantiles

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

LARGEST: Final = 64
"""Deals of a week taken as they are; the others go into the crowd."""
SHARES: Final = (0.5, 0.8, 0.95)
"""The quantiles of the bands."""

_NEGLIGIBLE: Final = 2e-4
"""Of a week's variance: a deal with less is one of the crowd."""
_MANY: Final = 12
_BLURRED: Final = 0.2
_SMALL: Final = 0.05
"""Where there are many deals and effort is so uncertain (its cv), those below this share of a week's variance sum to
something as smooth as a gamma."""
_LUMPY: Final = 0.1
"""Of a week's variance: where one deal has more, three moments do not tell the bands."""
_SELDOM: Final = 0.05
_UNLIKELY: Final = 1e-3
_WIDE: Final = 7.0
"""Deviations from the mean beyond which no sum of independent deals is met."""
_FINE: Final = ((8, 512), (20, 512), (LARGEST, 256))
"""Up to so many deals in a week: so many points of the grid."""
_POINTS: Final = 128
"""Of the grid where no deal is taken as it is, or only the largest of many with uncertain effort."""
_SAME: Final = 1e-7
"""Relative: a sum so close to the limit is at it."""
_AT_ONCE: Final = 150_000
"""Numbers that a transform works on at a time: they stay in the processor's cache."""


class Tail(NamedTuple):
    """By week: P(demand of deals > limit), and that demand's quantiles at ``SHARES``."""

    overload: Floats
    bands: Sequence[Floats]


@dataclass(frozen=True)
class _Moments:
    """Mean, variance and third moment by situation and week."""

    mean: Floats
    variance: Floats
    third: Floats

    def at(self, weeks: Places) -> "_Moments":
        return _Moments(self.mean[:, weeks], self.variance[:, weeks], self.third[:, weeks])

    def first(self, count: int) -> "_Moments":
        return _Moments(self.mean[:count], self.variance[:count], self.third[:count])

    def score(self, limit: Floats) -> Floats:
        """How many deviations the mean lies above each limit (the last axis is the week)."""
        wide = (len(self.mean), *([1] * (limit.ndim - 1)), -1)
        deviation = np.maximum(np.sqrt(self.variance), 1e-9 * np.maximum(np.abs(self.mean), 1.0)).reshape(wide)
        found: Floats = (self.mean.reshape(wide) - limit) / deviation
        return found


def from_moments(limit: Floats, demand: PoolDemand) -> Tail:
    """The answer by moments alone, as if no deal were large and all independent."""
    mean = demand.booked + demand.expected
    overload = exceeds(limit, mean, demand.variance, demand.third)
    return Tail(overload, quantiles(SHARES, mean, demand.variance, demand.third))


def tail_of(limit: Floats, demand: PoolDemand, groups: Sequence[PoolGroup], members: Members, rho: float) -> Tail:
    """The answer for every week of ``limit``, the amount by week above which there is too much."""
    chosen, blurred = _largest(members, demand.variance)
    z = np.concatenate((few(rho), all_of(rho)))
    count = len(few(rho))
    chances = given(members.probability, rho, z)
    unnamed = _unnamed(groups, members, z, rho)
    crowd = _sum(unnamed, members, ~chosen, chances)
    total = _sum(crowd, members, chosen, chances)
    size = members.most.max(axis=0, initial=0.0)
    too_little = _unlikely(limit - total.mean[count - 1], total.variance[count - 1], size)
    too_much = _unlikely(total.mean[0] - limit, total.variance[0], size)
    some = size > 0
    shares = members.variance / np.where(demand.variance > 0, demand.variance, 1.0)
    lumpy = (shares * chosen).max(axis=0, initial=0.0) > _LUMPY
    matters = chosen.any(axis=0) & (~(too_little | too_much) | lumpy)
    # The more deals a week's variance comes from, the more closely answers follow its mean.
    weight = np.clip(1 / np.maximum((shares**2).sum(axis=0), 1e-3) / 12 - 1 / 3, 0.0, 1.0)
    overload, bands = np.zeros(len(limit)), np.zeros((len(SHARES), len(limit)))
    rest = np.flatnonzero(~matters)
    nobody, by_moments = _nobody(count, len(rest)), total.at(rest)
    overload[rest], bands[:, rest] = _exact(limit[rest], nobody, by_moments, by_moments, weight[rest], _POINTS)
    overload = np.where(some & too_little, 0.0, np.where(some & too_much, 1.0, overload))
    for rows, points in _buckets(np.flatnonzero(matters), chosen, blurred):
        lumps = _lumps(members, chosen[:, rows], rows, chances[:count])
        exact = _exact(limit[rows], lumps, crowd.at(rows), total.at(rows), weight[rows], points)
        overload[rows], bands[:, rows] = exact
    return Tail(overload, list(bands))


def _largest(members: Members, variance: Floats) -> tuple[Flags, Flags]:
    """Which deals are taken as they are, by deal and week; and the weeks in which those of uncertain effort are not."""
    own = members.variance
    chosen = own > _NEGLIGIBLE * variance
    uncertain = (np.array(members.cvs) >= _BLURRED)[members.effort][:, None]
    many = chosen.sum(axis=0) > _MANY
    small = chosen & uncertain & (own < _SMALL * variance) & many
    blurred = many & (chosen <= uncertain).all(axis=0)
    chosen &= ~small
    if len(own) > LARGEST:
        order = np.argpartition(-own, LARGEST, axis=0)[:LARGEST]
        among = np.zeros_like(chosen)
        np.put_along_axis(among, order, True, axis=0)
        chosen &= among
    return chosen, blurred


def _unnamed(groups: Sequence[PoolGroup], members: Members, z: Floats, rho: float) -> _Moments:
    """What is won, and the open lines that no member stands for, in each situation."""
    left = np.array([group.moments[[MEAN, VARIANCE, THIRD]] for group in groups]).reshape(len(groups), 3, members.count)
    whole = np.maximum(left[:, 1], 0.0)
    members.take_out(left)
    # All of the variance may be the members'; what differences leave of it is rounding.
    nothing = left[:, 1] <= 1e-9 * whole
    left[:, 1:][np.broadcast_to(nothing[:, None], (len(groups), 2, members.count))] = 0.0
    left[:, 0] = np.where(np.abs(left[:, 0]) < 1e-9, 0.0, left[:, 0])
    if rho <= 0:
        mean, variance, third = left.sum(axis=0)[:, None]
        return _Moments(mean, variance, third)
    p = np.array([group.probability for group in groups])
    spread = np.array([1 + group.kernel.effort_cv**2 for group in groups])
    then = given(p, rho, z)
    more = np.where(p > 0, then / np.where(p > 0, p, 1.0), 1.0)
    was = p * (spread - p)
    wider = np.where(was > 0, then * (spread - then) / np.where(was > 0, was, 1.0), 1.0)
    return _Moments(more @ left[:, 0], wider @ left[:, 1], wider @ left[:, 2])


def _sum(others: _Moments, members: Members, chosen: Flags, chances: Floats) -> _Moments:
    """Of the chosen deals and the others together."""
    if not chosen.any():
        return others
    first, second, third = (np.where(chosen, each, 0.0) for each in (members.first, members.second, members.third))
    mean = chances @ first
    square = chances**2
    variance = np.maximum(chances @ second - square @ first**2, 0.0)
    skewed = chances @ third - 3 * square @ (first * second) + 2 * (square * chances) @ first**3
    return _Moments(mean + others.mean, variance + others.variance, skewed + others.third)


def _unlikely(distance: Floats, variance: Floats, size: Floats) -> Flags:
    """Whether by Bernstein's inequality a sum is hardly ever so far above its mean (``distance``)."""
    away = np.maximum(distance, 0.0)
    scale = 2 * (variance + size * away / 3)
    exponent = np.where(scale > 0, away**2 / np.where(scale > 0, scale, 1.0), np.where(away > 0, np.inf, 0.0))
    return np.asarray(exponent > -np.log(_UNLIKELY))


def _buckets(rows: Places, chosen: Flags, blurred: Flags) -> list[tuple[Places, int]]:
    """The weeks in portions of about as many deals each, with the points that their grids have."""
    many = chosen[:, rows].sum(axis=0)
    smooth = blurred[rows]
    found = []
    least = 0
    for most, points in _FINE:
        inside = (many > least) & (many <= most)
        for here, fine in ((rows[inside & smooth], _POINTS), (rows[inside & ~smooth], points)):
            portion = max(_AT_ONCE // (most * fine), 1)
            found += [(here[start : start + portion], fine) for start in range(0, len(here), portion)]
        least = most
    return found


def _exact(
    limit: Floats, lumps: Lumps, crowd: _Moments, total: _Moments, weight: Floats, points: int
) -> tuple[Floats, Floats]:
    """P(more than the limit), and the quantiles, of lumps and crowd together."""
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
    wider = _Moments(crowd.mean, crowd.variance + lost, crowd.third)
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
    return overload, _bands(together, total, weight, uncertain)


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


def _together(masses: Floats, sums: Floats, crowd: _Moments, grid: Grid, offset: Floats) -> _Together:
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


def _each(moments: _Moments) -> tuple[Floats, Floats, Floats]:
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


def _nobody(situations: int, weeks: int) -> Lumps:
    nothing = np.zeros((weeks, 1, 1))
    return Lumps(nothing, nothing, np.zeros((situations, weeks, 1)), np.zeros((weeks, 1), np.intp), (0.0,))


def _lumps(members: Members, chosen: Flags, rows: Places, chances: Floats) -> Lumps:
    many = int(chosen.sum(axis=0).max())
    which = np.argsort(~chosen, axis=0, kind="stable")[:many].T
    there = np.take_along_axis(chosen.T, which, axis=1)
    amounts = members.asked[which, :, rows[:, None]] * there[..., None]
    return Lumps(amounts, members.pushes[which], chances[:, which] * there, members.effort[which], members.cvs)


def _grid(lumps: Lumps, crowd: _Moments, points: int) -> tuple[Grid, Floats]:
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


def _bands(together: _Together, total: _Moments, weight: Floats, uncertain: Flags) -> Floats:
    """The quantiles of lumps and crowd together: shape (len(SHARES), weeks)."""
    at, least, most = _quantile_points(together, total, weight)
    found = together.places[np.arange(len(weight)), at]
    part = (np.array(SHARES)[:, None] - least) / np.where(most > least, most - least, 1.0)
    even = together.smooth | (uncertain & (found > 0))
    found = found + np.where(even, np.clip(part, 0.0, 1.0) - 0.5, 0.0) * together.step
    return np.asarray(np.maximum.accumulate(np.maximum(found, 0.0), axis=0))


def _quantile_points(together: _Together, total: _Moments, weight: Floats) -> tuple[Places, Floats, Floats]:
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
