"""The re-forecast: margin and delivery of each period and segment, made anew on every change and told when it differs.

What stands is read off the book, the plan, the pools' positions and signals alone. Only what changed *since* hangs on
what was told before; that is what ``forecasts.v1`` holds, from where it is taken over after a restart.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain import margin as of
from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.bridge import Effects, Sold, bridge_of, effects_of
from services.capacity.domain.delivery import Delivery, pool_weeks
from services.capacity.domain.discounts import drifts_of
from services.capacity.domain.drift import Drift
from services.capacity.domain.forecast import Level, forecast_of, told_anew
from services.capacity.domain.margin import Margins, RowKey
from services.capacity.domain.revenue import lost_share
from services.capacity.domain.rounding import figure
from services.capacity.domain.tethers import Asking, Tethers
from shared.schemas.cell import CellKey
from shared.schemas.forecast import EVERYTHING, Forecast, ProductSum
from shared.schemas.period import first_day, last_day, next_period, period_of
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.week import monday, week_of

Floats = npt.NDArray[np.float64]
Key = tuple[str, str]
"""Period and segment."""


@dataclass
class Told:
    """What readers of forecasts know, with the products it is made of."""

    forecasts: dict[Key, Forecast] = field(default_factory=dict)
    products: dict[Key, list[ProductSum]] = field(default_factory=dict)

    def put(self, forecast: Forecast, products: list[ProductSum]) -> None:
        """This is what was told last of its period and segment."""
        key = forecast.period, forecast.segment
        self.forecasts[key], self.products[key] = forecast, products

    def drop(self, key: Key) -> None:
        """Nothing is told of it any more."""
        self.forecasts.pop(key, None)
        self.products.pop(key, None)


class _Slice(NamedTuple):
    """The rows of one period and segment: their place in the table, and among the table's groups."""

    rows: slice
    groups: slice


class _Cut(NamedTuple):
    """The table cut into groups of lines that ask alike: where each begins, and its first row's key."""

    first: list[int]
    keys: list[RowKey]
    slices: dict[Key, _Slice]


