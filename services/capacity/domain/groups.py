"""Lines of deals gathered into groups that ask alike, and what a group asks of a pool."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from services.capacity.domain.book import BookCell
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.moments import WEIGHTS, in_units, weights_of, weights_of_line
from services.capacity.domain.tethers import Asking
from services.capacity.domain.timing import Timing
from shared.schemas.cell import CellKey
from shared.schemas.plan import Product

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_NOTHING = 1e-9


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

    def rows(self) -> list[tuple[str, float, float]]:
        """Deal, units and win probability of each line."""
        return list(zip(self.deals, self.units.tolist(), self.probability.tolist(), strict=True))


class GroupLines(NamedTuple):
    """All lines of a group that are known by name and not of mere exposure; ``place`` is where they close."""

    deals: list[str]
    units: Floats
    probability: Floats
    place: Places

    def without(self, deals: Set[str]) -> "GroupLines":
        """The lines of other deals."""
        stay = [number for number, deal in enumerate(self.deals) if deal not in deals]
        named = [self.deals[number] for number in stay]
        return GroupLines(named, self.units[stay], self.probability[stay], self.place[stay])


class PoolGroup(NamedTuple):
    """What one group of lines that ask alike asks of a pool; ``deal`` is of one line that asks apart.

    ``moments`` are mean, exposure, variance and third moment by week, ``weights`` (see ``moments.WEIGHTS``) those of
    its lines by close week, the first of them ``lead`` weeks before the axis. Exposure is no part of ``weights``.
    """

    asking: Asking
    won: bool
    kernel: Kernel
    moments: Floats
    weights: Floats
    lead: int
    deal: str = ""

    @property
    def name(self) -> str:
        """What the group is called where it draws its chance."""
        return "|".join(map(str, (*self.asking, *filter(None, [self.deal]))))

    @property
    def probability(self) -> float:
        """The chance that a line of the group is won, larger ones counting more."""
        if self.won:
            return 1.0
        second, squared = self.weights[2].sum(), self.weights[3].sum()
        return float(min(squared / second, 1.0)) if second > 0 else 0.0


@dataclass
class Group:
    """The cells of lines that ask alike; whatever hangs on them is made when asked for, and kept until they change.

    ``probability`` is that of the stage; None: it is not known.
    """

    product: Product
    probability: float | None
    won: bool
    cells: dict[CellKey, tuple[BookCell, Timing]] = field(default_factory=dict)
    on: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Moments and weights by pool."""
    _known: dict[CellKey, Known] = field(default_factory=dict)
    _weighs: dict[CellKey, Floats] = field(default_factory=dict)
    _order: tuple[CellKey, ...] | None = None
    _names: frozenset[str] | None = None
    _lines: GroupLines | None = None
    _weights: Floats | None = None
    _at: dict[int, set[CellKey]] = field(default_factory=dict)
    """The keys of ``cells`` by place."""
    _moved: set[int] = field(default_factory=set)
    """The places where something else closes than when ``_weights`` were summed."""

    def put(self, key: CellKey, cell: BookCell | None, timing: Timing | None) -> bool:
        """The cell of ``key`` now sums to this, or asks nothing; answers whether that changes the group."""
        before = self.cells.pop(key, None) if cell is None or timing is None else self.cells.get(key)
        if before is not None:
            self._at[before[1].place].discard(key)
            self._moved.add(before[1].place)
        elif cell is None or timing is None:
            return False
        if cell is not None and timing is not None:
            self.cells[key] = (cell, timing)
            self._at.setdefault(timing.place, set()).add(key)
            self._moved.add(timing.place)
        if before is None or key not in self.cells:
            self._order = None
        self._known.pop(key, None)
        self._weighs.pop(key, None)
        self._names = self._lines = None
        self.on.clear()
        return True

    def expected(self, key: CellKey) -> float:
        """The units that a cell is expected to sell; none if it is not there."""
        return float(self._weighs_of(key)[0]) if key in self.cells else 0.0

    @property
    def keys(self) -> tuple[CellKey, ...]:
        """Of the cells, in a fixed order."""
        if self._order is None:
            self._order = tuple(sorted(self.cells, key=msgspec.structs.astuple))
        return self._order

    def known(self, key: CellKey) -> Known:
        """The lines of a cell that are known by name."""
        known = self._known.get(key)
        if known is None:
            members = self.cells[key][0].members
            factor, fixed = in_units(self.product, key.basis)
            of_stage = self.probability or 0.0
            count = len(members)
            units = np.full(count, fixed) if fixed is not None else np.array([m.q for m in members]) * factor
            own = np.array([of_stage if m.p is None else m.p for m in members])
            known = Known([m.deal for m in members], units, np.ones(count) if self.won else own)
            self._known[key] = known
        return known

    @property
    def names(self) -> frozenset[str]:
        """The deals of all lines that are known by name."""
        if self._names is None:
            self._names = frozenset(deal for key in self.cells for deal in self.known(key).deals)
        return self._names

    @property
    def lines(self) -> GroupLines:
        """The lines known by name of which anything is expected, in the order of ``keys``."""
        if self._lines is None:
            there = [key for key in self.keys if self.cells[key][1].counts != "exposure"]
            known = [self.known(key) for key in there]
            sizes = [len(each.deals) for each in known]
            self._lines = GroupLines(
                [deal for each in known for deal in each.deals],
                np.concatenate([np.zeros(0), *(each.units for each in known)]),
                np.concatenate([np.zeros(0), *(each.probability for each in known)]),
                np.repeat(np.array([self.cells[key][1].place for key in there], np.intp), sizes),
            )
        return self._lines

    def weights(self, lead: int, count: int) -> Floats:
        """The weights of all lines by close week, beginning ``lead`` weeks before the axis."""
        if self._weights is None:
            self._weights = self.weights_without(lead, count, frozenset(), frozenset())
        elif self._moved:
            self._weights = self._weights.copy()
            for place in self._moved:
                if 0 <= place + lead < lead + count:
                    self._weights[:, place + lead] = self._weights_at(place)
        self._moved.clear()
        return self._weights

    def _weights_at(self, place: int) -> Floats:
        total = np.zeros(WEIGHTS)
        for key in sorted(self._at[place], key=msgspec.structs.astuple):
            if self.cells[key][1].counts == "exposure":
                total[1] += self._weighs_of(key)[1]
            else:
                total += self._weighs_of(key)
        return total

    def weights_without(self, lead: int, count: int, withheld: Set[str], replaced: Set[str]) -> Floats:
        """The same without lines that are ``withheld``; nor those ``replaced``, save where they are exposure only."""
        weights = np.zeros((WEIGHTS, lead + count))
        for key in self.keys:
            timing = self.cells[key][1]
            column = timing.place + lead
            if not 0 <= column < weights.shape[1]:
                continue
            weighs = self._weighs_of(key)
            out = withheld if timing.counts == "exposure" else withheld | replaced
            if out and not out.isdisjoint((known := self.known(key)).deals):
                for deal, units, chance in known.rows():
                    if deal in out:
                        weighs = weighs - weights_of_line(units, chance)
                # What is left of a cell that is taken out whole is rounding, not demand.
                weighs = np.where(np.abs(weighs) < _NOTHING, 0.0, weighs)
            if timing.counts == "exposure":
                weights[1, column] += weighs[1]
            else:
                weights[:, column] += weighs
        return weights

    def _weighs_of(self, key: CellKey) -> Floats:
        weighs = self._weighs.get(key)
        if weighs is None:
            weighs = weights_of(self.cells[key][0], self.product, self.probability, self.won)
            self._weighs[key] = weighs
        return weighs


