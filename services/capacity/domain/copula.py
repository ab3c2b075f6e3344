"""Deals rise and fall together: the one-factor Gaussian copula.

Given the common factor z, standard normal, deals are independent and one that is won with p is won with
p(z) = Φ((Φ⁻¹(p) + √ρ·z) / √(1-ρ)): a high z is a good time for sales. Over all z that is p again, so every deal keeps
its own probability. What is asked of a plan is answered for a few z and integrated over all of them by Gauss–Hermite;
between the few the answer's normal score is taken to be linear, which is exact for a single deal. Of many small deals
the score follows their mean instead, which is known for all z; then what it differs by is taken to be linear.
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import below, score

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
_NODES, _WEIGHTS = (each[_WEIGHTS / _WEIGHTS.sum() > 1e-7] for each in (_NODES, _WEIGHTS))
"""Of 48 those that a millionth of an answer hangs on."""
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
_FEW: Final = np.linspace(-3.0, 3.0, 5)
_MORE: Final = np.linspace(-3.2, 3.2, 9)
_STRONG: Final = 0.15
"""The correlation from which on more situations are looked at."""
_CLEAR: Final = 4.5
"""Normal scores beyond which an answer is so certain that its score is no longer to be told from rounding."""


def few(correlation: float) -> Floats:
    """The values of the common factor for which an answer is computed; only 0 when deals are independent."""
    if correlation <= 0:
        return np.zeros(1)
    return _FEW if correlation <= _STRONG else _MORE


def all_of(correlation: float) -> Floats:
    """The values of the common factor over which answers are integrated."""
    return _NODES if correlation > 0 else np.zeros(0)


def given(p: Floats, correlation: float, z: Floats) -> Floats:
    """p(z): the probabilities ``p`` (shape n) in each of the situations ``z`` (shape m): shape (m, n)."""
    if correlation <= 0:
        return np.broadcast_to(p, (len(z), *p.shape))
    bent = (score(p) + np.sqrt(correlation) * z[:, None]) / np.sqrt(1.0 - correlation)
    found: Floats = np.where((p <= 0) | (p >= 1), p, below(bent))
    return found


@dataclass(frozen=True)
class Guide:
    """What the probability of more than an amount follows between the few situations and beyond them, week by week.

    By mean and deviation alone its normal score in a situation is ``start`` - ``slope``·amount. By ``weight`` (by week;
    0: not at all, 1: wholly) the answer's own score bends as that one does.
    """

    start: Floats
    slope: Floats
    weight: Floats
    count: int
    """The few are the first of the situations, which are the first axis; ``all_of`` are the others."""

    @classmethod
    def of(cls, mean: Floats, variance: Floats, weight: Floats, count: int) -> "Guide":
        """Mean and variance in the few situations and then in ``all_of``."""
        slope = 1.0 / np.maximum(np.sqrt(variance), 1e-9 * np.maximum(np.abs(mean), 1.0))
        return cls(mean * slope, slope, weight, count)

    @cached_property
    def _bend(self) -> tuple[Floats, Floats]:
        """``start`` and ``slope`` of what is added to the line through the few, in all situations."""
        line, few = _line(self.count), self.count
        both = (self.weight * (each[few:] - line @ each[:few]) for each in (self.start, self.slope))
        start, slope = both
        return start, slope

    def over_all(self, answers: Floats, amount: Floats, week: Places) -> Floats:
        """P(more than ``amount``) in ``week``, both of any one shape, over all situations.

        ``answers`` are those probabilities for each of the few, which are the first axis.
        """
        if self.count == 1:
            only: Floats = answers[0]
            return only
        # As certain as what it follows, where it can no longer be told how certain.
        scores = score(answers)
        clear = np.abs(scores) > _CLEAR
        if clear.any():
            known = self.start[: self.count, week] - self.slope[: self.count, week] * amount
            clear &= known * scores > 0
            least = np.abs(known) * self.weight[week]
            scores = np.where(clear, np.sign(scores) * np.maximum(least, np.abs(scores)), scores)
        start, slope = self._bend
        bent = np.tensordot(_line(self.count), scores, 1)
        bent += start[:, week]
        bent -= slope[:, week] * amount
        found = np.tensordot(_WEIGHTS, below(bent), 1)
        # Certainties stay certain.
        found[(answers <= 0).all(axis=0)] = 0.0
        found[(answers >= 1).all(axis=0)] = 1.0
        return np.asarray(np.clip(found, 0.0, 1.0))

    def roughly(self, answers: Floats) -> Floats:
        """The same without bending, from a sum of the few: near enough to begin a search."""
        if self.count == 1:
            return np.asarray(answers[0])
        return np.asarray(np.tensordot(_WEIGHTS @ np.clip(_line(self.count), 0.0, 1.0), answers, 1))


@cache
def _line(count: int) -> Floats:
    """What each of the few counts in each of all situations: the line through the two about it; it goes on beyond."""
    at = _FEW if count == len(_FEW) else _MORE
    left = np.clip(np.searchsorted(at, _NODES) - 1, 0, count - 2)
    part = (_NODES - at[left]) / (at[left + 1] - at[left])
    found = np.zeros((len(_NODES), count))
    rows = np.arange(len(_NODES))
    found[rows, left], found[rows, left + 1] = 1.0 - part, part
    return found
