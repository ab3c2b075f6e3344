"""Demand that is planned and not yet in the pipeline: what milestones still want, else what wins lately were like.

A milestone wants max(0, quantity - won - Σpq open in its window), spread over its days from today on by what is left of
its linearity. In weeks that no milestone of a product covers, it is to go on as it did: in each 13 weeks as much is
wanted as was won in the trailing 13 whole weeks, less what is won or expected there. Where windows overlap the larger
counts. These deals have no names: they come as a Poisson stream of new deals of the product's usual size.
"""

from datetime import date
from math import fsum
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.bookings import Closing, closing_of
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.moments import MEAN, THIRD, VARIANCE, WEIGHTS
from services.capacity.domain.tethers import Asking, Tethers
from services.capacity.domain.timing import is_stale
from shared.schemas.cell import CellKey
from shared.schemas.plan import Milestone, Plan
from shared.schemas.week import monday, week_of

Floats = npt.NDArray[np.float64]

TRAILING: Final = 13
"""Whole weeks before the present one whose wins say what is to come of a product without a milestone."""
_NOTHING: Final = 1e-9


class PlannedDemand(NamedTuple):
    """What is planned of one pool, by week of the axis: mean, variance and third central moment."""

    mean: Floats
    variance: Floats
    third: Floats


class _Stream(NamedTuple):
    """Units by week of the axis in which they are won, and how many come at once."""

    units: Floats
    size: float


class Planned:
    """What is planned under one plan at one moment, kept up with the book; a new plan or day needs a new one."""

    def __init__(self, plan: Plan, axis: Axis, tethers: Tethers) -> None:
        self._plan, self._axis, self._tethers = plan, axis, tethers
        self._closings: dict[str, dict[CellKey, Closing]] = {product: {} for product in plan.products}
        self._aims = {product: _aims_of(product, plan, axis) for product in plan.products}
        self._streams: dict[str, _Stream] = {}
        self._dirty = set(plan.products)
        self._asks: dict[str, dict[str, Kernel]] = {pool: {} for pool in plan.pools}
        for product in plan.products:
            for pool, kernel in tethers.of(_asking(product)).items():
                self._asks[pool][product] = kernel

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        closings = self._closings.get(key.product)
        if closings is None:
            return
        counts = cell is not None and not is_stale(key, self._plan, self._axis.today)
        closing = closing_of(key, cell, self._plan) if counts and cell is not None else None
        if closing is not None:
            closings[key] = closing
        else:
            closings.pop(key, None)
        self._dirty.add(key.product)

    def refresh(self) -> set[str]:
        """Take the changes in; answers the pools of which something else is planned now."""
        changed: set[str] = set()
        for product in self._dirty:
            made, before = self._stream(product), self._streams.get(product)
            if before is None or before.size != made.size or not np.array_equal(before.units, made.units):
                self._streams[product] = made
                changed.update(self._tethers.of(_asking(product)))
        self._dirty = set()
        return changed

    def units(self, product: str) -> Floats:
        """Units of ``product`` that are planned to be won, by week of the axis, as of the last ``refresh``."""
        return self._streams[product].units

    def on(self, pool: str) -> PlannedDemand:
        """What is planned of ``pool``, as of the last ``refresh``."""
        lead, count = self._tethers.longest, self._axis.count
        total = np.zeros((4, count))
        for product, kernel in self._asks[pool].items():
            stream = self._streams[product]
            if not stream.units.any():
                continue
            weights = np.zeros((WEIGHTS, lead + count))
            # A Poisson stream is many deals of hardly any chance: the terms with p² and p³ are nothing.
            weights[[0, 1, 2, 4], lead:] = np.outer([1.0, 1.0, stream.size, stream.size**2], stream.units)
            if self._tethers.is_cumulative(pool):
                total += kernel.spread_cumulative(weights, lead, count, self._axis.start)
            else:
                total += kernel.spread(weights, lead, count)
        return PlannedDemand(total[MEAN], total[VARIANCE], total[THIRD])

    def _stream(self, product: str) -> _Stream:
        closings = list(self._closings[product].values())
        units = np.zeros(self._axis.count)
        aims = self._aims[product]
        for milestone, shares in aims.milestones:
            there = fsum(c.weighted for c in closings if milestone.from_ <= self._day(c) <= milestone.due)
            units = np.maximum(units, max(milestone.quantity - there, 0.0) * shares)
        for window in aims.trailing:
            units[window] += self._as_before(closings, window)
        lines = sum(closing.lines for closing in closings)
        usual = fsum(closing.units for closing in closings) / lines if lines else 0.0
        size = usual if usual > 0 else self._plan.products[product].quantity.default or 1.0
        return _Stream(np.where(units > _NOTHING, units, 0.0), size)

    def _as_before(self, closings: list[Closing], window: npt.NDArray[np.intp]) -> float:
        """Units a week in the weeks of ``window`` so that it brings what its length brought before."""
        now, weeks = self._axis.now, set(window.tolist())
        places = [self._axis.place(closing.week) for closing in closings]
        placed = list(zip(closings, places, strict=True))
        won = fsum(c.units for c, place in placed if c.won and -TRAILING <= place - now < 0)
        # What should have closed closes now at the earliest.
        there = fsum(c.weighted for c, place in placed if (place if c.won or place > now else now) in weeks)
        return max(won * len(window) / TRAILING - there, 0.0) / len(window)

    def _day(self, closing: Closing) -> date:
        # What should have closed closes now at the earliest.
        return closing.day if closing.won else max(closing.day, self._axis.today)