class Gathered(NamedTuple):
    """The lines of several groups, those of one deal side by side in the order of deals.

    ``deal`` is a line's place in ``deals``, ``group`` that of its group, ``shape`` in ``shapes``, by which lines have
    group and close week in common: their groups and places.
    """

    deals: list[str]
    deal: Places
    units: Floats
    probability: Floats
    group: Places
    place: Places
    shape: Places
    shapes: tuple[Places, Places]


def gathered(known: Sequence[GroupLines], apart: GroupLines, withheld: Set[str]) -> Gathered:
    """The lines of all groups but of deals ``withheld``; those ``apart`` are a group each, behind the others."""
    every = (*known, apart)
    deals = [deal for each in every for deal in each.deals]
    units, probability, place = (
        np.concatenate([each[column] for each in every]) for column in range(1, len(GroupLines._fields))
    )
    sizes = [*(len(each.deals) for each in known), *(1 for _ in apart.deals)]
    names = sorted(set(deals) - withheld)
    number_of = {deal: number for number, deal in enumerate(names)}
    deal_of = np.array([number_of.get(deal, -1) for deal in deals], np.intp)
    order = np.argsort(deal_of, kind="stable")
    order = order[deal_of[order] >= 0]
    group, place = np.repeat(np.arange(len(sizes)), sizes)[order], place[order]
    first = int(place.min(initial=0))
    width = int(place.max(initial=0)) - first + 1
    alike, shape = np.unique(group * width + (place - first), return_inverse=True)
    shapes = alike // width, alike % width + first
    return Gathered(names, deal_of[order], units[order], probability[order], group, place, shape, shapes)
