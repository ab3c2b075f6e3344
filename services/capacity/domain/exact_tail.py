"""P(demand > capacity) and the bands of demand, exact for the largest deals of each week.

Up to ``LARGEST`` deals of a week are what they are: not won, or won and closing 0, 1, 2 … weeks late, with their
uncertain effort. Everything else is a crowd known by three moments. Deals rise and fall together by the copula. Weeks
in which the deals are too small, or the capacity too far away for it to make a difference of a thousandth, are left to
the moments of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.bands import SHARES, bands_of
from services.capacity.domain.convolution import Lumps
from services.capacity.domain.copula import Guide, all_of, few, given
from services.capacity.domain.exact_sums import Moments, Sums, sums_of
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
_POINTS: Final = 128
"""Of the grid where all effort is uncertain, for then sums lie close by each other; twice as many for few deals. Where
some effort is certain twice as many as well, and four times for so few deals that each sum may matter."""
_SEVERAL: Final = 8
_MOST_SUMS: Final = 20
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
    planned: PlannedDemand | None = None, since: int = 0,
) -> Tail:  # fmt: skip
    """The answer for every week of ``limit``, the amount by week above which there is too much.

    Weeks before ``since`` are looked at for ``never`` only; their answers are nothing.
    """
    chosen, points = _largest(members, demand.variance)
    situations = few(rho)
    z = np.concatenate((situations, all_of(rho)))
    chances = given(members.probability, rho, z)
    crowd = with_deals(unnamed_of(groups, members, z, rho), members, ~chosen, chances)
    total = with_deals(crowd, members, chosen, chances)
    planned = planned or PlannedDemand(*np.zeros((3, len(limit))))
    pool = _Pool(members, chosen, points, chances[: len(situations)], limit, demand.variance, planned)
    never = _unlikely(limit - total.mean[-1], total.variance[-1], pool.size, _NEVER)
    overload, bands, then = _answers(pool, crowd, total, since)
    return Tail(overload, list(bands), then, bool(never.all()))


@dataclass(frozen=True)
class _Pool:
    """What is known by week besides crowd and total; ``chosen`` are the deals taken as they are.

    ``points`` are of the weeks' grids, ``chances`` the members' in the few situations that are computed.
    """

    members: Members
    chosen: Flags
    points: Places
    chances: Floats
    limit: Floats
    variance: Floats
    planned: PlannedDemand

    @cached_property
    def size(self) -> Floats:
        """About the most that one deal asks."""
        found: Floats = self.members.most.max(axis=0, initial=0.0)
        return found

    @cached_property
    def _squares(self) -> Floats:
        return np.asarray(np.einsum("mw,mw->w", self.members.variance, self.members.variance))

    def clear(self, total: Moments) -> tuple[Flags, Flags]:
        """In which weeks it is hardly ever too much, and in which it nearly always is."""
        last = len(self.chances) - 1
        never = _unlikely(self.limit - total.mean[last], total.variance[last], self.size)
        return never, _unlikely(total.mean[0] - self.limit, total.variance[0], self.size)

    def lumpy(self) -> Flags:
        """Where one deal alone has much of the variance."""
        own = np.where(self.chosen, self.members.variance, 0.0).max(axis=0, initial=0.0)
        return np.asarray(own > _LUMPY * self.variance)

    def guide(self, total: Moments, variance: Floats, weeks: Places) -> Guide:
        """The more deals a week's variance comes from, the more closely answers follow its mean."""
        shares = self._squares[weeks] / np.where(variance > 0, variance, 1.0)[weeks] ** 2
        weight = np.clip(1 / np.maximum(shares, 1e-3) / 12 - 1 / 3, 0.0, 1.0)
        return Guide.of(total.mean[:, weeks], total.variance[:, weeks], weight, len(self.chances))


def _answers(pool: _Pool, crowd: Moments, total: Moments, since: int) -> tuple[Floats, Floats, Floats]:
    """P(more than the limit), the bands, and P(more than the limit) with what is planned, by week."""
    count, weeks = len(pool.chances), len(pool.limit)
    overload, bands, then = np.zeros(weeks), np.zeros((len(SHARES), weeks)), np.zeros(weeks)
    more = np.flatnonzero((pool.planned.mean > _NOTHING) & (np.arange(weeks) >= since))
    wider = total.plus(pool.planned)
    clear, clear_then = pool.clear(total), pool.clear(wider)
    open_question = ~np.logical_or(*clear)
    open_question[more] |= ~np.logical_or(*clear_then)[more]
    matters = pool.chosen.any(axis=0) & (open_question | pool.lumpy())
    matters[:since] = False
    rest = np.flatnonzero(~matters)
    portions = [(rest[rest >= since], _POINTS), *_portions(np.flatnonzero(matters), pool.chosen, pool.points)]
    sums: list[Sums] = []
    over_then = np.zeros((count, weeks))
    for rows, points in portions:
        lumps, others = _nobody(count, len(rows)), total
        if len(rows) and matters[rows[0]]:
            lumps, others = _lumps(pool, rows), crowd
        others = others.first(count).at(rows)
        sums.append(sums_of(pool.limit[rows], lumps, others, points))
        # Nobody has named the planned deals yet: they are one more part of the crowd.
        some = np.flatnonzero(np.isin(rows, more))
        where = rows[some]
        over_then[:, where] = sums[-1].over_with(pool.limit[where], others.at(some).plus(pool.planned, where), some)
    order = np.concatenate([rows for rows, _ in portions])
    guide = pool.guide(total, pool.variance, order)
    bands[:, order] = bands_of(sums, guide)
    over = np.concatenate([each.over for each in sums], axis=1)
    overload[order] = guide.over_all(over, pool.limit[order], np.arange(len(order)))
    overload = _certain(overload, clear, pool.size)
    if len(more):
        guide_then = pool.guide(wider, pool.variance + pool.planned.variance, more)
        then[more] = guide_then.over_all(over_then[:, more], pool.limit[more], np.arange(len(more)))
    # More demand is never less likely to be too much; what says so is rounding.
    return overload, bands, np.maximum(overload, _certain(then, clear_then, pool.size))


