"""Bookings, list value, cost and their spread, by cell and period; summed in a fixed order, so the figures are the same
whatever came first.

A cell's lines close in its own period or, pushed by their stage, in a later one: each part of a cell is a row of
numbers. The rows of all cells lie in one table; a changed cell makes its own rows anew, and sums are taken over the
table in one go.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.bookings import middle_of
from services.capacity.domain.moments import in_units
from services.capacity.domain.spread import CERTAIN, money_of
from services.capacity.domain.tethers import Asking, Tethers
from services.capacity.domain.timing import timing_of
from shared.schemas.cell import CellKey
from shared.schemas.period import first_day, period_of
from shared.schemas.plan import Plan, Stage
from shared.schemas.week import week_of

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

(
    CLOSED, EXPECTED, LIST, COST, CLOSED_COST, LISTED, LISTED_NET, LINES, UNLISTED, UNITS, OPEN_UNITS,
    VARIANCE, SQUARES, MARGIN_VARIANCE, MARGIN_SQUARES, REVENUE, QUOTES, QUOTED, QUOTED_NET, OVERLOAD,
    PLACE, WEEK, CHANCE, ASKING, STANDING, GROUP,
) = range(26)  # fmt: skip
"""The columns: money closed and expected, list value, cost; list and net value of lines with a list price; lines, those
without a list price, units, open ones; Σ net²·ps(1 - ps) and Σ (s·net)² of open lines and the same of their margin, s
being the share that closes in the period; yearly revenue of won lines; the quotes with a list price that have this
close date, whatever becomes of them: number, list value, net value; the cost of effort beyond capacity. Then what is no
sum: where the lines close on the axis and in which week of the period, how likely in hundredths, the number of what
they ask, whether they are open, won or lost, and the number of the group of rows that are alike save in their week."""
SUMMED: Final = 20
COLUMNS: Final = 26

LOST, WON, OPEN = range(3)

_FEW: Final = 512
"""So many rows at most are put into the table, or taken out; of more it is made anew."""
_ALIKE: Final = 6
"""Fields of a row's key that rows of one group have in common: period, segment, product, custom, type, stage."""


class RowKey(NamedTuple):
    """A part of a cell, in the order in which sums are taken."""

    period: str
    segment: str
    product: str
    custom: bool
    type: str
    stage: str
    week: str
    month: str
    basis: str


