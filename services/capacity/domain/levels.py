"""What stands of each period and segment: read off the margin table, the pools and the signals, whatever was told.

A level is made anew only when its groups, their sums, its discounts, its revenue or one of its pools differ.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain import margin as of
from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.delivery import Delivery, pool_weeks
from services.capacity.domain.discounts import drifts_of
from services.capacity.domain.drift import Drift
from services.capacity.domain.forecast import Level
from services.capacity.domain.margin import Margins, RowKey
from services.capacity.domain.revenue import lost_share
from services.capacity.domain.rounding import figure, figures
from services.capacity.domain.tethers import Asking, Tethers
from shared.schemas.cell import CellKey
from shared.schemas.forecast import EVERYTHING, ProductSum
from shared.schemas.period import first_day, last_day, next_period, period_of
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.week import monday, week_of

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Key = tuple[str, str]
"""Period and segment."""

_NOTHING: Final = (0.0, 0.0)


class _Slice(NamedTuple):
    """The rows of one period and segment: their place in the table, and among the table's groups."""

    rows: slice
    groups: slice


class _Cut(NamedTuple):
    """The table cut into groups of lines that ask alike: where each begins, the number of what it asks."""

    first: Places
    asking: Places
    slices: dict[Key, _Slice]


class _Made(NamedTuple):
    """A level with what it was made from: its groups and their sums, and everything else that may differ."""

    level: Level
    groups: bytes
    others: tuple[object, ...]


class Levels:
    """Of one plan at one day; a new plan or day needs a new one."""

    def __init__(self, plan: Plan, axis: Axis) -> None:
        self._plan, self._axis = plan, axis
        tethers = Tethers(plan)
        self._margins = Margins(plan, axis, tethers)
        self._delivery = Delivery(tethers, axis)
        self._work: dict[str, WorkState] = {}
        self._changed: dict[CellKey, BookCell | None] = {}
        self._cut: _Cut | None = None
        self._present = period_of(axis.today)
        self._made: dict[Key, _Made] = {}
        self._moved: set[str] = set()

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone.

        Levels are asked for seldom, and what is urgent waits for what is put here: the table follows when they are.
        """
        self._changed[key] = cell

    def pool(self, name: str, rows: Sequence[Position], overload_cost: Floats) -> None:
        """A pool's positions in all weeks shown, and what its overload costs by week of the axis."""
        cumulative = self._plan.pools[name].kind in ("stock", "budget")
        self._delivery.put(name, pool_weeks(rows, overload_cost, self._axis, cumulative))
        self._moved.add(name)

    def work(self, items: Iterable[WorkState]) -> None:
        """Work items that now stand so."""
        self._work.update((item.work, item) for item in items)

    def all(self, retention: Mapping[str, float]) -> list[Level]:
        """Every period with its segments and everything, in order; a level that stands as before is the same object."""
        for key, cell in self._changed.items():
            if self._margins.put(key, cell):
                self._cut = None
        self._changed.clear()
        numbers = self._margins.numbers
        cut = self._cut = self._cut or _cut_of(self._margins.keys, numbers)
        askings, asking, place = self._margins.askings, numbers[:, of.ASKING], numbers[:, of.PLACE]
        if self._delivery.costly:
            numbers = numbers.copy()
            numbers[:, of.OVERLOAD] = numbers[:, of.UNITS] * self._delivery.costs(askings, asking, place)
        sums = np.zeros((0, of.SUMMED))
        if len(numbers):
            sums = np.add.reduceat(numbers[:, : of.SUMMED], cut.first, axis=0)
        delays = self._delivery.delays(askings, asking, place) if self._plan.revenue_at_risk else None
        rows_of = {key: rows for key, (rows, _) in cut.slices.items()}
        found = []
        for period in self._periods(cut):
            drifts = drifts_of(period, rows_of, numbers)
            revenue = self._revenue(period, cut, delays)
            for segment, (rows, groups) in sorted(_places(period, cut).items()):
                nrr = retention.get(segment) if period == self._present else None
                others = drifts.get(segment), revenue.get(segment, _NOTHING), None if nrr is None else figure(nrr)
                found.append(self._level((period, segment), numbers[rows], sums[groups], cut.asking[groups], others))
        self._made = {(level.period, level.segment): self._made[level.period, level.segment] for level in found}
        self._moved = set()
        return found

    def _level(
        self, key: Key, rows: Floats, sums: Floats, asking: Places,
        others: tuple[Drift | None, tuple[float, float], float | None],
    ) -> Level:  # fmt: skip
        total = sums.sum(axis=0)
        # Who asks is part of it: of two products without costs of their own the sums are the same.
        before, said = self._made.get(key), asking.tobytes() + sums[:, : of.OVERLOAD].tobytes()
        drift, (revenue, risk), nrr = others
        others = (drift, (figure(revenue), figure(risk)), nrr)
        overload = figure(float(total[of.OVERLOAD]))
        same = before is not None and before.groups == said
        if (
            before is not None
            and same
            and before.others == (others, overload)
            and not self._moved & before.level.effort.keys()
        ):
            return before.level
        if before is not None and same:
            parts = before.level.products, before.level.effort, before.level.open_effort
        else:
            askings = self._margins.askings
            effort = self._delivery.effort(askings, asking, sums[:, of.UNITS])
            opened = self._delivery.effort(askings, asking, sums[:, of.OPEN_UNITS])
            parts = _products(askings, asking, sums), effort, opened
        level = Level(
            *key,
            total=total,
            rows=rows[rows[:, of.STANDING] == of.OPEN],
            products=parts[0],
            effort=parts[1],
            open_effort=parts[2],
            uses=self._delivery.uses(self._worked_on(key[0])),
            drift=drift,
            overload_cost=overload,
            revenue=others[1][0],
            at_risk=others[1][1],
            nrr=nrr,
        )
        self._made[key] = _Made(level, said, (others, overload))
        return level

    def _periods(self, cut: _Cut) -> list[str]:
        """Those of the plan, and from the present one on those in which something closes within the horizon."""
        last = period_of(monday(self._axis.weeks[-1]) + timedelta(days=6))
        known = {period for period, _ in cut.slices if self._present <= period <= last}
        return sorted(known | set(self._plan.periods))

    def _worked_on(self, period: str) -> slice:
        """From the period's first week, or now, to the end of the quarter after it; of the weeks shown."""
        first = self._axis.place(week_of(first_day(period)))
        last = self._axis.place(week_of(last_day(next_period(period))))
        return slice(max(first, self._axis.shown[0]), max(min(last + 1, self._axis.shown[1]), 0))

    def _revenue(self, period: str, cut: _Cut, delays: Floats | None) -> dict[str, tuple[float, float]]:
        """By segment, and of everything: the yearly revenue of all won by the period's end, and what is at risk."""
        assumed, numbers = self._plan.revenue_at_risk, self._margins.numbers
        won, risk = numbers[:, of.REVENUE], np.zeros(len(numbers))
        if delays is not None and assumed is not None:
            if self._work:
                slips = self._slips(period)
                slip = np.array([slips.get(each.product, 0.0) for each in self._margins.askings] or [0.0])
                delays = np.maximum(delays, slip[numbers[:, of.ASKING].astype(np.intp)])
            risk = won * lost_share(delays, assumed)
        found: dict[str, tuple[float, float]] = {}
        whole = (0.0, 0.0)
        for (when, segment), (rows, _) in cut.slices.items():
            if when <= period:
                before = found.get(segment, (0.0, 0.0))
                more = float(won[rows].sum()), float(risk[rows].sum())
                found[segment] = before[0] + more[0], before[1] + more[1]
                whole = whole[0] + more[0], whole[1] + more[1]
        return found | {EVERYTHING: whole}

    def _slips(self, period: str) -> dict[str, float]:
        """By product, the longest slip of a work item that its customers wait for, due by the period's end."""
        end = week_of(last_day(period))
        late: dict[str, float] = {}
        for item in self._work.values():
            if item.due <= end:
                late[item.pool] = max(late.get(item.pool, 0.0), item.slip_weeks)
        return {
            name: max((late.get(need.pool, 0.0) for need in product.needs), default=0.0)
            for name, product in self._plan.products.items()
        }


