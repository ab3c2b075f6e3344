"""Lines of deals gathered into groups that ask alike, and what a group asks of a pool."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.book import BookCell
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.tethers import Asking
from services.capacity.domain.timing import Timing
from shared.schemas.cell import CellKey

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

    def rows(self) -> list[tuple[str, float, float]]:
        """Deal, units and win probability of each line."""
        return list(zip(self.deals, self.units.tolist(), self.probability.tolist(), strict=True))

    def without(self, deals: frozenset[str]) -> "Known":
        """The lines of other deals."""
        stay = [number for number, deal in enumerate(self.deals) if deal not in deals]
        return Known([self.deals[number] for number in stay], self.units[stay], self.probability[stay])


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
    """The cells of lines that ask alike, and what is known of them; whatever hangs on them is made when asked for."""

    won: bool
    cells: dict[CellKey, tuple[BookCell, Timing]] = field(default_factory=dict)
    known: dict[CellKey, Known] = field(default_factory=dict)
    names: frozenset[str] | None = None
    """Of all that are known; None: to be gathered anew."""
    order: list[CellKey] = field(default_factory=list)
    """The keys of ``cells`` in their order; empty: to be sorted anew."""
    weights: Floats | None = None
    """Where nothing is withheld or asks apart."""
    on: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Moments and weights by pool."""
