"""What delivering means for a forecast, pool by pool: the cost of its overload, its delay, its use.

What a line asks of a pool lies in certain weeks after its close; so a cost or a delay by week becomes one by close
week, for each kind of line, and is looked up for every row of the margin table at once.
"""

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.rounding import figure
from services.capacity.domain.tethers import Asking, Tethers
from shared.schemas.position import Position

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_LITTLE: Final = 1e-9
_NOBODY: Final = np.zeros(0, np.intp)


@dataclass(frozen=True)
class PoolWeeks:
    """A pool by week of the axis, nothing before the weeks shown: all it is asked, what it can do, its delay.

    ``rate`` is the cost of overload for one unit of what deals ask in that week.
    """

    demand: Floats
    capacity: Floats
    delay: Floats
    rate: Floats
    cumulative: bool

    @cached_property
    def costly(self) -> bool:
        """Whether effort beyond capacity costs anything."""
        return bool(self.rate.any())

    def utilisation(self, weeks: slice) -> float | None:
        """All that is asked in these weeks over what can be done; of stocks and budgets at their end."""
        demand, capacity = self.demand[weeks], self.capacity[weeks]
        if not len(demand):
            return None
        asked, can = (demand[-1], capacity[-1]) if self.cumulative else (demand.sum(), capacity.sum())
        return float(asked / can) if can > _LITTLE else None


def pool_weeks(rows: Sequence[Position], cost: Floats, axis: Axis, cumulative: bool) -> PoolWeeks:
    """From the pool's positions in the weeks shown, and the cost of its overload by week of the axis."""
    said = [
        (row.base + row.booked + row.expected, row.capacity, row.delay_weeks, row.booked + row.expected) for row in rows
    ]
    table = np.zeros((4, axis.count))
    table[:, slice(*axis.shown)] = np.array(said).reshape(-1, 4).T
    deals = table[3]
    rate = np.where(deals > _LITTLE, cost / np.maximum(deals, _LITTLE), 0.0)
    return PoolWeeks(table[0], table[1], table[2], rate, cumulative)


class Uses(NamedTuple):
    """Utilisation by pool, rounded, and the pools from the busiest on."""

    utilisation: dict[str, float | None]
    busiest: list[str]


