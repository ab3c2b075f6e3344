"""P(demand > capacity) with the largest deals as what they are: won or not, in this week or another.

Their outcomes are convolved one deal after the other; everything else is a crowd known by three moments. Sums of
outcomes are gathered into bins that keep their mean value, so where few values are possible the answer is exact, a sum
exactly at capacity included.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.overload import exceeds

Floats = npt.NDArray[np.float64]
Lump = Sequence[tuple[float, float]]
"""What a deal may ask, as (probability, amount); what is missing to one asks nothing."""

LARGEST: Final = 32
"""Deals of a position taken as lumps; the others go into the crowd."""

_BINS: Final = 512
_ROOM: Final = 640
"""Bins beyond the limit: a bin's number may run ahead of its value by the rounding of each lump."""

_CANTELLI: Final = 14.0
"""So many standard deviations off, no distribution can make the answer differ by half a percent."""


def worth_it(limit: float, mean: float, variance: float, most: float) -> bool:
    """Whether lumps can matter for P(X > limit): ``most`` is what is asked if every deal closes."""
    if variance <= 0 or limit <= 0 or limit > most * (1 + 1e-9):
        return False
    return (limit - mean) ** 2 <= _CANTELLI**2 * variance


def moments_of(lump: Lump) -> tuple[float, float, float]:
    """Mean, variance and third central moment of one lump."""
    first, second, third = (sum(p * amount**power for p, amount in lump) for power in (1, 2, 3))
    return first, second - first**2, third - 3 * first * second + 2 * first**3


def exceeds_with(limit: float, lumps: Sequence[Lump], crowd: tuple[float, float, float]) -> float:
    """P(lumps + crowd > limit) for a positive limit; the crowd by mean, variance and third central moment."""
    step = limit / _BINS
    mass, value = np.zeros(_ROOM), np.zeros(_ROOM)
    mass[0], beyond = 1.0, 0.0
    for lump in lumps:
        nothing = 1.0 - sum(p for p, _ in lump)
        new_mass, new_value = mass * nothing, value * nothing
        for p, amount in lump:
            shift = min(round(amount / step), _ROOM)
            kept = _ROOM - shift
            beyond += p * float(mass[kept:].sum())
            new_mass[shift:] += p * mass[:kept]
            new_value[shift:] += p * (value[:kept] + amount * mass[:kept])
        mass, value = new_mass, new_value
    there = mass > 0
    sums = value[there] / mass[there]
    mean, variance, third = (np.full(sums.shape, moment) for moment in crowd)
    return min(beyond + float(mass[there] @ exceeds(limit - sums, mean, variance, third)), 1.0)
