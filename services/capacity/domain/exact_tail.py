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

from services.capacity.domain.convolution import Lumps
from services.capacity.domain.copula import all_of, few, given
from services.capacity.domain.exact_sums import SHARES, Moments, exact
from services.capacity.domain.groups import PoolDemand, PoolGroup
from services.capacity.domain.members import Members
from services.capacity.domain.moments import MEAN, THIRD, VARIANCE
from services.capacity.domain.overload import exceeds, quantiles
from services.capacity.domain.planned import PlannedDemand

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

LARGEST: Final = 64
"""Deals of a week taken as they are; the others go into the crowd."""

_NEGLIGIBLE: Final = 2e-4
"""Of a week's variance: a deal with less is one of the crowd."""
_MANY: Final = 12
_BLURRED: Final = 0.2
_SMALL: Final = 0.05
"""Where there are many deals and effort is so uncertain (its cv), those below this share of a week's variance sum to
something as smooth as a gamma."""
_LUMPY: Final = 0.1
"""Of a week's variance: where one deal has more, three moments do not tell the bands."""
_UNLIKELY: Final = 1e-3
_NEVER: Final = 1e-6
"""Where too much is less likely, no path has a backlog."""
_FINE: Final = ((8, 512), (20, 512), (LARGEST, 256))
"""Up to so many deals in a week: so many points of the grid."""
_POINTS: Final = 128
"""Of the grid where no deal is taken as it is, or only the largest of many with uncertain effort."""
_NOTHING: Final = 1e-9
_AT_ONCE: Final = 150_000
"""Numbers that a transform works on at a time: they stay in the processor's cache."""


class Tail(NamedTuple):
    """P(demand of deals > limit), its quantiles at ``SHARES``, and the first with what is planned; by week.

    ``never``: in no week, and in none of the situations in which deals rise and fall together, is there too much.
    """

    overload: Floats
    bands: Sequence[Floats]
    overload_planned: Floats
    never: bool = False


def from_moments(limit: Floats, demand: PoolDemand, planned: PlannedDemand | None = None) -> Tail:
    """The answer by moments alone, as if no deal were large and all independent."""
    mean = demand.booked + demand.expected
    overload = exceeds(limit, mean, demand.variance, demand.third)
    bands = quantiles(SHARES, mean, demand.variance, demand.third)
    if planned is None:
        return Tail(overload, bands, overload)
    more = exceeds(limit, mean + planned.mean, demand.variance + planned.variance, demand.third + planned.third)
    return Tail(overload, bands, np.maximum(overload, more))


def tail_of(
    limit: Floats, demand: PoolDemand, groups: Sequence[PoolGroup], members: Members, rho: float,
    planned: PlannedDemand | None = None,
) -> Tail:  # fmt: skip
    """The answer for every week of ``limit``, the amount by week above which there is too much."""
    chosen, blurred = _largest(members, demand.variance)
    z = np.concatenate((few(rho), all_of(rho)))
    count = len(few(rho))
    chances = given(members.probability, rho, z)
    unnamed = unnamed_of(groups, members, z, rho)
    crowd = with_deals(unnamed, members, ~chosen, chances)
    total = with_deals(crowd, members, chosen, chances)
    large = _Large(members, chosen, blurred, chances, count)
    never = _unlikely(limit - total.mean[-1], total.variance[-1], members.most.max(axis=0, initial=0.0), _NEVER)
    overload, bands = _answers(limit, large, crowd, total, demand.variance)
    more = np.flatnonzero(planned.mean > _NOTHING) if planned is not None else np.zeros(0, np.intp)
    then = overload.copy()
    if planned is not None and len(more):
        # Nobody has named these deals yet: they are one more part of the crowd.
        with_planned, _ = _answers(
            limit[more],
            large.at(more),
            crowd.at(more).plus(planned, more),
            total.at(more).plus(planned, more),
            (demand.variance + planned.variance)[more],
            only_overload=True,
        )
        # More demand is never less likely to be too much; what says so is rounding.
        then[more] = np.maximum(overload[more], with_planned)
    return Tail(overload, list(bands), then, bool(never.all()))


@dataclass(frozen=True)
class _Large:
    """The deals of each week that are taken as they are; the first ``few`` of ``chances`` are those to be computed."""

    members: Members
    chosen: Flags
    blurred: Flags
    chances: Floats
    few: int
    weeks: Places | None = None
    """Which weeks of the members' these are; None: all."""

    def at(self, weeks: Places) -> "_Large":
        return _Large(self.members, self.chosen[:, weeks], self.blurred[weeks], self.chances, self.few, weeks)

    def of(self, by_week: Floats) -> Floats:
        """The columns of these weeks."""
        return by_week if self.weeks is None else by_week[:, self.weeks]

    def lumps(self, rows: Places) -> Lumps:
        where = rows if self.weeks is None else self.weeks[rows]
        return _lumps(self.members, self.chosen[:, rows], where, self.chances[: self.few])


