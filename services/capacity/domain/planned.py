"""Demand that is planned and not yet in the pipeline: what milestones still want, else what wins lately were like.

A milestone wants max(0, quantity - won - Σpq open in its window), spread over its days from today on by what is left of
its linearity. In weeks that no milestone of a product covers, it is to go on as it did: in each 13 weeks as much is
wanted as was won in the trailing 13 whole weeks, less what is won or expected there. Where windows overlap the larger
counts. These deals have no names: they come as a Poisson stream of new deals of the product's usual size.
"""

from dataclasses import dataclass, field
from datetime import date
from itertools import chain
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


@dataclass
class _Sales:
    """What is won and expected of one product, cell by cell, for sums in which no order counts.

    ``there`` are units expected by the place where they close, ``on`` the same with the day; what should have closed
    closes now at the earliest. ``before`` are those won in the trailing weeks, ``units`` and ``lines`` all there are.
    """

    there: dict[int, dict[CellKey, float]] = field(default_factory=dict)
    on: dict[CellKey, tuple[date, float]] = field(default_factory=dict)
    before: dict[CellKey, float] = field(default_factory=dict)
    units: dict[CellKey, float] = field(default_factory=dict)
    lines: dict[CellKey, int] = field(default_factory=dict)

    def put(self, key: CellKey, closing: Closing, axis: Axis) -> None:
        """The cell of ``key`` closes so."""
        place, day = axis.place(closing.week), closing.day
        if closing.won and axis.now - TRAILING <= place < axis.now:
            self.before[key] = closing.units
        if not closing.won:
            place, day = max(place, axis.now), max(day, axis.today)
        self.there.setdefault(place, {})[key] = closing.weighted
        self.on[key] = day, closing.weighted
        self.units[key], self.lines[key] = closing.units, closing.lines

    def drop(self, key: CellKey, axis: Axis) -> bool:
        """Nothing of the cell of ``key`` closes; answers whether that is something else than before."""
        if self.units.pop(key, None) is None:
            return False
        place = axis.place(key.week)
        for at in {place, max(place, axis.now)}:
            self.there.get(at, {}).pop(key, None)
        self.before.pop(key, None)
        del self.on[key], self.lines[key]
        return True


class Planned:
    """What is planned under one plan at one moment, kept up with the book; a new plan or day needs a new one."""

    def __init__(self, plan: Plan, axis: Axis, tethers: Tethers) -> None:
        self._plan, self._axis, self._tethers = plan, axis, tethers
        self._sales = {product: _Sales() for product in plan.products}
        self._aims = {product: _aims_of(product, plan, axis) for product in plan.products}
        self._streams: dict[str, _Stream] = {}
        self._dirty = set(plan.products)
        self._asks: dict[str, dict[str, Kernel]] = {pool: {} for pool in plan.pools}
        for product in plan.products:
            for pool, kernel in tethers.of(_asking(product)).items():
                self._asks[pool][product] = kernel

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        sales = self._sales.get(key.product)
        if sales is None:
            return
        counts = cell is not None and not is_stale(key, self._plan, self._axis.today)
        closing = closing_of(key, cell, self._plan) if counts and cell is not None else None
        if closing is not None:
            sales.put(key, closing, self._axis)
        elif not sales.drop(key, self._axis):
            return
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
        sales, aims = self._sales[product], self._aims[product]
        units = np.zeros(self._axis.count)
        for milestone, shares in aims.milestones:
            there = fsum(each for day, each in sales.on.values() if milestone.from_ <= day <= milestone.due)
            units = np.maximum(units, max(milestone.quantity - there, 0.0) * shares)
        before = fsum(sales.before.values())
        for window in aims.trailing if before > 0 else ():
            units[window] += _as_before(before, sales, window)
        lines = sum(sales.lines.values())
        usual = fsum(sales.units.values()) / lines if lines else 0.0
        size = usual if usual > 0 else self._plan.products[product].quantity.default or 1.0
        return _Stream(np.where(units > _NOTHING, units, 0.0), size)


def _as_before(before: float, sales: _Sales, window: npt.NDArray[np.intp]) -> float:
    """Units a week in the weeks of ``window`` so that it brings what its length brought ``before``."""
    weeks = (sales.there[week] for week in window.tolist() if week in sales.there)
    expected = fsum(chain.from_iterable(week.values() for week in weeks))
    return max(before * len(window) / TRAILING - expected, 0.0) / len(window)


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