def _places(period: str, cut: _Cut) -> dict[str, _Slice]:
    """Where the segments of a period are, and everything of it."""
    inside = {segment: place for (when, segment), place in cut.slices.items() if when == period}
    if not inside:
        return {EVERYTHING: _Slice(slice(0, 0), slice(0, 0))}
    first, last = next(iter(inside.values())), next(reversed(inside.values()))
    every = _Slice(slice(first.rows.start, last.rows.stop), slice(first.groups.start, last.groups.stop))
    return inside | {EVERYTHING: every}


def _cut_of(keys: Sequence[RowKey], numbers: Floats) -> _Cut:
    first = np.flatnonzero(np.diff(numbers[:, of.GROUP], prepend=-1))
    named = [keys[at][:2] for at in first.tolist()]
    slices: dict[Key, _Slice] = {}
    starts = [at for at, key in enumerate(named) if at == 0 or key != named[at - 1]]
    for begin, end in pairwise([*starts, len(named)]):
        rows = slice(int(first[begin]), int(first[end]) if end < len(first) else len(keys))
        slices[named[begin]] = _Slice(rows, slice(begin, end))
    return _Cut(first, numbers[first, of.ASKING].astype(np.intp), slices)


def _products(askings: Sequence[Asking], asking: Places, sums: Floats) -> list[ProductSum]:
    """By product, of what is closed and expected; in the order of their names."""
    products = [askings[number].product for number in asking.tolist()]
    names = sorted(set(products))
    place_of = {name: place for place, name in enumerate(names)}
    place = np.array([place_of[name] for name in products], np.intp)
    listed, closed, expected, cost = (
        np.bincount(place, sums[:, column], len(names)) for column in (of.LIST, of.CLOSED, of.EXPECTED, of.COST)
    )
    rows = figures(np.array([listed, closed + expected, cost])).T.tolist()
    return [ProductSum(name, *row) for name, row in zip(names, rows, strict=True) if any(row)]
