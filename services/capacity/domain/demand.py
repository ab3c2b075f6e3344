"""Demand on pools by week, kept up with the book: cost follows the cells that changed.

Cells are gathered into groups of lines that ask alike (product, custom, type, stage). A changed cell re-weighs its
group, a re-weighed group is spread anew over the pools it asks, and those pools are summed anew from their groups, in a
fixed order. So an update gives the very numbers a full projection gives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.lines import Lines, Places, Shapes, shapes_of
from services.capacity.domain.moments import (
    EXPOSURE,
    MEAN,
    THIRD,
    VARIANCE,
    WEIGHTS,
    in_units,
    weights_of,
    weights_of_line,
)
from services.capacity.domain.planned import Planned
from services.capacity.domain.tethers import Asking, Tethers
from services.capacity.domain.timing import Timing, timing_of
from shared.schemas.cell import CellKey
from shared.schemas.plan import Plan
from shared.schemas.week import add_weeks

Floats = npt.NDArray[np.float64]


class PoolDemand(NamedTuple):
    """What deals ask of one pool, by week of the axis.

    ``booked`` and ``expected`` are means of won and open deals, ``exposure`` what all open deals would ask;
    ``variance`` and ``third`` are of booked and open together.
    """

    booked: Floats
    expected: Floats
    exposure: Floats
    variance: Floats
    third: Floats


class Known(NamedTuple):
    """The lines of a cell that are known by name, in its order: their deals, units and win probabilities."""

    deals: list[str]
    units: Floats
    probability: Floats


class PoolGroup(NamedTuple):
    """What one group of lines that ask alike asks of a pool.

    ``moments`` are mean, exposure, variance and third moment by week, ``weights`` (see ``moments.WEIGHTS``) those of
    its lines by close week, the first of them ``lead`` weeks before the axis. Exposure is no part of ``weights``.
    """

    asking: Asking
    won: bool
    kernel: Kernel
    moments: Floats
    weights: Floats
    lead: int

    @property
    def probability(self) -> float:
        """The chance that a line of the group is won, larger ones counting more."""
        if self.won:
            return 1.0
        second, squared = self.weights[2].sum(), self.weights[3].sum()
        return float(min(squared / second, 1.0)) if second > 0 else 0.0


@dataclass
class _Group:
    won: bool
    cells: dict[CellKey, tuple[BookCell, Timing]] = field(default_factory=dict)
    known: dict[CellKey, Known] = field(default_factory=dict)
    order: list[CellKey] = field(default_factory=list)
    """The keys of ``cells`` in their order; empty: to be sorted anew."""
    weights: Floats | None = None
    """Where nothing is withheld."""
    on: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Moments and weights by pool."""


class Demand:
    """The demand of the book under one plan at one moment; a new plan or week needs a new one."""

    def __init__(self, plan: Plan, axis: Axis) -> None:
        self._plan, self._axis = plan, axis
        self._tethers = Tethers(plan)
        self.planned = Planned(plan, axis, self._tethers)
        self._groups: dict[Asking, _Group] = {}
        self._on_pool: dict[str, set[Asking]] = {pool: set() for pool in plan.pools}
        self._withheld: dict[str, frozenset[str]] = {}
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
            group = self._groups[asking] = _Group(timing.counts == "won")
        if cell is None or timing is None:
            if group.cells.pop(key, None) is None:
                return
            group.order = []
        else:
            if key not in group.cells:
                group.order = []
            group.cells[key] = (cell, timing)
        group.known.pop(key, None)
        self._dirty_groups.add(asking)

    def withhold(self, deals: Mapping[str, frozenset[str]]) -> None:
        """By decision these deals ask nothing of these pools; replaces what was withheld before."""
        for pool in self._plan.pools:
            if self._withheld.get(pool, frozenset()) != deals.get(pool, frozenset()):
                self._dirty_pools.add(pool)
                for asking in self._on_pool[pool]:
                    self._groups[asking].on.pop(pool, None)
        self._withheld = dict(deals)

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
        """The groups that ask ``pool``, in a fixed order."""
        found = []
        for asking in sorted(self._on_pool[pool]):
            group = self._groups[asking]
            if pool not in group.on:
                group.on[pool] = self._spread(asking, group, pool)
            kernel = self._tethers.of(asking)[pool]
            found.append(PoolGroup(asking, group.won, kernel, *group.on[pool], self._tethers.longest))
        return found

    def lines(self, pool: str) -> Lines:
        """The lines known by name that are expected to ask something of ``pool``."""
        withheld = self._withheld.get(pool, frozenset())
        deals: list[str] = []
        known: list[tuple[Known, int, int]] = []
        askings = sorted(self._on_pool[pool])
        for number, asking in enumerate(askings):
            group = self._groups[asking]
            for key in self._keys(group):
                place, counts = group.cells[key][1].place, group.cells[key][1].counts
                if counts != "exposure":
                    each = self._known(asking, group, key)
                    deals += each.deals
                    known.append((each, number, place))
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
        return self._lines(pool, askings, names, deal_of[order], units[order], probability[order],
                           group_of[order], place_of[order])  # fmt: skip

    def _lines(self, pool: str, askings: list[Asking], deals: list[str], deal: Places, units: Floats,
               probability: Floats, group: Places, place: Places) -> Lines:  # fmt: skip
        kernels = [self._tethers.of(asking)[pool] for asking in askings]
        places, shape = np.unique(np.array([group, place]), axis=1, return_inverse=True)
        won = np.array([self._groups[asking].won for asking in askings], bool)
        cv = np.array([kernel.effort_cv for kernel in kernels])
        return Lines(
            deals=deals,
            deal=deal,
            products=[asking.product for asking in askings],
            units=units,
            probability=probability,
            open=~won[group],
            group=group,
            place=place,
            shape=shape.reshape(-1),
            shapes=self.shapes(pool, [kernels[number] for number in places[0]], places[1]),
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

    def _spread(self, asking: Asking, group: _Group, pool: str) -> tuple[Floats, Floats]:
        kernel = self._tethers.of(asking)[pool]
        withheld = self._withheld.get(pool, frozenset())
        if withheld:
            weights = self._weights(asking, group, withheld)
        else:
            if group.weights is None:
                group.weights = self._weights(asking, group, withheld)
            weights = group.weights
        lead, count = self._tethers.longest, self._axis.count
        if self.is_cumulative(pool):
            return kernel.spread_cumulative(weights, lead, count, self._axis.start), weights
        return kernel.spread(weights, lead, count), weights

    def _weights(self, asking: Asking, group: _Group, withheld: frozenset[str]) -> Floats:
        """The weights of a group by close week, beginning ``longest`` weeks before the axis."""
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
            if withheld:
                known = self._known(asking, group, key)
                for deal, units, chance in zip(known.deals, known.units, known.probability, strict=True):
                    if deal in withheld:
                        weighs = weighs - weights_of_line(units, chance)
                # What is left of a cell that is withheld whole is rounding, not demand.
                weighs = np.where(np.abs(weighs) < 1e-9, 0.0, weighs)
            if timing.counts == "exposure":
                weights[1, column] += weighs[1]
            else:
                weights[:, column] += weighs
        return weights

    def _keys(self, group: _Group) -> list[CellKey]:
        if not group.order:
            group.order = sorted(group.cells, key=msgspec.structs.astuple)
        return group.order

    def _known(self, asking: Asking, group: _Group, key: CellKey) -> Known:
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

    def _probability(self, stage: str) -> float | None:
        known = self._plan.stages.get(stage)
        return known.win_probability if known is not None else None