def _certain(overload: Floats, clear: tuple[Flags, Flags], size: Floats) -> Floats:
    too_little, too_much = clear
    return np.where((size > 0) & too_little, 0.0, np.where((size > 0) & too_much, 1.0, overload))


def _largest(members: Members, variance: Floats) -> tuple[Flags, Places]:
    """Which deals are taken as they are, by deal and week; and the points that the grid of each week has."""
    own = members.variance
    chosen = own > _NEGLIGIBLE * variance
    count = chosen.sum(axis=0)
    uncertain = (np.array(members.cvs) >= _BLURRED)[members.effort][:, None]
    spread = (chosen <= uncertain).all(axis=0)
    chosen &= ~(uncertain & (own < _SMALL * variance) & (count > _MANY))
    crowded = np.flatnonzero(chosen.sum(axis=0) > LARGEST)
    if len(crowded):
        order = np.argpartition(-own[:, crowded] * chosen[:, crowded], LARGEST, axis=0)[:LARGEST]
        among = np.zeros((len(own), len(crowded)), bool)
        np.put_along_axis(among, order, True, axis=0)
        chosen[:, crowded] &= among
    points = np.where(count <= _MOST_SUMS, _POINTS * 4, _POINTS * 2)
    return chosen, np.where(spread, np.where(count <= _SEVERAL, _POINTS * 2, _POINTS), points)


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
    first, second, third = (each * chosen for each in (members.first, members.second, members.third))
    squared = first * first
    one_of, alike = members.alike
    few_kinds = len(one_of) < len(chances)
    if few_kinds:
        chances = chances[:, one_of]

    def over_all(weight: Floats, by_deal: Floats) -> Floats:
        """Deals that are won with one probability are summed before anything else."""
        found: Floats = weight @ (alike @ by_deal if few_kinds else by_deal)
        return found

    square = chances**2
    variance = np.maximum(over_all(chances, second) - over_all(square, squared), 0.0)
    skewed = over_all(chances, third) - 3 * over_all(square, first * second)
    skewed += 2 * over_all(square * chances, squared * first)
    return Moments(over_all(chances, first) + others.mean, variance + others.variance, skewed + others.third)


def _unlikely(distance: Floats, variance: Floats, size: Floats, least: float = _UNLIKELY) -> Flags:
    """Whether by Bernstein's inequality a sum is hardly ever so far above its mean (``distance``)."""
    away = np.maximum(distance, 0.0)
    scale = 2 * (variance + size * away / 3)
    exponent = np.where(scale > 0, away**2 / np.where(scale > 0, scale, 1.0), np.where(away > 0, np.inf, 0.0))
    return np.asarray(exponent > -np.log(least))


def _portions(rows: Places, chosen: Flags, points: Places) -> list[tuple[Places, int]]:
    """The weeks in portions of about as many deals each, with the points that their grids have."""
    many = chosen[:, rows].sum(axis=0)
    found = []
    for fine in np.unique(points[rows]).tolist():
        there = points[rows] == fine
        order = np.argsort(many[there], kind="stable")
        here, size = rows[there][order], many[there][order]
        while len(here):
            portion = max(_AT_ONCE // int(size[-1] * fine), 1)
            found.append((here[-portion:], fine))
            here, size = here[:-portion], size[:-portion]
    return found


def _nobody(situations: int, weeks: int) -> Lumps:
    nothing = np.zeros((weeks, 1, 1))
    return Lumps(nothing, nothing, np.zeros((situations, weeks, 1)), np.zeros((weeks, 1), np.intp), (0.0,))


def _lumps(pool: _Pool, rows: Places) -> Lumps:
    """The deals of these weeks that are taken as they are."""
    members, chosen = pool.members, pool.chosen[:, rows]
    many = int(chosen.sum(axis=0).max())
    which = np.argsort(~chosen, axis=0, kind="stable")[:many].T
    there = np.take_along_axis(chosen.T, which, axis=1)
    amounts = members.asked[which, :, rows[:, None]] * there[..., None]
    return Lumps(amounts, members.pushes[which], pool.chances[:, which] * there, members.effort[which], members.cvs)
