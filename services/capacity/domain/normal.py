"""The normal distribution for whole arrays, accurate to a billionth and the same on every machine."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_REACH: Final = 8
_STEPS: Final = 64
"""Table entries for one standard deviation: few enough to stay in the fastest cache."""


def _table(steps: int) -> tuple[Floats, Floats]:
    at = np.arange(-_REACH * steps, _REACH * steps + 1) / steps
    return at, np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in at.tolist()])


_AT, _BELOW = _table(_STEPS)
_DENSITY: Final = np.exp(-(_AT**2) / 2) / math.sqrt(2 * math.pi)
_SCORES: Final = tuple(each[: _REACH * 256 + 1] for each in _table(256))
"""The lower half, finer: scores are read off it along straight lines."""

RARE: Final = 1e-9
"""Probabilities closer to 0 or 1 than this are taken to be so close."""


def below(x: Floats) -> Floats:
    """P(N <= x) for a standard normal N: from the table's nearest entry on by three terms of the Taylor series."""
    # A sum of thousands of these is much of a projection: in place where it can be.
    off = np.clip(x, -_REACH, _REACH)
    off *= _STEPS
    place = np.rint(off)
    off -= place
    at = place.astype(np.intp)
    at += _REACH * _STEPS
    off /= _STEPS
    place /= _STEPS
    # 1 - a·o/2 + (a² - 1)·o²/6, times o and the density at a.
    series = place * place
    series -= 1.0
    series *= off
    series /= 6.0
    place /= 2.0
    series -= place
    series *= off
    series += 1.0
    series *= off
    series *= _DENSITY.take(at)
    series += _BELOW.take(at)
    found: Floats = series
    return found


def above(x: Floats) -> Floats:
    """P(N > x) for a standard normal N."""
    return below(-x)


def score(p: Floats) -> Floats:
    """The x with P(N <= x) = p, p taken no closer to 0 and 1 than ``RARE``."""
    rarer = np.clip(np.minimum(p, 1.0 - p), RARE, 0.5)
    low = np.interp(rarer, _SCORES[1], _SCORES[0])
    found: Floats = np.where(p < 0.5, low, -low)
    return found
