"""The weeks of a pool, of which the largest deals are what they are: which are convolved, and what they answer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.bands import SHARES, bands_of
from services.capacity.domain.convolution import Lumps
from services.capacity.domain.copula import Guide
from services.capacity.domain.crowd import Moments, rounded
from services.capacity.domain.exact_sums import Sums, sums_of
from services.capacity.domain.members import Members
from services.capacity.domain.planned import PlannedDemand

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

POINTS: Final = 128
"""Of the grid where all effort is uncertain, for then sums lie close by each other; twice as many for few deals. Where
some effort is certain twice as many as well, and four times for so few deals that each sum may matter."""

_LUMPY: Final = 0.1
"""Of a week's variance: where one deal has more, three moments do not tell the bands."""
_UNLIKELY: Final = 1e-3
_NOTHING: Final = 1e-9
_AT_ONCE: Final = 150_000
"""Numbers that a transform works on at a time: they stay in the processor's cache."""


@dataclass(frozen=True)
class Weeks:
    """All that the answers of a pool's weeks hang on, by week.

    ``chosen`` says which deals are taken as they are and ``points`` how fine the grid is; ``chances`` are the members'
    in the few situations, ``crowd`` is everybody who is not chosen and ``total`` everybody, in the few and in all.
    """

    members: Members
    chosen: Flags
    points: Places
    chances: Floats
    limit: Floats
    variance: Floats
    planned: PlannedDemand
    crowd: Moments
    total: Moments

    @cached_property
    def size(self) -> Floats:
        """About the most that one deal asks."""
        found: Floats = self.members.most.max(axis=0, initial=0.0)
        return found

    def keys(self, weeks: Places) -> list[bytes]:
        """All that the answer of each of these weeks hangs on."""
        of_week = [self.limit, *self.planned, self.points, self.size, self._weight, self._weight_then, self._matters]
        for moments in (self.crowd.first(len(self.chances)), self.total):
            of_week += [*moments.mean, *moments.variance, *moments.third]
        rest = np.array(of_week)[:, weeks].T
        lumps = _lumps(self, weeks)
        deals = np.concatenate((lumps.amounts, lumps.pushes, np.moveaxis(lumps.chances, 0, 2)), axis=2)
        deals = np.concatenate((deals, np.array(lumps.cvs)[lumps.effort][..., None]), axis=2)
        many = (self.chosen & self._matters).sum(axis=0)[weeks].tolist()
        return [one.tobytes() + some[:count].tobytes() for one, some, count in zip(rest, deals, many, strict=True)]

    def answers(self, weeks: Places) -> Floats:
        """A row for each of these weeks: P(more than the limit), the same with what is planned, and the bands."""
        portions = _portions(weeks[self._matters[weeks]], self.chosen, self.points)
        portions = [each for each in ((weeks[~self._matters[weeks]], POINTS), *portions) if len(each[0])]
        sums = []
        over_then = np.zeros((len(self.chances), len(self.limit)))
        for rows, points in portions:
            lumps, others = self._sides(rows)
            sums.append(sums_of(self.limit[rows], lumps, others, points))
            # Nobody has named the planned deals yet: they are one more part of the crowd.
            some = np.flatnonzero(self._more[rows])
            more = rows[some]
            over_then[:, more] = sums[-1].over_with(self.limit[more], others.at(some).plus(self.planned, more), some)
        order = np.concatenate([rows for rows, _ in portions])
        found = np.zeros((2 + len(SHARES), len(self.limit)))
        self._answer(found, sums, order, over_then)
        return found[:, weeks].T

    def _answer(self, found: Floats, sums: list[Sums], order: Places, over_then: Floats) -> None:
        guide = self._guide(self.total, self._weight, order)
        over = np.concatenate([each.over for each in sums], axis=1)
        found[0, order] = guide.over_all(over, self.limit[order], np.arange(len(order)))
        found[0] = self._certain(found[0], self.total)
        more = order[self._more[order]]
        if len(more):
            guide_then = self._guide(self._wider, self._weight_then, more)
            found[1, more] = guide_then.over_all(over_then[:, more], self.limit[more], np.arange(len(more)))
        # More demand is never less likely to be too much; what says so is rounding.
        found[1] = np.maximum(found[0], self._certain(found[1], self._wider))
        found[2:, order] = bands_of(sums, guide)

    def _sides(self, weeks: Places) -> tuple[Lumps, Moments]:
        """Who is taken as he is in weeks that all matter, or all do not; and everybody else in the few situations."""
        count = len(self.chances)
        if self._matters[weeks[0]]:
            return _lumps(self, weeks), self.crowd.first(count).at(weeks)
        return _nobody(count, len(weeks)), self.total.first(count).at(weeks)

    def _guide(self, total: Moments, weight: Floats, weeks: Places) -> Guide:
        return Guide.of(total.mean[:, weeks], total.variance[:, weeks], weight[weeks], len(self.chances))

    def _clear(self, total: Moments) -> tuple[Flags, Flags]:
        """In which weeks it is hardly ever too much, and in which it nearly always is."""
        last = len(self.chances) - 1
        never = unlikely(self.limit - total.mean[last], total.variance[last], self.size)
        return never, unlikely(total.mean[0] - self.limit, total.variance[0], self.size)

    def _certain(self, overload: Floats, total: Moments) -> Floats:
        too_little, too_much = self._clear(total)
        return np.where((self.size > 0) & too_little, 0.0, np.where((self.size > 0) & too_much, 1.0, overload))

    @cached_property
    def _wider(self) -> Moments:
        return self.total.plus(self.planned)

    @cached_property
    def _more(self) -> Flags:
        """Where something is planned."""
        return np.asarray(self.planned.mean > _NOTHING)

    @cached_property
    def _matters(self) -> Flags:
        """Where it makes a difference to take deals as they are: all is uncertain, or one deal is much of it."""
        uncertain = ~np.logical_or(*self._clear(self.total)) | (self._more & ~np.logical_or(*self._clear(self._wider)))
        largest = np.where(self.chosen, self.members.variance, 0.0).max(axis=0, initial=0.0)
        return np.asarray(self.chosen.any(axis=0) & (uncertain | (largest > _LUMPY * self.variance)))

    @cached_property
    def _weight(self) -> Floats:
        return self._follows(self.variance)

    @cached_property
    def _weight_then(self) -> Floats:
        return self._follows(self.variance + self.planned.variance)

    def _follows(self, variance: Floats) -> Floats:
        """The more deals a week's variance comes from, the more closely answers follow its mean."""
        squares = np.einsum("mw,mw->w", self.members.variance, self.members.variance)
        shares = squares / np.where(variance > 0, variance, 1.0) ** 2
        return rounded(np.clip(1 / np.maximum(shares, 1e-3) / 12 - 1 / 3, 0.0, 1.0))


def unlikely(distance: Floats, variance: Floats, size: Floats, least: float = _UNLIKELY) -> Flags:
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


def _lumps(pool: Weeks, weeks: Places) -> Lumps:
    """The deals of these weeks that are taken as they are."""
    members, chosen = pool.members, pool.chosen[:, weeks]
    many = int(chosen.sum(axis=0).max(initial=0))
    which = np.argsort(~chosen, axis=0, kind="stable")[:many].T
    there = np.take_along_axis(chosen.T, which, axis=1)
    amounts = members.asked[which, :, weeks[:, None]] * there[..., None]
    return Lumps(amounts, members.pushes[which], pool.chances[:, which] * there, members.effort[which], members.cvs)
