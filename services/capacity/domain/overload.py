"""P(demand > capacity) and the quantiles of demand, from three moments.

A gamma fitted to the skew answers through Wilson and Hilferty's cube root; it is mirrored for a negative skew, and the
normal distribution stands where there is none. Strictly greater: mass exactly at capacity is no overload.
"""

from collections.abc import Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import below

Floats = npt.NDArray[np.float64]

TINY: Final = 1e-9
"""Relative: two amounts closer than this are the same amount."""

_LARGEST_SKEW: Final = 6.0
_STRAIGHT: Final = 1e-6
_BEYOND: Final = 10.0
"""A normal score that is as good as certain."""


class Fitted(NamedTuple):
    """Distributions fitted to three moments each; where these are of shape (…, 1) they answer for many limits at once.

    P(X > x) = Φ(``shift`` - ``scale``·∛(1 + ``slope``·(x - ``mean``))), and Φ(``beyond``) where that root is of less
    than nothing, which only one side of a skewed distribution has.
    """

    mean: Floats
    slope: Floats
    scale: Floats
    shift: Floats
    beyond: Floats

    def exceeds(self, limit: Floats) -> Floats:
        """P(X > limit)."""
        relative = limit - self.mean
        relative *= self.slope
        relative += 1.0
        bent = np.cbrt(relative)
        bent *= -self.scale
        bent += self.shift
        np.copyto(bent, self.beyond, where=relative <= 0)
        return below(bent)


def fitted(mean: Floats, variance: Floats, third: Floats) -> Fitted:
    """To these central moments, all of one shape; what is certain is taken to be uncertain by ``TINY``."""
    deviation = np.sqrt(variance)
    least = TINY * np.maximum(np.abs(mean), 1.0)
    certain = deviation <= least
    deviation = np.where(certain, least, deviation)
    skew = np.where(certain, 0.0, third / deviation**3)
    # A negative skew is the mirror image of a positive one, and none is next to nothing.
    side = np.where(skew < 0, -1.0, 1.0)
    half = np.clip(np.abs(skew), _STRAIGHT, _LARGEST_SKEW) / 2
    scale = side * 3 / half
    return Fitted(mean, side * half / deviation, scale, scale * (1 - half**2 / 9), side * _BEYOND)


def exceeds(limit: Floats, mean: Floats, variance: Floats, third: Floats) -> Floats:
    """P(X > limit) for each X of these central moments. All of one shape."""
    certain = np.sqrt(variance) <= TINY * np.maximum(np.abs(mean), 1.0)
    over = (mean > limit + TINY * np.maximum(np.abs(limit), 1.0)).astype(np.float64)
    return np.where(certain, over, fitted(mean, variance, third).exceeds(limit))


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