class Forecasts:
    """The forecasts of one plan at one day; a new plan or day needs a new one, which goes on from the same ``told``."""

    def __init__(self, plan: Plan, axis: Axis, told: Told) -> None:
        self._plan, self._axis, self._told = plan, axis, told
        tethers = Tethers(plan)
        self._margins = Margins(plan, axis, tethers)
        self._delivery = Delivery(tethers, axis)
        self._work: dict[str, WorkState] = {}
        self._cut: _Cut | None = None
        self._present = period_of(axis.today)

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        if self._margins.put(key, cell):
            self._cut = None

    def pool(self, name: str, rows: Sequence[Position], overload_cost: Floats) -> None:
        """A pool's positions in all weeks shown, and what its overload costs by week of the axis."""
        cumulative = self._plan.pools[name].kind in ("stock", "budget")
        self._delivery.put(name, pool_weeks(rows, overload_cost, self._axis, cumulative))

    def work(self, items: Iterable[WorkState]) -> None:
        """Work items that now stand so."""
        self._work.update((item.work, item) for item in items)

    def make(self, now: datetime, retention: dict[str, float], everything: bool) -> list[Forecast]:
        """The forecasts that differ from what was told, or ``everything``; in the order of periods and segments."""
        levels = list(self._levels(retention))
        if everything:
            standing = {(level.period, level.segment) for level in levels}
            for key in [key for key in self._told.forecasts if key not in standing]:
                self._told.drop(key)
        found: list[Forecast] = []
        for period in dict.fromkeys(level.period for level in levels):
            found += self._of_period([level for level in levels if level.period == period], now, everything)
        return found

    def products_of(self, forecast: Forecast) -> list[ProductSum]:
        """What a told forecast is made of."""
        return self._told.products.get((forecast.period, forecast.segment), [])

    def _of_period(self, levels: list[Level], now: datetime, everything: bool) -> Iterator[Forecast]:
        """The segments first, for the bridge of everything is made of theirs."""
        parts = {level.segment: level for level in levels if level.segment != EVERYTHING}
        gone = [s for p, s in self._told.forecasts if p == levels[0].period and s != EVERYTHING and s not in parts]
        for segment in gone:
            parts[segment] = Level(levels[0].period, segment)
        effects = {segment: self._effects(level) for segment, level in parts.items()}
        for segment in sorted(parts):
            yield from self._tell(parts[segment], [effects[segment]], now, everything)
        whole = next(level for level in levels if level.segment == EVERYTHING)
        yield from self._tell(whole, [effects[segment] for segment in sorted(effects)], now, everything)

    def _effects(self, level: Level) -> Effects:
        before = self._told.products.get((level.period, level.segment), [])
        return effects_of(_sold(before), _sold(level.products))

    def _tell(self, level: Level, effects: list[Effects], now: datetime, everything: bool) -> Iterator[Forecast]:
        before = self._told.forecasts.get((level.period, level.segment))
        overload = (before.overload_cost if before is not None else 0.0, level.overload_cost)
        standing = forecast_of(level, self._plan, now)
        made = told_anew(standing, before, bridge_of(effects, overload))
        if made is not before:
            self._told.put(made, [] if level.segment == EVERYTHING else level.products)
            yield made
        elif everything:
            yield made

    def _levels(self, retention: dict[str, float]) -> Iterator[Level]:
        cut = self._cut = self._cut or _cut_of(self._margins.keys)
        numbers = self._margins.numbers
        askings, asking, place = self._margins.askings, numbers[:, of.ASKING], numbers[:, of.PLACE]
        numbers[:, of.OVERLOAD] = numbers[:, of.UNITS] * self._delivery.costs(askings, asking, place)
        count = len(numbers)
        sums = np.add.reduceat(numbers[:, : of.SUMMED], cut.first, axis=0) if count else np.zeros((0, of.SUMMED))
        delays = self._delivery.delays(askings, asking, place) if self._plan.revenue_at_risk and count else None
        rows_of = {key: rows for key, (rows, _) in cut.slices.items()}
        for period in self._periods(cut):
            inside = [key for key in cut.slices if key[0] == period]
            drifts = drifts_of(period, rows_of, numbers)
            revenue = self._revenue(period, cut, delays)
            every = slice(cut.slices[inside[0]].rows.start, cut.slices[inside[-1]].rows.stop) if inside else slice(0, 0)
            groups = slice(cut.slices[inside[0]].groups.start, cut.slices[inside[-1]].groups.stop) if inside else every
            places = {key[1]: cut.slices[key] for key in inside} | {EVERYTHING: _Slice(every, groups)}
            for segment, (rows, among) in sorted(places.items()):
                nrr = retention.get(segment) if period == self._present else None
                level = self._level(period, segment, numbers[rows], sums[among], cut.keys[among], drifts.get(segment))
                yield level._replace(
                    revenue=figure(revenue.get(segment, (0.0, 0.0))[0]),
                    at_risk=figure(revenue.get(segment, (0.0, 0.0))[1]),
                    nrr=None if nrr is None else figure(nrr),
                )

    def _periods(self, cut: _Cut) -> list[str]:
        """Those of the plan, and from the present one on those in which something closes within the horizon."""
        end = monday(self._axis.weeks[-1])
        last = period_of(end) if last_day(period_of(end)) >= end else next_period(period_of(end))
        known = {period for period, _ in cut.slices if self._present <= period <= last}
        return sorted(known | set(self._plan.periods))

    def _level(
        self, period: str, segment: str, rows: Floats, sums: Floats, keys: list[RowKey], drift: Drift | None
    ) -> Level:
        total = sums.sum(axis=0)
        askings = [Asking(key.product, key.custom, key.type, key.stage) for key in keys]
        units = self._delivery.effort(zip(askings, sums[:, of.UNITS].tolist(), strict=True))
        opened = self._delivery.effort(zip(askings, sums[:, of.OPEN_UNITS].tolist(), strict=True))
        weeks = self._worked_on(period)
        use = {pool: self._delivery.pools[pool].utilisation(weeks) for pool in units if pool in self._delivery.pools}
        return Level(
            period=period,
            segment=segment,
            total=total,
            rows=rows[rows[:, of.STANDING] == of.OPEN],
            products=_products(keys, sums),
            effort={pool: amount for pool, amount in units.items() if amount},
            open_effort=opened,
            utilisation=use,
            drift=drift,
            overload_cost=figure(float(total[of.OVERLOAD])),
        )

    def _worked_on(self, period: str) -> slice:
        """From the period's first week, or now, to the end of the quarter after it; of the weeks shown."""
        first = self._axis.place(week_of(first_day(period)))
        last = self._axis.place(week_of(last_day(next_period(period))))
        return slice(max(first, self._axis.shown[0]), max(min(last + 1, self._axis.shown[1]), 0))

    def _revenue(self, period: str, cut: _Cut, delays: Floats | None) -> dict[str, tuple[float, float]]:
        """By segment, and of everything: the yearly revenue of all won by the period's end, and what is at risk."""
        assumed, numbers = self._plan.revenue_at_risk, self._margins.numbers
        slips = self._slips(period)
        asking = numbers[:, of.ASKING].astype(np.intp)
        slip = np.array([slips.get(each.product, 0.0) for each in self._margins.askings] or [0.0])
        won = numbers[:, of.REVENUE]
        risk = np.zeros(len(numbers))
        if delays is not None and assumed is not None:
            risk = won * lost_share(np.maximum(delays, slip[asking]), assumed)
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


_ALIKE: Final = 6
"""Fields of a row's key that rows of one group have in common: period, segment, product, custom, type, stage."""


def _cut_of(keys: Sequence[RowKey]) -> _Cut:
    first = [at for at, key in enumerate(keys) if at == 0 or key[:_ALIKE] != keys[at - 1][:_ALIKE]]
    named = [keys[at] for at in first]
    slices: dict[Key, _Slice] = {}
    starts = [at for at, key in enumerate(named) if at == 0 or key[:2] != named[at - 1][:2]]
    for number, begin in enumerate(starts):
        end = starts[number + 1] if number + 1 < len(starts) else len(named)
        rows = slice(first[begin], first[end] if end < len(first) else len(keys))
        slices[named[begin].period, named[begin].segment] = _Slice(rows, slice(begin, end))
    return _Cut(first, named, slices)


def _products(keys: Sequence[RowKey], sums: Floats) -> list[ProductSum]:
    """By product, of what is closed and expected."""
    total: dict[str, Floats] = {}
    for key, row in zip(keys, sums, strict=True):
        total[key.product] = total[key.product] + row if key.product in total else row
    made = []
    for product, row in total.items():
        net = row[of.CLOSED] + row[of.EXPECTED]
        listed = ProductSum(product, figure(row[of.LIST]), figure(net), figure(row[of.COST]))
        if listed.list or listed.net or listed.cost:
            made.append(listed)
    return made


def _sold(products: Iterable[ProductSum]) -> dict[str, Sold]:
    return {each.product: Sold(each.list, each.net, each.cost) for each in products}
