"""How far bookings and margin may end from what is expected of them.

An open line brings x with probability ps, s being the chance that it closes in the period if it is won. Σx² comes from
the lines that cells name, and for the others from their sums, as if every unit among them had one price. That deals
rise and fall together (``uncertainty.win_correlation``) adds their covariance under the one-factor copula.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.book import BookCell
from services.capacity.domain.copula import given

Floats = npt.NDArray[np.float64]

CERTAIN: Final = 100
"""Win probabilities are told apart by hundredths here."""

QUANTILE: Final = 0.8416212335729143
"""Standard deviations from the mean to what is exceeded in one of five cases, and below in one of five."""

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


class Money(NamedTuple):
    """Σp·x² and Σp²·x² over open lines, of net value and of margin."""

    net: tuple[float, float]
    margin: tuple[float, float]


def money_of(cell: BookCell, p: float, cost: float, factor: float, fixed: float | None) -> Money:
    """Of an open cell's lines; ``p`` is of its stage, ``cost`` of a unit, units are q · ``factor`` or ``fixed``."""
    each, whole = cost * factor, cost * (fixed or 0.0)
    net, net2, margin, margin2 = 0.0, 0.0, 0.0, 0.0
    # Of few lines numbers by themselves are quicker than arrays.
    for member in cell.members:
        chance, own = p if member.p is None else member.p, member.net
        twice, left = chance * chance, own - each * member.q - whole
        square, other = own * own, left * left
        net += chance * square
        net2 += twice * square
        margin += chance * other
        margin2 += twice * other
    if cell.own.count + cell.stage.count > len(cell.members):
        rest = _Rest(cell, p)
        more, beside = rest.of(0.0, 0.0), rest.of(each, whole)
        net, net2, margin, margin2 = net + more[0], net2 + more[1], margin + beside[0], margin2 + beside[1]
    return Money((net, net2), (margin, margin2))


class _Rest:
    """The lines of a cell that it does not name, as if each unit of quantity among them had the same price."""

    def __init__(self, cell: BookCell, p: float) -> None:
        own, stage = cell.own, cell.stage
        q = np.array([member.q for member in cell.members])
        chance = np.array([p if member.p is None else member.p for member in cell.members])
        quantity = own.q + stage.q - float(q.sum())
        money = own.net + stage.net - sum(member.net for member in cell.members)
        self._price = money / quantity if abs(quantity) > 1e-9 else 0.0
        self._sums = [
            max(own.p + p * stage.count - float(chance.sum()), 0.0),
            max(own.pq + p * stage.q - float((chance * q).sum()), 0.0),
            max(own.pq2 + p * stage.q2 - float((chance * q**2).sum()), 0.0),
        ]
        self._squares = [
            max(own.p2 + p**2 * stage.count - float((chance**2).sum()), 0.0),
            max(own.p2q2 + p**2 * stage.q2 - float((chance**2 * q**2).sum()), 0.0),
        ]

    def of(self, each: float, whole: float) -> tuple[float, float]:
        """Σp·x² and Σp²·x² of x = price · q - each · q - whole."""
        a = self._price - each
        count, linear, square = self._sums
        first = a**2 * square - 2 * a * whole * linear + whole**2 * count
        mean = self._squares[0] / count if count > 0 else 0.0
        second = a**2 * self._squares[1] - 2 * a * whole * linear * mean + whole**2 * self._squares[0]
        return max(first, 0.0), max(min(second, first), 0.0)


def deviation_of(variance: float, squares: Floats, chances: Floats, amounts: Floats, correlation: float) -> float:
    """The standard deviation of a sum over open rows.

    ``variance`` is Σ x²·ps(1 - ps) of its lines. By row: ``squares`` Σ (s·x)² and ``amounts`` Σ s·x of its lines, in
    ``chances`` their probability in hundredths.
    """
    if correlation > 0 and len(amounts):
        places = chances.astype(np.intp)
        together = covariances(correlation)
        by_chance = np.bincount(places, amounts, CERTAIN + 1)
        alone = float((np.bincount(places, squares, CERTAIN + 1) * together.diagonal()).sum())
        variance += max(float(by_chance @ together @ by_chance) - alone, 0.0)
    return float(np.sqrt(max(variance, 0.0)))


@lru_cache(maxsize=8)
def covariances(correlation: float) -> Floats:
    """Cov(p(z), q(z)) over all situations z, by hundredths of p and q."""
    chances = np.arange(CERTAIN + 1) / CERTAIN
    by_situation = given(chances, correlation, _NODES)
    away = by_situation - _WEIGHTS @ by_situation
    found: Floats = (away * _WEIGHTS[:, None]).T @ away
    return found
