"""The re-forecast: margin and delivery of each period and segment, made anew on every change and told when it differs.

What stands is read off the book, the plan, the pools' positions and signals alone. Only what changed *since* hangs on
what was told before; that is what ``forecasts.v1`` holds, from where it is taken over after a restart.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from services.capacity.domain.axis import Axis
from services.capacity.domain.bridge import Effects, Sold, bridge_of, effects_of
from services.capacity.domain.forecast import Level, forecast_of, told_anew
from services.capacity.domain.levels import Key, Levels
from shared.schemas.forecast import EVERYTHING, Forecast, ProductSum
from shared.schemas.plan import Plan


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


class Forecasts:
    """The forecasts of one plan at one day; a new plan or day needs a new one, which goes on from the same ``told``."""

    def __init__(self, plan: Plan, axis: Axis, told: Told, every: float = 0.0) -> None:
        """``every``: so many seconds at least from forecasts that were told to the next; changes between are one."""
        self._plan, self._told, self._every = plan, told, every
        self.levels = Levels(plan, axis)
        self._told_at = -math.inf
        self._held = False
        self._before: dict[Key, Level] = {}
        self._standing: dict[Key, tuple[list[ProductSum], Effects]] = {}

    def overdue(self, second: float | None) -> bool:
        """Whether ``make`` was asked before its time, and its time has come."""
        return self._held and self._is_time(second)

    def _is_time(self, second: float | None) -> bool:
        return second is None or second - self._told_at >= self._every

    def make(
        self, now: datetime, retention: Mapping[str, float], everything: bool, second: float | None = None
    ) -> list[Forecast]:
        """The forecasts that differ from what was told, or ``everything``; in the order of periods and segments.

        None before it is time, by ``second`` as ``Projector.project`` has it.
        """
        self._held = not (everything or self._is_time(second))
        if self._held:
            return []
        levels = {(level.period, level.segment): level for level in self.levels.all(retention)}
        if not everything:
            # Of a period of which nothing is left that is told, until a complete frame no longer names it.
            left = {key: Level(*key) for key in self._told.forecasts if key not in levels and key[1] == EVERYTHING}
            levels = dict(sorted((levels | left).items()))
        found: list[Forecast] = []
        for period in dict.fromkeys(period for period, _ in levels):
            found += self._of_period(period, levels, now, everything)
        if everything:
            for key in [key for key in self._told.forecasts if key not in levels]:
                self._told.drop(key)
        self._before = levels
        if found and second is not None:
            self._told_at = second
        return found

    def _of_period(
        self, period: str, levels: Mapping[Key, Level], now: datetime, everything: bool
    ) -> Iterator[Forecast]:
        """The segments first, for the bridge of everything is made of theirs."""
        parts = {segment: level for (when, segment), level in levels.items() if when == period}
        whole = parts.pop(EVERYTHING)
        gone = {segment for when, segment in self._told.forecasts if when == period} - {EVERYTHING, *parts}
        parts |= {segment: Level(period, segment) for segment in gone}
        changed = {segment for segment in parts if self._may_differ(parts[segment], everything)}
        if everything:
            changed -= gone  # nothing is told of them any more; that they went is a part of everything's bridge
        if not changed and not self._may_differ(whole, everything):
            return
        effects = {segment: self._effects(level) for segment, level in parts.items()}
        for segment in sorted(changed):
            yield from self._tell(parts[segment], [effects[segment]], now, everything)
        yield from self._tell(whole, [effects[segment] for segment in sorted(effects)], now, everything)

    def _may_differ(self, level: Level, everything: bool) -> bool:
        return everything or self._before.get((level.period, level.segment)) is not level

    def _effects(self, level: Level) -> Effects:
        before = self._told.products.get((level.period, level.segment), [])
        if before is not level.products:
            return effects_of(_sold(before), _sold(level.products))
        # The very products that were told: nothing changed, and what stands need not be added up again.
        known = self._standing.get((level.period, level.segment))
        if known is None or known[0] is not before:
            sold = _sold(before)
            known = self._standing[level.period, level.segment] = before, effects_of(sold, sold)
        return known[1]

    def _tell(self, level: Level, effects: list[Effects], now: datetime, everything: bool) -> Iterator[Forecast]:
        key = level.period, level.segment
        before = self._told.forecasts.get(key)
        overload = (before.overload_cost if before is not None else 0.0, level.overload_cost)
        standing = forecast_of(level, self._plan, now)
        made = told_anew(standing, before, bridge_of(effects, overload), level, self._before.get(key), self._plan)
        if made is not before:
            self._told.put(made, [] if level.segment == EVERYTHING else level.products)
            yield made
        elif everything:
            yield made


def _sold(products: Iterable[ProductSum]) -> dict[str, Sold]:
    return {each.product: Sold(each.list, each.net, each.cost) for each in products}
