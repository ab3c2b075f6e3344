"""Deals rise and fall together: the one-factor Gaussian copula.

Given the common factor z, standard normal, deals are independent and one that is won with p is won with
p(z) = Φ((Φ⁻¹(p) + √ρ·z) / √(1-ρ)): a high z is a good time for sales. Over all z that is p again, so every deal keeps
its own probability. What is asked of a plan is answered for a few z and integrated over all of them by Gauss–Hermite;
between the few the answer's normal score is taken to be linear, which is exact for a single deal. Of many small deals
the score follows their mean instead, which is known for all z; then what it differs by is taken to be linear.
"""

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import below, score

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(48)
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


def over_all(answers: Floats, guess: Floats, weight: Floats) -> Floats:
    """Probabilities for each of the ``few`` (first axis) as the probability over all situations.

    ``guess`` is the normal score of the answer by mean and deviation alone, for the few and then for ``all_of``; by
    ``weight`` (0: not at all, 1: wholly) the answer is taken to follow it.
    """
    count = len(answers)
    if count == 1:
        only: Floats = answers[0]
        return only
    scores = score(answers)
    known = guess[:count]
    clear = (np.abs(scores) > _CLEAR) & (known * scores > 0)
    scores = np.where(clear, np.sign(scores) * np.maximum(np.abs(known) * weight, np.abs(scores)), scores)
    rest = scores - weight * known
    left, part = _between(count)
    part = part.reshape(-1, *([1] * (answers.ndim - 1)))
    bent = rest[left] + part * (rest[left + 1] - rest[left]) + weight * guess[count:]
    found = np.tensordot(_WEIGHTS, below(bent), 1)
    # Certainties stay certain.
    found = np.where((answers <= 0).all(axis=0), 0.0, np.where((answers >= 1).all(axis=0), 1.0, found))
    return np.asarray(np.clip(found, 0.0, 1.0))


@cache
def _between(count: int) -> tuple[Places, Floats]:
    """For all situations: which of the few lies before, and how far it is to the next; beyond the last it goes on."""
    at = _FEW if count == len(_FEW) else _MORE
    left = np.clip(np.searchsorted(at, _NODES) - 1, 0, count - 2)
    return left, (_NODES - at[left]) / (at[left + 1] - at[left])
