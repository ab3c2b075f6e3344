"""Published figures are rounded, so that the same book gives the same figures whatever the order of its sums."""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NOTHING: Final = 1e-9


def figure(value: float) -> float:
    """``value`` to nine significant digits; what is nearly nothing is nothing."""
    return 0.0 if -_NOTHING < value < _NOTHING else float(f"{value:.9g}")


def figures(values: Floats) -> Floats:
    """The same for a whole array."""
    size = np.abs(values)
    there = size >= _NOTHING
    safe = np.minimum(np.where(there, size, 1.0), 1e300)
    # Powers of ten up to 22 are exact, so that multiplying and dividing by them rounds once each.
    shift = 8 - np.floor(np.log10(safe)).astype(np.intp)
    up, down = _TENS[np.clip(shift, 0, 22)], _TENS[np.clip(-shift, 0, 22)]
    found: Floats = np.where(there, np.rint(values * up / down) * down / up, 0.0)
    return found


_TENS: Final = np.array([float(10**power) for power in range(23)])