class Margins:
    """The table of one plan at one moment; a new plan or day needs a new one."""

    def __init__(self, plan: Plan, axis: Axis, tethers: Tethers) -> None:
        self._plan, self._axis, self._tethers = plan, axis, tethers
        self._costs: dict[Asking, float] = {}
        self._of_cell: dict[CellKey, tuple[RowKey, ...]] = {}
        self._rows: dict[RowKey, tuple[float, ...]] = {}
        self._anew: set[RowKey] = set()
        self._new: set[RowKey] = set()
        self._gone: set[RowKey] = set()
        """Rows of other numbers than in the table, rows that are not yet in it, and no longer in it."""
        self._numbers: Floats = np.zeros((0, COLUMNS))
        self.keys: list[RowKey] = []
        """All rows, in the order of ``numbers``, as of when these were last asked for."""
        self.askings: list[Asking] = []
        """What rows ask; the column ``ASKING`` says the place in it."""
        self._number: dict[Asking, int] = {}
        self._groups: dict[tuple[object, ...], int] = {}

    def put(self, key: CellKey, cell: BookCell | None) -> bool:
        """The cell of ``key`` now sums to this; None: it is gone. Answers whether rows came or went."""
        rows = dict(self._rows_of(key, cell)) if cell is not None else {}
        before = self._of_cell.pop(key, ())
        if rows:
            self._of_cell[key] = tuple(rows)
        for row in before:
            if row not in rows:
                self._drop(row)
        for row, numbers in rows.items():
            self._set(row, numbers)
        return rows.keys() != set(before)

    def _drop(self, row: RowKey) -> None:
        del self._rows[row]
        self._anew.discard(row)
        if row in self._new:
            self._new.remove(row)
        else:
            self._gone.add(row)

    def _set(self, row: RowKey, numbers: list[float]) -> None:
        numbers[GROUP] = self._groups.setdefault(row[:_ALIKE], len(self._groups))
        if row in self._rows or row in self._gone:
            self._gone.discard(row)
            if row not in self._new:
                self._anew.add(row)
        else:
            self._new.add(row)
        self._rows[row] = tuple(numbers)

    @property
    def numbers(self) -> Floats:
        """A line for each of ``keys``; nothing in it is ever changed in place, so forks may share it."""
        if len(self._new) + len(self._gone) > _FEW:
            self.keys = sorted(self._rows)
            self._numbers = np.array([self._rows[key] for key in self.keys]).reshape(-1, COLUMNS)
        elif self._new or self._gone or self._anew:
            self._numbers = self._changed()
        self._anew, self._new, self._gone = set(), set(), set()
        return self._numbers

    def _changed(self) -> Floats:
        """The table as it was with what came, went and changed since."""
        keys, new = self.keys, sorted(self._new)
        went = sorted(bisect_left(keys, row) for row in self._gone)
        numbers = np.delete(self._numbers, went, axis=0)  # a copy, whatever went
        for at in reversed(went):
            del keys[at]
        if new:
            places = [bisect_left(keys, row) for row in new]
            numbers = np.insert(numbers, places, [self._rows[row] for row in new], axis=0)
            for row in new:
                insort(keys, row)
        for row in self._anew:
            numbers[bisect_left(keys, row)] = self._rows[row]
        return numbers

    def cost_of(self, asking: Asking) -> float:
        """What one unit costs: its unit cost and its effort at the pools' cost per unit, in the plan's currency."""
        cost = self._costs.get(asking)
        if cost is None:
            product = self._plan.products.get(asking.product)
            cost = product.unit_cost if product is not None else 0.0
            for pool, kernel in self._tethers.of(asking).items():
                cost += float(kernel.effort.sum()) * self._plan.pools[pool].cost_per_unit
            self._costs[asking] = cost
        return cost

    def _rows_of(self, key: CellKey, cell: BookCell) -> Iterator[tuple[RowKey, list[float]]]:
        stage = self._plan.stages.get(key.stage)
        if stage is None or not key.week:
            return
        asking = Asking(key.product, key.custom, key.type, key.stage)
        if stage.class_ == "open":
            yield from self._open(key, cell, stage, asking)
            return
        won = stage.class_ == "won"
        numbers = _won(cell, self._units(key, cell, 1.0)[1], self.cost_of(asking)) if won else _none()
        _quote(numbers, cell)
        period = period_of(middle_of(key.week, key.month))
        self._say(numbers, asking, period, self._axis.place(key.week), 1.0, WON if won else LOST)
        yield _key(key, period), numbers

    def _say(self, numbers: list[float], asking: Asking, period: str, place: int, chance: float, standing: int) -> None:
        number = self._number.get(asking)
        if number is None:
            number = self._number[asking] = len(self.askings)
            self.askings.append(asking)
        week = place - self._axis.place(week_of(first_day(period)))
        numbers[PLACE:GROUP] = (place, week, round(chance * CERTAIN), number, standing)

    def _open(self, key: CellKey, cell: BookCell, stage: Stage, asking: Asking) -> Iterator[tuple[RowKey, list[float]]]:
        timing = timing_of(key, self._plan, self._axis)
        if timing is None or timing.counts != "open":
            return
        day = middle_of(key.week, key.month)
        overdue = self._axis.place(key.week) < self._axis.now
        shares = shares_by_period(self._axis.today if overdue else day, tuple(stage.pushes))
        p = stage.win_probability
        units = self._units(key, cell, p)[0]
        net = cell.own.p_net + p * cell.stage.net
        count = cell.own.count + cell.stage.count
        weighted = cell.own.p + p * cell.stage.count
        chance = min(max(weighted / count if count else 0.0, 0.0), 1.0)
        cost = self.cost_of(asking)
        money = money_of(cell, p, cost, *self._unit(key))
        listed = cell.listed
        of_list = cell.own.p_list + p * (listed.list - listed.own_list)
        of_net = listed.p_net + p * (listed.net - listed.own_net)
        for number, (period, share) in enumerate(shares.items()):
            numbers = _none()
            numbers[EXPECTED] = share * net
            # A line without a list price counts with what it is sold for.
            numbers[LIST] = share * (of_list + net - of_net)
            numbers[COST] = share * units * cost
            numbers[LISTED], numbers[LISTED_NET] = share * of_list, share * of_net
            numbers[UNITS] = numbers[OPEN_UNITS] = share * units
            for at, (first, second) in ((VARIANCE, money.net), (MARGIN_VARIANCE, money.margin)):
                numbers[at] = max(share * first - share**2 * second, 0.0)
                numbers[at + 1] = share**2 * first / chance if chance > 0 else 0.0
            if number == 0:
                numbers[LINES], numbers[UNLISTED] = count, count - listed.count
                _quote(numbers, cell)
            self._say(numbers, asking, period, timing.place, chance, OPEN)
            yield _key(key, period), numbers

    def _unit(self, key: CellKey) -> tuple[float, float | None]:
        """See ``in_units``."""
        product = self._plan.products.get(key.product)
        return in_units(product, key.basis) if product is not None else (0.0, None)

    def _units(self, key: CellKey, cell: BookCell, p: float) -> tuple[float, float]:
        """Units of the cell's lines, weighted by probability and not; those of no known product are none."""
        factor, fixed = self._unit(key)
        own, stage = cell.own, cell.stage
        if fixed is not None:
            return (own.p + p * stage.count) * fixed, (own.count + stage.count) * fixed
        return (own.pq + p * stage.q) * factor, (own.q + stage.q) * factor


@lru_cache(maxsize=4096)
def shares_by_period(day: date, pushes: tuple[float, ...]) -> Mapping[str, float]:
    """Which share of what is to close on ``day`` closes in which period, the first of them that of ``day``."""
    shares: dict[str, float] = {}
    for late, share in enumerate(pushes):
        period = period_of(day + timedelta(weeks=late))
        shares[period] = shares.get(period, 0.0) + share
    return shares


def _won(cell: BookCell, units: float, cost: float) -> list[float]:
    numbers = _none()
    listed, net = cell.listed, cell.own.net + cell.stage.net
    count = cell.own.count + cell.stage.count
    numbers[CLOSED] = net
    numbers[LIST] = listed.list + net - listed.net
    numbers[COST] = numbers[CLOSED_COST] = units * cost
    numbers[LISTED], numbers[LISTED_NET] = listed.list, listed.net
    numbers[LINES], numbers[UNLISTED] = count, count - listed.count
    numbers[UNITS] = units
    numbers[REVENUE] = listed.arr
    return numbers


def _quote(numbers: list[float], cell: BookCell) -> None:
    numbers[QUOTES], numbers[QUOTED], numbers[QUOTED_NET] = cell.listed.count, cell.listed.list, cell.listed.net


def _none() -> list[float]:
    return [0.0] * COLUMNS


def _key(key: CellKey, period: str) -> RowKey:
    return RowKey(period, key.segment, key.product, key.custom, key.type, key.stage, key.week, key.month, key.basis)
