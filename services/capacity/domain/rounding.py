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
    place = np.floor(np.log10(np.minimum(np.where(there, size, 1.0), _MOST))).astype(np.intp) + _LEAST
    up, down = _UP[place], _DOWN[place]
    found: Floats = np.where(there, np.rint(values * up / down) * down / up, 0.0)
    return found


_MOST: Final = 1e300
_LEAST: Final = 9
"""Nothing that is something is less than ten to the power of minus this."""
_SHIFTS: Final = [8 - power for power in range(-_LEAST, 301)]
# Powers of ten up to 22 are exact, so that multiplying and dividing by them rounds once each.
_UP: Final = np.array([float(10 ** min(max(shift, 0), 22)) for shift in _SHIFTS])
_DOWN: Final = np.array([float(10 ** min(max(-shift, 0), 22)) for shift in _SHIFTS])
"""By which a number of so many digits is multiplied, and divided, to have nine of them before its point."""
