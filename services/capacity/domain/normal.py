"""The normal distribution for whole arrays, accurate to a billionth and the same on every machine."""

import math
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_STEPS: Final = 256
"""Table entries for one standard deviation; between them two terms of the Taylor series are added."""
_REACH: Final = 8
_AT: Final = np.arange(-_REACH * _STEPS, _REACH * _STEPS + 1) / _STEPS
_BELOW: Final = np.array([0.5 * math.erfc(-x / math.sqrt(2)) for x in _AT.tolist()])
_DENSITY: Final = np.exp(-(_AT**2) / 2) / math.sqrt(2 * math.pi)

RARE: Final = 1e-9
"""Probabilities closer to 0 or 1 than this are taken to be so close."""


def below(x: Floats) -> Floats:
    """P(N <= x) for a standard normal N."""
    # A sum of thousands of these is nearly all of a projection: in place where it can be.
    place = np.rint(np.clip(x, -_REACH, _REACH) * _STEPS)
    off = np.clip(x, -_REACH, _REACH) - place / _STEPS
    at = (place + _REACH * _STEPS).astype(np.intp)
    found: Floats = _BELOW[at] + _DENSITY[at] * off * (1.0 - _AT[at] * off / 2)
    return found


def above(x: Floats) -> Floats:
    """P(N > x) for a standard normal N."""
    return below(-x)


def score(p: Floats) -> Floats:
    """The x with P(N <= x) = p, p taken no closer to 0 and 1 than ``RARE``."""
    rarer = np.clip(np.minimum(p, 1.0 - p), RARE, 0.5)
    low = np.interp(rarer, _BELOW[: _REACH * _STEPS + 1], _AT[: _REACH * _STEPS + 1])
    found: Floats = np.where(p < 0.5, low, -low)
    return found