def _answers(
    limit: Floats, large: _Large, crowd: Moments, total: Moments, variance: Floats, only_overload: bool = False
) -> tuple[Floats, Floats]:
    """P(more than the limit), and unless ``only_overload`` the bands, by week."""
    count = large.few
    size = large.of(large.members.most).max(axis=0, initial=0.0)
    too_little = _unlikely(limit - total.mean[count - 1], total.variance[count - 1], size)
    too_much = _unlikely(total.mean[0] - limit, total.variance[0], size)
    some = size > 0
    shares = large.of(large.members.variance) / np.where(variance > 0, variance, 1.0)
    lumpy = (shares * large.chosen).max(axis=0, initial=0.0) > (np.inf if only_overload else _LUMPY)
    matters = large.chosen.any(axis=0) & (~(too_little | too_much) | lumpy)
    # The more deals a week's variance comes from, the more closely answers follow its mean.
    weight = np.clip(1 / np.maximum((shares**2).sum(axis=0), 1e-3) / 12 - 1 / 3, 0.0, 1.0)
    overload, bands = np.zeros(len(limit)), np.zeros((len(SHARES), len(limit)))
    rest = np.flatnonzero(~matters)
    nobody, by_moments = _nobody(count, len(rest)), total.at(rest)
    overload[rest], bands[:, rest] = exact(
        limit[rest], nobody, by_moments, by_moments, weight[rest], _POINTS, only_overload
    )
    overload = np.where(some & too_little, 0.0, np.where(some & too_much, 1.0, overload))
    for rows, points in _buckets(np.flatnonzero(matters), large.chosen, large.blurred):
        here = crowd.at(rows), total.at(rows), weight[rows]
        overload[rows], bands[:, rows] = exact(limit[rows], large.lumps(rows), *here, points, only_overload)
    return overload, bands


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


def unnamed_of(groups: Sequence[PoolGroup], members: Members, z: Floats, rho: float) -> Moments:
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
        return Moments(mean, variance, third)
    p = np.array([group.probability for group in groups])
    spread = np.array([1 + group.kernel.effort_cv**2 for group in groups])
    then = given(p, rho, z)
    more = np.where(p > 0, then / np.where(p > 0, p, 1.0), 1.0)
    was = p * (spread - p)
    wider = np.where(was > 0, then * (spread - then) / np.where(was > 0, was, 1.0), 1.0)
    return Moments(more @ left[:, 0], wider @ left[:, 1], wider @ left[:, 2])


def with_deals(others: Moments, members: Members, chosen: Flags, chances: Floats) -> Moments:
    """Of the chosen deals and the others together."""
    if not chosen.any():
        return others
    first, second, third = (np.where(chosen, each, 0.0) for each in (members.first, members.second, members.third))
    mean = chances @ first
    square = chances**2
    variance = np.maximum(chances @ second - square @ first**2, 0.0)
    skewed = chances @ third - 3 * square @ (first * second) + 2 * (square * chances) @ first**3
    return Moments(mean + others.mean, variance + others.variance, skewed + others.third)


def _unlikely(distance: Floats, variance: Floats, size: Floats, least: float = _UNLIKELY) -> Flags:
    """Whether by Bernstein's inequality a sum is hardly ever so far above its mean (``distance``)."""
    away = np.maximum(distance, 0.0)
    scale = 2 * (variance + size * away / 3)
    exponent = np.where(scale > 0, away**2 / np.where(scale > 0, scale, 1.0), np.where(away > 0, np.inf, 0.0))
    return np.asarray(exponent > -np.log(least))


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


def _nobody(situations: int, weeks: int) -> Lumps:
    nothing = np.zeros((weeks, 1, 1))
    return Lumps(nothing, nothing, np.zeros((situations, weeks, 1)), np.zeros((weeks, 1), np.intp), (0.0,))


def _lumps(members: Members, chosen: Flags, rows: Places, chances: Floats) -> Lumps:
    many = int(chosen.sum(axis=0).max())
    which = np.argsort(~chosen, axis=0, kind="stable")[:many].T
    there = np.take_along_axis(chosen.T, which, axis=1)
    amounts = members.asked[which, :, rows[:, None]] * there[..., None]
    return Lumps(amounts, members.pushes[which], chances[:, which] * there, members.effort[which], members.cvs)