class _Aims(NamedTuple):
    """Milestones with the share of what they still want by week, and the stretches of weeks that none covers."""

    milestones: list[tuple[Milestone, Floats]]
    trailing: list[npt.NDArray[np.intp]]


def _asking(product: str) -> Asking:
    """What is planned is sold to somebody new, as the plan says it, in no stage."""
    return Asking(product, False, "new", "")


def _aims_of(product: str, plan: Plan, axis: Axis) -> _Aims:
    milestones = [one for one in plan.milestones.values() if one.product == product and one.due >= axis.today]
    bare = np.arange(axis.count) >= axis.now
    for milestone in milestones:
        first, last = axis.place(week_of(milestone.from_)), axis.place(week_of(milestone.due))
        bare[max(first, 0) : max(last + 1, 0)] = False
    begins = range(axis.now, axis.count, TRAILING)
    windows = [np.flatnonzero(bare[begin : begin + TRAILING]) + begin for begin in begins]
    return _Aims([(one, shares_by_week(one, axis)) for one in milestones], [each for each in windows if len(each)])


def shares_by_week(milestone: Milestone, axis: Axis) -> Floats:
    """Which share of what a milestone still wants falls on each week of the axis: by its linearity, from today on.

    Where the linearity leaves nothing for the days to come, all of them are alike. Sums to one unless the milestone
    ends beyond the axis; to nothing when it is over.
    """
    length = (milestone.due - milestone.from_).days + 1
    upto = np.concatenate(([0.0], np.cumsum(milestone.linearity)))
    days = np.arange(length + 1) / length * len(milestone.linearity)
    share = np.diff(np.interp(days, np.arange(len(upto)), upto))
    share[: min(max((axis.today - milestone.from_).days, 0), length)] = 0.0
    if not share.sum() > _NOTHING:
        share = ((np.arange(length) + (milestone.from_ - axis.today).days) >= 0).astype(np.float64)
    begin = (milestone.from_ - monday(axis.first)).days
    week = (np.arange(length) + begin) // 7
    inside = (week >= 0) & (week < axis.count)
    found = np.bincount(week[inside], share[inside], axis.count)
    return np.asarray(found / (share.sum() or 1.0))
