"""Demand on pools by week, kept up with the book: cost follows the cells that changed.

Cells are gathered into groups of lines that ask alike (product, custom, type, stage). A changed cell re-weighs its
group, a re-weighed group is spread anew over the pools it asks, and those pools are summed anew from their groups, in a
fixed order. So an update gives the very numbers a full projection gives.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.kernels import Kernel
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
from services.capacity.domain.tethers import Asking, Tethers
from services.capacity.domain.timing import Timing, timing_of
from shared.schemas.cell import CellKey
from shared.schemas.plan import Plan

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


@dataclass(frozen=True, slots=True)
class Asker:
    """One known line and what it asks of a pool: ``units`` times the kernel's effort from its close ``place`` on."""

    deal: str
    product: str
    units: float
    probability: float
    place: int
    open: bool
    kernel: Kernel


@dataclass
class _Group:
    won: bool
    cells: dict[CellKey, tuple[BookCell, Timing]] = field(default_factory=dict)
    on: dict[str, Floats] = field(default_factory=dict)
    """Mean, exposure, variance and third moment by pool."""


class Demand:
    """The demand of the book under one plan at one moment; a new plan or week needs a new one."""

    def __init__(self, plan: Plan, axis: Axis) -> None:
        self._plan, self._axis = plan, axis
        self._tethers = Tethers(plan)
        self._groups: dict[Asking, _Group] = {}
        self._on_pool: dict[str, set[Asking]] = {pool: set() for pool in plan.pools}
        self._withheld: dict[str, frozenset[str]] = {}
        self._dirty_groups: set[Asking] = set()
        self._dirty_pools: set[str] = set(plan.pools)

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
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
        else:
            group.cells[key] = (cell, timing)
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
            pools = self._tethers.of(asking)
            self._dirty_pools.update(pools)
            for pool in pools:
                (self._on_pool[pool].add if group.cells else self._on_pool[pool].discard)(asking)
        changed, self._dirty_groups, self._dirty_pools = self._dirty_pools, set(), set()
        return changed

    def on(self, pool: str) -> PoolDemand:
        """What deals ask of ``pool``, as of the last ``refresh``."""
        booked, opened = np.zeros((4, self._axis.count)), np.zeros((4, self._axis.count))
        for asking in sorted(self._on_pool[pool]):
            group = self._groups[asking]
            if pool not in group.on:
                group.on[pool] = self._spread(asking, group, pool)
            total = booked if group.won else opened
            total += group.on[pool]
        both = booked + opened
        return PoolDemand(booked[MEAN], opened[MEAN], opened[EXPOSURE], both[VARIANCE], both[THIRD])

    def askers(self, pool: str) -> Iterator[Asker]:
        """The lines known by name that are expected to ask something of ``pool``."""
        withheld = self._withheld.get(pool, frozenset())
        for asking in sorted(self._on_pool[pool]):
            kernel = self._tethers.of(asking)[pool]
            for cell, timing in self._cells(self._groups[asking]):
                if timing.counts != "exposure":
                    for asker in self._known(asking, cell, timing, kernel):
                        if asker.deal not in withheld:
                            yield asker

    def is_cumulative(self, pool: str) -> bool:
        """Stocks and budgets: what was asked in one week is missing in all later ones."""
        return self._plan.pools[pool].kind in ("stock", "budget")

    def _spread(self, asking: Asking, group: _Group, pool: str) -> Floats:
        kernel = self._tethers.of(asking)[pool]
        weights = self._weights(asking, group, self._withheld.get(pool, frozenset()), kernel)
        lead, count = self._tethers.longest, self._axis.count
        if self.is_cumulative(pool):
            return kernel.spread_cumulative(weights, lead, count, self._axis.start)
        return kernel.spread(weights, lead, count)

    def _weights(self, asking: Asking, group: _Group, withheld: frozenset[str], kernel: Kernel) -> Floats:
        """The weights of a group by close week, beginning ``longest`` weeks before the axis."""
        lead = self._tethers.longest
        weights = np.zeros((WEIGHTS, lead + self._axis.count))
        product = self._plan.products[asking.product]
        probability = self._probability(asking.stage)
        for cell, timing in self._cells(group):
            column = timing.place + lead
            if not 0 <= column < weights.shape[1]:
                continue
            weighs = weights_of(cell, product, probability, group.won)
            if withheld:
                known = self._known(asking, cell, timing, kernel)
                for asker in known:
                    if asker.deal in withheld:
                        weighs = weighs - weights_of_line(asker.units, asker.probability)
                # What is left of a cell that is withheld whole is rounding, not demand.
                weighs = np.where(np.abs(weighs) < 1e-9, 0.0, weighs)
            if timing.counts == "exposure":
                weights[1, column] += weighs[1]
            else:
                weights[:, column] += weighs
        return weights

    def _cells(self, group: _Group) -> Iterable[tuple[BookCell, Timing]]:
        return [group.cells[key] for key in sorted(group.cells, key=msgspec.structs.astuple)]

    def _known(self, asking: Asking, cell: BookCell, timing: Timing, kernel: Kernel) -> Iterator[Asker]:
        factor, fixed = in_units(self._plan.products[asking.product], cell.key.basis)
        of_stage = self._probability(asking.stage) or 0.0
        won = timing.counts == "won"
        for member in cell.members:
            probability = 1.0 if won else of_stage if member.p is None else member.p
            units = member.q * factor if fixed is None else fixed
            yield Asker(member.deal, asking.product, units, probability, timing.place, not won, kernel)

    def _probability(self, stage: str) -> float | None:
        known = self._plan.stages.get(stage)
        return known.win_probability if known is not None else None
