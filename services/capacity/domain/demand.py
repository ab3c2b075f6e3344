"""Demand on pools by week, kept up with the book: cost follows the cells that changed.

Cells are gathered into groups of lines that ask alike (product, custom, type, stage). A changed cell re-weighs its
group, a re-weighed group is spread anew over the pools it asks, and those pools are summed anew from their groups, in a
fixed order. So an update gives the very numbers a full projection gives.
"""

from collections.abc import Mapping

import msgspec
import numpy as np
import numpy.typing as npt

from services.capacity.domain.actuals import Actual, Apart, Named, apart, efforts
from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.groups import Group, Known, PoolDemand, PoolGroup
from services.capacity.domain.hiring import Openings
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.lines import Lines, Places, Shapes, shapes_of
from services.capacity.domain.moments import (
    EXPOSURE,
    MEAN,
    THIRD,
    VARIANCE,
    WEIGHTS,
    gather,
    in_units,
    stack,
    weights_of,
    weights_of_line,
)
from services.capacity.domain.planned import Planned, PlannedDemand
from services.capacity.domain.tethers import Asking, Tethers
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
        self._on_pool: dict[str, set[Asking]] = {pool: set() for pool in plan.pools}
        self._withheld: dict[str, frozenset[str]] = {}
        self._actual: dict[str, Actual] = {}
        self._apart: dict[str, list[PoolGroup]] = {}
        self._efforts: dict[str, EffortState | None] = {}
        self._openings: dict[str, Openings] = {}
        self._dirty_groups: set[Asking] = set()
        self._dirty_pools: set[str] = set(plan.pools)

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        self.planned.put(key, cell)
        asking = Asking(key.product, key.custom, key.type, key.stage)
        kernels = self._tethers.of(asking)
        timing = timing_of(key, self._plan, self._axis) if kernels and cell is not None else None
        group = self._groups.get(asking)
        if group is None:
            if timing is None:
                return
            group = self._groups[asking] = Group(timing.counts == "won")
        if cell is None or timing is None:
            if group.cells.pop(key, None) is None:
                return
            group.order = []
        else:
            if key not in group.cells:
                group.order = []
            group.cells[key] = (cell, timing)
        group.known.pop(key, None)
        group.names = None
        self._dirty_groups.add(asking)

    def withhold(self, deals: Mapping[str, frozenset[str]]) -> None:
        """By decision these deals ask nothing of these pools; replaces what was withheld before."""
        for pool in self._plan.pools:
            if self._withheld.get(pool, frozenset()) != deals.get(pool, frozenset()):
                self._dirty_pools.add(pool)
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
        changed = {deal for deal in actual.keys() | self._actual.keys() if actual.get(deal) != self._actual.get(deal)}
        self._actual = dict(actual)
        for asking, group in self._groups.items() if changed else ():
            if not changed.isdisjoint(self._names(asking, group)):
                self._dirty_groups.add(asking)

    def unplaced(self) -> list[str]:
        """The deals of which something was reported that replaces nothing: no cell names them as asking anything."""
        placed: set[str] = set()
        for asking, group in self._groups.items() if self._actual else ():
            pools = self._tethers.of(asking)
            if self._actual.keys().isdisjoint(self._names(asking, group)):
                continue
            for key, (_, timing) in group.cells.items():
                if timing.counts != "exposure":
                    there = self._actual.keys() & set(self._known(asking, group, key).deals)
                    placed.update(deal for deal in there if any(map(self._actual[deal].is_about, pools)))
        return sorted(self._actual.keys() - placed)

    def refresh(self) -> set[str]:
        """Take the changes in; answers the pools whose demand may have changed."""
        for asking in self._dirty_groups:
            group = self._groups[asking]
            group.on.clear()
            group.weights = None
            pools = self._tethers.of(asking)
            self._dirty_pools.update(pools)
            for pool in pools:
                (self._on_pool[pool].add if group.cells else self._on_pool[pool].discard)(asking)
        self._dirty_pools |= self.planned.refresh()
        for pool in self._dirty_pools:
            self._apart.pop(pool, None)
            self._efforts.pop(pool, None)
        changed, self._dirty_groups, self._dirty_pools = self._dirty_pools, set(), set()
        return changed

    def on(self, pool: str) -> PoolDemand:
        """What deals ask of ``pool``, as of the last ``refresh``."""
        booked, opened = np.zeros((4, self._axis.count)), np.zeros((4, self._axis.count))
        for group in self.groups(pool):
            total = booked if group.won else opened
            total += group.moments
        both = booked + opened
        return PoolDemand(booked[MEAN], opened[MEAN], opened[EXPOSURE], both[VARIANCE], both[THIRD])

    def groups(self, pool: str) -> list[PoolGroup]:
        """The groups that ask ``pool``, in a fixed order; those of single lines that ask apart come last."""
        found = []
        for asking in sorted(self._on_pool[pool]):
            group = self._groups[asking]
            if pool not in group.on:
                group.on[pool] = self._spread(asking, group, pool)
            kernel = self._tethers.of(asking)[pool]
            found.append(PoolGroup(asking, group.won, kernel, *group.on[pool], self._tethers.longest))
        return found + self._asking_apart(pool)

    def lines(self, pool: str) -> Lines:
        """The lines known by name that are expected to ask something of ``pool``."""
        withheld = self._withheld.get(pool, frozenset())
        deals: list[str] = []
        known: list[tuple[Known, int, int]] = []
        askings = sorted(self._on_pool[pool])
        for number, asking in enumerate(askings):
            group = self._groups[asking]
            there = self._names(asking, group) & self._replaced(pool) if self._actual else frozenset()
            for key in self._keys(group):
                place, counts = group.cells[key][1].place, group.cells[key][1].counts
                if counts != "exposure":
                    each = self._known(asking, group, key)
                    if there:
                        each = each.without(there)
                    deals += each.deals
                    known.append((each, number, place))
        for number, alone in enumerate(self._asking_apart(pool), len(askings)):
            deals.append(alone.deal)
            known.append((Known([alone.deal], np.ones(1), np.full(1, alone.probability)), number, 0))
        sizes = [len(each.deals) for each, _, _ in known]
        group_of = np.repeat(np.array([number for _, number, _ in known], np.intp), sizes)
        place_of = np.repeat(np.array([place for _, _, place in known], np.intp), sizes)
        units = np.concatenate([each.units for each, _, _ in known] or [np.zeros(0)])
        probability = np.concatenate([each.probability for each, _, _ in known] or [np.zeros(0)])
        names = sorted(set(deals) - withheld)
        number_of = {deal: number for number, deal in enumerate(names)}
        deal_of = np.array([number_of.get(deal, -1) for deal in deals], np.intp)
        order = np.argsort(deal_of, kind="stable")
        order = order[deal_of[order] >= 0]
        return self._lines(pool, names, deal_of[order], units[order], probability[order],
                           group_of[order], place_of[order])  # fmt: skip

    def _lines(self, pool: str, deals: list[str], deal: Places, units: Floats, probability: Floats, group: Places,
               place: Places) -> Lines:  # fmt: skip
        groups = self.groups(pool)
        places, shape = np.unique(np.array([group, place]), axis=1, return_inverse=True)
        won = np.array([one.won for one in groups], bool)
        cv = np.array([one.kernel.effort_cv for one in groups])
        return Lines(
            deals=deals,
            deal=deal,
            products=[one.asking.product for one in groups],
            units=units,
            probability=probability,
            open=~won[group],
            group=group,
            place=place,
            shape=shape.reshape(-1),
            shapes=self.shapes(pool, [groups[number].kernel for number in places[0]], places[1]),
            cv=cv[group],
        )

    def shapes(self, pool: str, kernels: list[Kernel], places: Places) -> Shapes:
        """What one unit asks of ``pool``, for each kernel with its close place."""
        return shapes_of(kernels, places, self._axis.count, self._axis.start if self.is_cumulative(pool) else None)

    def week(self, place: int) -> str:
        """The name of the week at ``place``, on the axis or not."""
        return add_weeks(self._axis.first, place)

    def is_cumulative(self, pool: str) -> bool:
        """Stocks and budgets: what was asked in one week is missing in all later ones."""
        return self._plan.pools[pool].kind in ("stock", "budget")

    def _replaced(self, pool: str) -> frozenset[str]:
        return frozenset(deal for deal, actual in self._actual.items() if actual.is_about(pool))

    def _asking_apart(self, pool: str) -> list[PoolGroup]:
        if not self._actual:
            return []
        found = self._apart.get(pool)
        if found is None:
            found = self._apart[pool] = [self._alone(pool, line) for line in self._lines_apart(pool)]
        return found

    def _lines_apart(self, pool: str) -> list[Apart]:
        """The lines whose deals' curves were replaced on ``pool``, in the order of deals."""
        named = self._named(pool, self._replaced(pool) - self._withheld.get(pool, frozenset()))
        return [line for deal in sorted(named) for line in apart(pool, named[deal], self._actual[deal], self._axis)]

    def efforts(self) -> list[EffortState]:
        """By pool what its won deals take by their curves, and as reported; of deals with a report of what is left."""
        if not self._actual:
            return []
        for pool in self._plan.pools:
            if pool not in self._efforts:
                self._efforts[pool] = self._effort(pool)
        return [each for pool in self._plan.pools if (each := self._efforts[pool]) is not None]

    def _effort(self, pool: str) -> EffortState | None:
        about = frozenset(deal for deal, actual in self._actual.items() if pool in actual.left)
        named = self._named(pool, about) if about else {}
        won = {deal: lines for deal, lines in named.items() if all(line.won for line in lines)}
        each = [efforts(pool, won[deal], self._actual[deal], self._axis) for deal in sorted(won)]
        planned = sum(one[0] for one in each if one is not None)
        reported = sum(one[1] for one in each if one is not None)
        return EffortState(pool, planned, reported, len(each)) if each else None

    def _named(self, pool: str, about: frozenset[str]) -> dict[str, list[Named]]:
        """The lines of the deals ``about`` that ask ``pool``, by deal."""
        named: dict[str, list[Named]] = {}
        for asking in sorted(self._on_pool[pool]):
            group, kernel = self._groups[asking], self._tethers.of(asking)[pool]
            there, first = self._names(asking, group) & about, self._tethers.first_of(asking)
            for key in self._keys(group) if there else ():
                timing = group.cells[key][1]
                for deal, units, chance in self._known(asking, group, key).rows():
                    if deal in there and timing.counts != "exposure":
                        line = Named(deal, asking, kernel, group.won, units, chance, timing.place, first)
                        named.setdefault(deal, []).append(line)
        return named

    def _alone(self, pool: str, line: Apart) -> PoolGroup:
        """A line as a group of its own: one unit of what it asks, which begins with the axis."""
        lead, weights = self._tethers.longest, np.zeros((WEIGHTS, self._tethers.longest + self._axis.count))
        kernel = Kernel(line.asked, (1.0,), line.effort_cv)
        weighs = weights_of_line(1.0, line.probability)
        asked = line.asked
        if self.is_cumulative(pool):
            asked = np.cumsum(np.where(np.arange(len(asked)) >= self._axis.start, asked, 0.0))
        moments = gather(weighs[:, None] * stack(asked, asked**2, asked**3, line.effort_cv))
        weights[:, lead] = weighs
        return PoolGroup(line.asking, line.won, kernel, moments, weights, lead, line.deal)

    def _spread(self, asking: Asking, group: Group, pool: str) -> tuple[Floats, Floats]:
        kernel = self._tethers.of(asking)[pool]
        withheld = self._withheld.get(pool, frozenset())
        replaced = self._replaced(pool) if self._actual else frozenset()
        if withheld or replaced:
            names = self._names(asking, group)
            withheld, replaced = withheld & names, (replaced - withheld) & names
        if withheld or replaced:
            weights = self._weights(asking, group, withheld, replaced)
        else:
            if group.weights is None:
                group.weights = self._weights(asking, group)
            weights = group.weights
        lead, count = self._tethers.longest, self._axis.count
        if self.is_cumulative(pool):
            return kernel.spread_cumulative(weights, lead, count, self._axis.start), weights
        return kernel.spread(weights, lead, count), weights

    def _weights(self, asking: Asking, group: Group, withheld: frozenset[str] = frozenset(),
                 replaced: frozenset[str] = frozenset()) -> Floats:  # fmt: skip
        """The weights of a group by close week, beginning ``longest`` weeks before the axis.

        Without lines that are ``withheld``; nor those ``replaced``, save where they are exposure only.
        """
        lead = self._tethers.longest
        weights = np.zeros((WEIGHTS, lead + self._axis.count))
        product = self._plan.products[asking.product]
        probability = self._probability(asking.stage)
        for key in self._keys(group):
            cell, timing = group.cells[key]
            column = timing.place + lead
            if not 0 <= column < weights.shape[1]:
                continue
            weighs = weights_of(cell, product, probability, group.won)
            out = withheld if timing.counts == "exposure" else withheld | replaced
            if out:
                for deal, units, chance in self._known(asking, group, key).rows():
                    if deal in out:
                        weighs = weighs - weights_of_line(units, chance)
                # What is left of a cell that is taken out whole is rounding, not demand.
                weighs = np.where(np.abs(weighs) < 1e-9, 0.0, weighs)
            if timing.counts == "exposure":
                weights[1, column] += weighs[1]
            else:
                weights[:, column] += weighs
        return weights

    def _keys(self, group: Group) -> list[CellKey]:
        if not group.order:
            group.order = sorted(group.cells, key=msgspec.structs.astuple)
        return group.order

    def _known(self, asking: Asking, group: Group, key: CellKey) -> Known:
        known = group.known.get(key)
        if known is None:
            members = group.cells[key][0].members
            factor, fixed = in_units(self._plan.products[asking.product], key.basis)
            of_stage = self._probability(asking.stage) or 0.0
            count = len(members)
            units = np.full(count, fixed) if fixed is not None else np.array([m.q for m in members]) * factor
            own = np.array([of_stage if m.p is None else m.p for m in members])
            probability = np.ones(count) if group.won else own
            known = group.known[key] = Known([m.deal for m in members], units, probability)
        return known

    def _names(self, asking: Asking, group: Group) -> frozenset[str]:
        if group.names is None:
            group.names = frozenset(deal for key in group.cells for deal in self._known(asking, group, key).deals)
        return group.names

    def _probability(self, stage: str) -> float | None:
        known = self._plan.stages.get(stage)
        return known.win_probability if known is not None else None
