"""P(demand > capacity) and the quantiles of demand, from three moments.

A gamma fitted to the skew answers through Wilson and Hilferty's cube root; it is mirrored for a negative skew, and the
normal distribution stands where there is none. Strictly greater: mass exactly at capacity is no overload.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import above

Floats = npt.NDArray[np.float64]

TINY: Final = 1e-9
"""Relative: two amounts closer than this are the same amount."""

_LARGEST_SKEW: Final = 6.0


def exceeds(limit: Floats, mean: Floats, variance: Floats, third: Floats) -> Floats:
    """P(X > limit) for each X of these central moments. All of one shape."""
    deviation = np.sqrt(variance)
    certain = deviation <= TINY * np.maximum(np.abs(mean), 1.0)
    safe = np.where(certain, 1.0, deviation)
    skew = np.where(certain, 0.0, third / safe**3)
    distance = (limit - mean) / safe
    # A negative skew is the mirror image of a positive one.
    side = np.where(skew < 0, -1.0, 1.0)
    bent = _gamma_upper(side * distance, np.abs(skew))
    straight = np.abs(skew) < 1e-6
    probability = np.where(side < 0, 1.0 - bent, bent)
    if straight.any():
        probability = np.where(straight, above(distance), probability)
    over = (mean > limit + TINY * np.maximum(np.abs(limit), 1.0)).astype(np.float64)
    return np.where(certain, over, np.clip(probability, 0.0, 1.0))


def quantiles(shares: Sequence[float], mean: Floats, variance: Floats, third: Floats) -> list[Floats]:
    """The quantiles for rising ``shares``, by Cornish and Fisher; none below zero, none below the one before."""
    deviation = np.sqrt(variance)
    safe = np.where(deviation > 0, deviation, 1.0)
    # The expansion turns back on itself for extreme skews.
    skew = np.clip(np.where(deviation > 0, third / safe**3, 0.0), -2.0, 2.0)
    found: list[Floats] = []
    least = np.zeros_like(mean)
    for share in shares:
        z = NormalDist().inv_cdf(share)
        bent = z + (z**2 - 1) * skew / 6 - (2 * z**3 - 5 * z) * skew**2 / 36
        least = np.maximum(mean + deviation * bent, least)
        found.append(least)
    return found


def _gamma_upper(distance: Floats, skew: Floats) -> Floats:
    """P(Y > distance) for the standardised gamma of this positive skew."""
    skew = np.clip(skew, 1e-6, _LARGEST_SKEW)
    shape = 4 / skew**2
    relative = np.maximum(1 + distance / np.sqrt(shape), 0.0)
    upper = above(3 * np.sqrt(shape) * (np.cbrt(relative) - (1 - 1 / (9 * shape))))
    return np.where(relative <= 0.0, 1.0, upper)
