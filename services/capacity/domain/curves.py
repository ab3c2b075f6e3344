"""How the effort of one unit lies over the weeks after its deal closes. Every curve conserves effort."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.schemas.plan import Curve, Need

Floats = npt.NDArray[np.float64]


def effort_by_week(need: Need, custom: bool) -> Floats:
    """Effort asked in week 0, 1, 2 … after the close week, in the pool's unit for one unit of the product.

    Sums to the need's effort; with ``per: week`` each of its weeks has it.
    """
    effort = need.effort_of(custom)
    amounts = np.full(need.weeks or 0, effort) if need.per == "week" else shares(need.curve) * effort
    return np.concatenate((np.zeros(need.after_weeks), amounts))


def shares(curve: Curve) -> Floats:
    """The share of the effort in each week of the curve; sums to one."""
    weights = np.array(curve.amounts) if curve.shape == "list" else _WEIGHTS[curve.shape](curve.length)
    spread: Floats = weights / weights.sum()
    return spread


def _rayleigh(weeks: int) -> Floats:
    """Norden–Rayleigh: F(t) = 1 - exp(-t² / 2t_d²) with its peak t_d at a third of the weeks."""
    peak = weeks / 3
    done = np.array([1 - math.exp(-(t**2) / (2 * peak**2)) for t in range(weeks + 1)])
    return np.diff(done)


_WEIGHTS: Final[dict[str, Callable[[int], Floats]]] = {
    "flat": np.ones,
    "front": lambda weeks: np.arange(weeks, 0, -1.0),
    "back": lambda weeks: np.arange(1.0, weeks + 1),
    "triangle": lambda weeks: np.minimum(np.arange(1.0, weeks + 1), np.arange(weeks, 0, -1.0)),
    "rayleigh": _rayleigh,
}
