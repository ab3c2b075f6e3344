"""Demand on pools by week, kept up with the book: cost follows the cells that changed.

Cells are gathered into groups of lines that ask alike (product, custom, type, stage). A changed cell re-weighs its
group, a re-weighed group is spread anew over the pools it asks, and those pools are summed anew from their groups, in a
fixed order. So an update gives the very numbers a full projection gives.
"""

import math
from collections.abc import Mapping, Sequence
from operator import is_not

import numpy as np
import numpy.typing as npt

from services.capacity.domain.actuals import Actual
from services.capacity.domain.asking_apart import AskingApart
from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.groups import Gathered, Group, GroupLines, PoolDemand, PoolGroup, gathered
from services.capacity.domain.hiring import Openings
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.lines import Lines, Places, Shapes
from services.capacity.domain.moments import EXPOSURE, MEAN, THIRD, VARIANCE
from services.capacity.domain.planned import Planned, PlannedDemand
from services.capacity.domain.tethers import Asking, Tethers, asking_of
from services.capacity.domain.timing import timing_of
from shared.schemas.cell import CellKey
from shared.schemas.frame import EffortState
from shared.schemas.plan import Plan
from shared.schemas.week import add_weeks

Floats = npt.NDArray[np.float64]


class Demand:
    """The demand of the book under one plan at one moment; a new plan or week needs a new one."""

    def __init__(self, plan: Plan, axis: Axis) -> None:
        self._plan, self._axis = plan, axis
        self._tethers = Tethers(plan)
        self.planned = Planned(plan, axis, self._tethers)
        self._groups: dict[Asking, Group] = {}
        self._apart = AskingApart(plan, axis, self._tethers, self._groups)
        self._on_pool: dict[str, set[Asking]] = {pool: set() for pool in plan.pools}
        self._withheld: dict[str, frozenset[str]] = {}
        self._openings: dict[str, Openings] = {}
        self._dirty_groups: set[Asking] = set()
        self._dirty_pools: set[str] = set(plan.pools)
        self._summed: dict[str, PoolDemand] = {}
        self._listed: dict[str, list[PoolGroup]] = {}
        self._moved: dict[str, float] = dict.fromkeys(plan.pools, math.inf)
        self._gathered: dict[Asking, tuple[tuple[GroupLines, ...], Gathered]] = {}

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        self.planned.put(key, cell)
        asking = asking_of(key)
        kernels = self._tethers.of(asking)
        timing = timing_of(key, self._plan, self._axis) if kernels and cell is not None else None
        group = self._groups.get(asking)
        if group is None:
            if timing is None:
                return
            stage = self._plan.stages.get(asking.stage)
            probability = stage.win_probability if stage is not None else None
            product = self._plan.products[asking.product]
            group = self._groups[asking] = Group(product, probability, timing.counts == "won")
        before, weighed = group.cells.get(key), group.expected(key)
        if group.put(key, cell, timing):
            self._dirty_groups.add(asking)
            moved = abs(group.expected(key) - weighed)
            for pool, kernel in kernels.items():
                self._moved[pool] += moved * (kernel.total if self.is_cumulative(pool) else kernel.peak)
            self._apart.put(key, before[0] if before is not None else None, cell if timing is not None else None)

    def withhold(self, deals: Mapping[str, frozenset[str]]) -> None:
        """By decision these deals ask nothing of these pools; replaces what was withheld before."""
        for pool in deals.keys() | self._withheld.keys():
            if pool in self._on_pool and self._withheld.get(pool, _NOBODY) != deals.get(pool, _NOBODY):
                self._dirty_pools.add(pool)
                self._moved[pool] = math.inf
                for asking in self._on_pool[pool]:
                    self._groups[asking].on.pop(pool, None)
        self._withheld = dict(deals)

    def hire(self, pool: str, openings: Openings | None) -> bool:
        """``pool`` owes this for people missing elsewhere; answers whether that is something else than before."""
        if openings is None or openings.same_as(self._openings.get(pool)):
            return False
        self._openings[pool] = openings
        return True

    def hiring(self, pool: str) -> Floats:
        """What ``pool`` owes for people that others are missing, by week."""
        openings = self._openings.get(pool)
        return openings.base if openings is not None else np.zeros(self._axis.count)

    def planned_on(self, pool: str) -> PlannedDemand:
        """What is planned of ``pool``, and what it would owe for people missing because of plans elsewhere."""
        planned, openings = self.planned.on(pool), self._openings.get(pool)
        return planned if openings is None else planned._replace(mean=planned.mean + openings.planned)

    def replace(self, actual: Mapping[str, Actual]) -> None:
        """What was reported of these deals stands instead of their curves; replaces what was reported before."""
        for pool in self._plan.pools:
            if self._apart.replaced(pool):  # of what was reported until now no cell may speak any more
                self._moved[pool] = math.inf
        for asking in self._apart.replace(actual):
            self._groups[asking].on.clear()
            self._dirty_groups.add(asking)
            for pool in self._tethers.of(asking):
                self._moved[pool] = math.inf

    def unplaced(self) -> list[str]:
        """The deals of which something was reported that replaces nothing: no cell names them as asking anything."""
        return self._apart.unplaced()

    def efforts(self) -> list[EffortState]:
        """By pool what its won deals take by their curves, and as reported; of deals with a report of what is left."""
        return self._apart.efforts()

    def refresh(self) -> set[str]:
        """Take the changes in; answers the pools whose demand may have changed."""
        for asking in self._dirty_groups:
            group, pools = self._groups[asking], self._tethers.of(asking)
            self._dirty_pools.update(pools)
            for pool in pools:
                (self._on_pool[pool].add if group.cells else self._on_pool[pool].discard)(asking)
        self._apart.refresh()
        self._dirty_pools |= self.planned.refresh()
        for pool in self._dirty_pools:
            self._summed.pop(pool, None)
            self._listed.pop(pool, None)
        changed, self._dirty_groups, self._dirty_pools = self._dirty_pools, set(), set()
        return changed

    def on(self, pool: str) -> PoolDemand:
        """What deals ask of ``pool``, as of the last ``refresh``."""
        summed = self._summed.get(pool)
        if summed is None:
            booked, opened = np.zeros((4, self._axis.count)), np.zeros((4, self._axis.count))
            for group in self.groups(pool):
                total = booked if group.won else opened
                total += group.moments
            both = booked + opened
            summed = PoolDemand(booked[MEAN], opened[MEAN], opened[EXPOSURE], both[VARIANCE], both[THIRD])
            self._summed[pool] = summed
        return summed

    def moved(self, pool: str) -> float:
        """At most by so much did what is expected and booked of ``pool`` move in any week since it was ``settled``.

        Told from the changed cells alone; infinite where that cannot be.
        """
        if self._withheld.get(pool) or self._apart.replaced(pool):
            return math.inf  # of a cell with such deals no more is known than its sum
        return self._moved[pool]

    def settled(self, pool: str) -> None:
        """What is asked of ``pool`` is told as it stands."""
        self._moved[pool] = 0.0

    def groups(self, pool: str) -> list[PoolGroup]:
        """The groups that ask ``pool``, in a fixed order; those of single lines that ask apart come last.

        As of the last ``refresh``.
        """
        found = self._listed.get(pool)
        if found is None:
            found = self._listed[pool] = self._list(pool)
        return found

    def _list(self, pool: str) -> list[PoolGroup]:
        found = []
        for asking in sorted(self._on_pool[pool]):
            group = self._groups[asking]
            if pool not in group.on:
                group.on[pool] = self._spread(asking, group, pool)
            kernel = self._tethers.of(asking)[pool]
            found.append(PoolGroup(asking, group.won, kernel, *group.on[pool], self._tethers.longest))
        return found + self._apart.on(pool, self._withheld.get(pool, _NOBODY))

    def lines(self, pool: str) -> Lines:
        """The lines known by name that are expected to ask something of ``pool``."""
        groups = self.groups(pool)
        of = self._gather(pool, groups)
        cv = np.array([one.kernel.effort_cv for one in groups])
        won = np.array([one.won for one in groups], bool)
        kernels = [groups[number].kernel for number in of.shapes[0].tolist()]
        return Lines(
            deals=of.deals,
            deal=of.deal,
            products=[one.asking.product for one in groups],
            units=of.units,
            probability=of.probability,
            open=~won[of.group],
            group=of.group,
            place=of.place,
            shape=of.shape,
            shapes=self.shapes(pool, kernels, of.shapes[1]),
            cv=cv[of.group],
        )

    def _gather(self, pool: str, groups: Sequence[PoolGroup]) -> Gathered:
        withheld, replaced = self._withheld.get(pool, _NOBODY), self._apart.replaced(pool)
        askings = sorted(self._on_pool[pool])
        known = tuple(self._groups[asking].lines for asking in askings)
        alone = groups[len(known) :]
        chances = np.array([one.probability for one in alone])
        apart = GroupLines([one.deal for one in alone], np.ones(len(alone)), chances, np.zeros(len(alone), np.intp))
        if withheld or replaced or not askings:
            return gathered([each.without(replaced) if replaced else each for each in known], apart, withheld)
        # What asks one pool of a product asks its others too.
        before = self._gathered.get(askings[0])
        if before is None or len(before[0]) != len(known) or any(map(is_not, before[0], known)):
            before = self._gathered[askings[0]] = known, gathered(known, apart, withheld)
        return before[1]

    def shapes(self, pool: str, kernels: list[Kernel], places: Places) -> Shapes:
        """What one unit asks of ``pool``, for each kernel with its close place."""
        return Shapes(kernels, places, self._axis.count, self._axis.start if self.is_cumulative(pool) else None)

    def week(self, place: int) -> str:
        """The name of the week at ``place``, on the axis or not."""
        return add_weeks(self._axis.first, place)

    def is_cumulative(self, pool: str) -> bool:
        """Stocks and budgets: what was asked in one week is missing in all later ones."""
        return self._tethers.is_cumulative(pool)

    def _spread(self, asking: Asking, group: Group, pool: str) -> tuple[Floats, Floats]:
        kernel, lead, count = self._tethers.of(asking)[pool], self._tethers.longest, self._axis.count
        withheld, replaced = self._withheld.get(pool, _NOBODY), self._apart.replaced(pool)
        if (withheld or replaced) and not group.names.isdisjoint(withheld | replaced):
            weights = group.weights_without(lead, count, withheld, replaced - withheld)
        else:
            weights = group.weights(lead, count)
        if self.is_cumulative(pool):
            return kernel.spread_cumulative(weights, lead, count, self._axis.start), weights
        return kernel.spread(weights, lead, count), weights


_NOBODY: frozenset[str] = frozenset()