class Delivery:
    """Cost of overload and delay by what asks and where it closes, kept up with the pools that changed."""

    def __init__(self, tethers: Tethers, axis: Axis) -> None:
        self._tethers, self._axis = tethers, axis
        self._lead = tethers.longest
        self.pools: dict[str, PoolWeeks] = {}
        self._costly: set[str] = set()
        self._costs: dict[Asking, Floats] = {}
        self._delays: dict[Asking, Floats] = {}
        self._uses: dict[tuple[int, int], tuple[int, Uses]] = {}
        """By the first of the weeks and the one after the last."""
        self._puts: dict[str, int] = {}
        """When each pool was put last, counting from 1."""
        self._count = 0
        self._asking: dict[str, set[Asking]] = {}
        """By pool, what the costs and delays that are known hang on it for."""
        self._names = sorted(tethers.pools)
        self._efforts = _Efforts(_NOBODY, _NOBODY, _NOBODY, np.zeros(0))

    def put(self, pool: str, weeks: PoolWeeks) -> None:
        """The pool now stands so."""
        self.pools[pool] = weeks
        (self._costly.add if weeks.costly else self._costly.discard)(pool)
        self._count += 1
        self._puts[pool] = self._count
        for asking in self._asking.pop(pool, ()):
            self._costs.pop(asking, None)
            self._delays.pop(asking, None)

    def uses(self, weeks: slice) -> Uses:
        """All pools in these weeks; what nothing changed in is the same object as before."""
        span = weeks.start, weeks.stop
        upto, known = self._uses.get(span, (0, Uses({}, [])))
        changed = [pool for pool, at in self._puts.items() if at > upto]
        if changed:
            use = dict(known.utilisation)
            for pool in changed:
                there = self.pools[pool].utilisation(weeks)
                use[pool] = None if there is None else figure(there)
            pools = [pool for pool in self._names if pool in use]
            order = np.argsort([-(use[pool] or 0.0) for pool in pools], kind="stable")
            known = Uses(use, [pools[place] for place in order.tolist()])
            self._uses[span] = self._count, known
        return known

    @property
    def costly(self) -> bool:
        """Whether effort beyond capacity costs anything anywhere."""
        return bool(self._costly)

    def costs(self, askings: Sequence[Asking], asking: Floats, place: Floats) -> Floats:
        """Of one unit of each row: ``asking`` is a place in ``askings``, ``place`` where the row closes."""
        return self._look_up(self._cost, askings, asking, place)

    def delays(self, askings: Sequence[Asking], asking: Floats, place: Floats) -> Floats:
        """The longest delay of any pool in a week in which the row asks it, in weeks."""
        return self._look_up(self._delay, askings, asking, place)

    def _look_up(
        self, of: Callable[[Asking], Floats], askings: Sequence[Asking], asking: Floats, place: Floats
    ) -> Floats:
        table = np.zeros((len(askings) + 1, self._lead + self._axis.count))
        for one in np.unique(asking).astype(np.intp).tolist():
            table[one] = of(askings[one])
        column = place.astype(np.intp) + self._lead
        inside = (column >= 0) & (column < table.shape[1])
        found: Floats = np.where(inside, table[asking.astype(np.intp), np.clip(column, 0, table.shape[1] - 1)], 0.0)
        return found

    def _cost(self, asking: Asking) -> Floats:
        found = self._costs.get(asking)
        if found is None:
            found = np.zeros(self._lead + self._axis.count)
            for pool, kernel in self._tethers.of(asking).items():
                self._asking.setdefault(pool, set()).add(asking)
                weeks = self.pools.get(pool)
                if weeks is not None and weeks.costly:
                    found = found + self._by_close(weeks.rate, kernel.mean)
            self._costs[asking] = found
        return found

    def _by_close(self, rate: Floats, effort: Floats) -> Floats:
        padded = np.concatenate((np.zeros(self._lead), rate, np.zeros(len(effort) - 1)))
        return np.correlate(padded, effort, "valid")

    def _delay(self, asking: Asking) -> Floats:
        found = self._delays.get(asking)
        if found is None:
            found = np.zeros(self._lead + self._axis.count)
            for pool, kernel in self._tethers.of(asking).items():
                self._asking.setdefault(pool, set()).add(asking)
                weeks = self.pools.get(pool)
                if weeks is not None and weeks.delay.any():
                    found = np.maximum(found, self._longest(weeks.delay, kernel))
            self._delays[asking] = found
        return found

    def _longest(self, delay: Floats, kernel: Kernel) -> Floats:
        asked = np.flatnonzero(kernel.mean > 0)
        if not len(asked):
            return np.zeros(self._lead + self._axis.count)
        length = int(asked[-1]) + 1
        padded = np.concatenate((np.zeros(self._lead), delay, np.zeros(length - 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, length)
        return np.asarray(windows[:, int(asked[0]) :].max(axis=1))

    def effort(self, askings: Sequence[Asking], asking: Places, units: Floats) -> dict[str, float]:
        """What so many ``units`` of each ask of each pool in all, in the pool's unit; ``asking`` as for ``costs``."""
        new = askings[len(self._efforts.number) :]
        if new:
            self._efforts = self._efforts.with_more([self._tethers.of(one) for one in new], self._names)
        of = self._efforts
        counts = of.number[asking]
        at = np.arange(counts.sum()) + np.repeat(of.first[asking] - np.cumsum(counts) + counts, counts)
        total = np.bincount(of.pool[at], np.repeat(units, counts) * of.effort[at], len(self._names))
        return {self._names[pool]: float(total[pool]) for pool in np.flatnonzero(total).tolist()}


class _Efforts(NamedTuple):
    """Effort of one unit of each that asks: ``number`` pools from place ``first`` of ``pool`` and ``effort`` on."""

    first: Places
    number: Places
    pool: Places
    effort: Floats

    def with_more(self, kernels: Sequence[Mapping[str, Kernel]], names: Sequence[str]) -> "_Efforts":
        """The same with the ``kernels`` of those that come next; pools are places in ``names``, in order."""
        pool = np.array([bisect_left(names, name) for each in kernels for name in each], np.intp)
        effort = np.array([float(kernel.effort.sum()) for each in kernels for kernel in each.values()])
        number = np.append(self.number, np.array([len(each) for each in kernels], np.intp))
        return _Efforts(np.cumsum(number) - number, number, np.append(self.pool, pool), np.append(self.effort, effort))
