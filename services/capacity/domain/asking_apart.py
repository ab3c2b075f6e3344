"""The lines of deals of which something was reported: what each asks of a pool instead of what its curve says.

They are kept deal by deal. A changed cell is looked through for the deals whose lines in it changed, and these alone
are made anew, however many others were reported.
"""

from collections.abc import Mapping, Set

import msgspec
import numpy as np
import numpy.typing as npt

from services.capacity.domain.actuals import Actual, Apart, Named, apart, efforts
from services.capacity.domain.axis import Axis
from services.capacity.domain.book import BookCell
from services.capacity.domain.groups import Group, PoolGroup
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.moments import WEIGHTS, gather, stack, weights_of_line
from services.capacity.domain.tethers import Asking, Tethers, asking_of
from shared.schemas.cell import CellKey, Member
from shared.schemas.frame import EffortState
from shared.schemas.plan import Plan

Floats = npt.NDArray[np.float64]


class AskingApart:
    """What was reported of deals under one plan at one moment, with the lines of them that ``groups`` name."""

    def __init__(self, plan: Plan, axis: Axis, tethers: Tethers, groups: Mapping[Asking, Group]) -> None:
        self._plan, self._axis, self._tethers, self._groups = plan, axis, tethers, groups
        self._actual: dict[str, Actual] = {}
        self._cells: dict[str, set[CellKey]] = {}
        """By deal, the cells that name it."""
        self._stale: set[str] = set()
        self._alone: dict[str, dict[str, tuple[PoolGroup, ...]]] = {pool: {} for pool in plan.pools}
        self._on: dict[str, tuple[str, ...]] = {}
        """By deal, the pools that it asks apart."""
        self._about: dict[str, frozenset[str]] = {}
        self._efforts: dict[str, dict[str, tuple[float, float]]] = {pool: {} for pool in plan.pools}
        self._states: dict[str, EffortState | None] = {}

    def __bool__(self) -> bool:
        return bool(self._actual)

    def put(self, key: CellKey, before: BookCell | None, now: BookCell | None) -> None:
        """What the cell of ``key`` asked before, and asks now; None: nothing."""
        if not self._actual:
            return
        was, is_ = _members(before), _members(now)
        for deal in self._actual.keys() & {member.deal for member in was ^ is_}:
            self._stale.add(deal)
            cells = self._cells.setdefault(deal, set())
            (cells.add if any(member.deal == deal for member in is_) else cells.discard)(key)

    def replace(self, actual: Mapping[str, Actual]) -> set[Asking]:
        """What was reported of these deals replaces what was reported before; answers the groups that name changed."""
        changed = {deal for deal in actual.keys() | self._actual.keys() if actual.get(deal) != self._actual.get(deal)}
        for deal in self._actual.keys() - actual.keys():
            self._cells.pop(deal, None)
        self._actual = dict(actual)
        if not changed:
            return set()
        self._stale |= changed
        self._about.clear()
        found = {asking for asking, group in self._groups.items() if not changed.isdisjoint(group.names)}
        for group in map(self._groups.__getitem__, found):
            there = changed & actual.keys() & group.names
            for key in group.cells if there else ():
                for deal in there.intersection(group.known(key).deals):
                    self._cells.setdefault(deal, set()).add(key)
        return found

    def refresh(self) -> None:
        """Take the changes in."""
        for deal in self._stale:
            self._place(deal)
        self._stale.clear()

    def replaced(self, pool: str) -> frozenset[str]:
        """The deals whose curves on ``pool`` count no more."""
        if not self._actual:
            return frozenset()
        about = self._about.get(pool)
        if about is None:
            about = frozenset(deal for deal, actual in self._actual.items() if actual.is_about(pool))
            self._about[pool] = about
        return about

    def on(self, pool: str, withheld: Set[str]) -> list[PoolGroup]:
        """The lines that ask ``pool`` apart, each as a group, in the order of deals; without those ``withheld``."""
        alone = self._alone[pool]
        return [group for deal in sorted(alone) if deal not in withheld for group in alone[deal]]

    def unplaced(self) -> list[str]:
        """The deals of which something was reported that replaces nothing: no cell names them as asking anything."""
        return sorted(self._actual.keys() - self._on.keys())

    def efforts(self) -> list[EffortState]:
        """By pool what its won deals take by their curves, and as reported; of deals with a report of what is left."""
        if not self._actual:
            return []
        for pool, each in self._efforts.items():
            if pool not in self._states:
                planned = sum(each[deal][0] for deal in sorted(each))
                reported = sum(each[deal][1] for deal in sorted(each))
                self._states[pool] = EffortState(pool, planned, reported, len(each)) if each else None
        return [state for pool in self._plan.pools if (state := self._states[pool]) is not None]

    def _place(self, deal: str) -> None:
        for pool in self._on.pop(deal, ()):
            del self._alone[pool][deal]
            self._efforts[pool].pop(deal, None)
            self._states.pop(pool, None)
        actual = self._actual.get(deal)
        if actual is None:
            return
        named = self._named(deal, actual)
        for pool, lines in named.items():
            self._alone[pool][deal] = tuple(self._group(pool, one) for one in apart(pool, lines, actual, self._axis))
            self._states.pop(pool, None)
            effort = efforts(pool, lines, actual, self._axis) if all(line.won for line in lines) else None
            if effort is not None:
                self._efforts[pool][deal] = effort
        if named:
            self._on[deal] = tuple(named)

    def _named(self, deal: str, actual: Actual) -> dict[str, list[Named]]:
        """The deal's lines by pool, of those pools that something was reported about."""
        named: dict[str, list[Named]] = {}
        for asking, key in sorted(((asking_of(key), key) for key in self._cells.get(deal, ())), key=_in_order):
            group, first = self._groups[asking], self._tethers.first_of(asking)
            timing = group.cells[key][1]
            if timing.counts == "exposure":
                continue
            for name, units, chance in group.known(key).rows():
                for pool, kernel in self._tethers.of(asking).items() if name == deal else ():
                    if actual.is_about(pool):
                        line = Named(deal, asking, kernel, group.won, units, chance, timing.place, first)
                        named.setdefault(pool, []).append(line)
        return named

    def _group(self, pool: str, line: Apart) -> PoolGroup:
        """A line as a group of its own: one unit of what it asks, which begins with the axis."""
        lead, weights = self._tethers.longest, np.zeros((WEIGHTS, self._tethers.longest + self._axis.count))
        kernel = Kernel(line.asked, (1.0,), line.effort_cv)
        weighs = weights_of_line(1.0, line.probability)
        asked = line.asked
        if self._tethers.is_cumulative(pool):
            asked = np.cumsum(np.where(np.arange(len(asked)) >= self._axis.start, asked, 0.0))
        moments = gather(weighs[:, None] * stack(asked, asked**2, asked**3, line.effort_cv))
        weights[:, lead] = weighs
        return PoolGroup(line.asking, line.won, kernel, moments, weights, lead, line.deal)


def _members(cell: BookCell | None) -> frozenset[Member]:
    return frozenset(cell.members) if cell is not None else frozenset()


def _in_order(one: tuple[Asking, CellKey]) -> tuple[object, ...]:
    """As groups and their cells are gone through."""
    return one[0], msgspec.structs.astuple(one[1])
