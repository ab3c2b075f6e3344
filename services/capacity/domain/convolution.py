"""Sums of independent deals as distributions on a grid, exactly: transforms are multiplied, one row for each week.

Each deal asks nothing, or with some probability one of a few amounts, times a gamma-distributed effort factor where
effort is uncertain. Amounts fall on the nearest point of the grid; what that rounds away is carried along and given
back to the sums, so that where few sums are possible each is exact: one that just equals the capacity is no overload.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Places = npt.NDArray[np.intp]

_NOBODY: Final = 1e-12
"""Mass below which a point of the grid is taken to be never met."""


@dataclass(frozen=True)
class Lumps:
    """The deals of some weeks: ``amounts`` and their ``pushes`` by week, deal and lateness.

    ``chances`` of winning are by situation, week and deal; a place that no deal fills has none. ``effort`` numbers the
    entries of ``cvs``, by week and deal.
    """

    amounts: Floats
    pushes: Floats
    chances: Floats
    effort: Places
    cvs: tuple[float, ...]


@dataclass(frozen=True)
class Grid:
    """``points`` multiples of ``step`` (by week), the first of them ``first``; sums beyond the last come round."""

    step: Floats
    first: Places
    points: int


def distribution(lumps: Lumps, grid: Grid) -> tuple[Floats, Floats]:
    """Masses by situation, week and point; and by week and point the sums that lie there, the middle situation's."""
    places = lumps.amounts / grid.step[:, None, None]
    rounded = np.rint(places)
    transforms = _table(lumps.cvs, grid.points)
    asked, rest = _asked(lumps, rounded.astype(np.intp) % grid.points, places - rounded, transforms)
    every = [1.0 + chance[..., None] * asked for chance in lumps.chances]
    middle = len(every) // 2
    whole, off = _multiply(every[middle], lumps.chances[middle][..., None] * rest)
    products = [whole if number == middle else _product(each) for number, each in enumerate(every)]
    at = (grid.first[:, None] + np.arange(grid.points)) % grid.points
    masses = np.array([np.take_along_axis(np.fft.irfft(each, grid.points), at, axis=1) for each in products])
    spread = np.take_along_axis(np.fft.irfft(off, grid.points), at, axis=1)
    mass = masses[middle]
    moved = np.where(mass > _NOBODY, spread / np.where(mass > _NOBODY, mass, 1.0), 0.0)
    moved = np.clip(moved, -lumps.amounts.shape[1], lumps.amounts.shape[1])
    # An uncertain effort narrower than the grid rings about its point; left as it is, it cancels out in every sum.
    masses = np.where(np.abs(masses) > _NOBODY, masses, 0.0)
    return masses, (grid.first[:, None] + np.arange(grid.points) + moved) * grid.step[:, None]


def _asked(lumps: Lumps, places: Places, rest: Floats, table: Complex) -> tuple[Complex, Complex]:
    """By week, deal and frequency: the transform of what a won deal asks, less one; and of what rounding took off."""
    asked = np.full((*places.shape[:2], table.shape[2]), -1.0, complex)
    off = np.zeros_like(asked)
    for late in range(places.shape[2]):
        share = lumps.pushes[:, :, late]
        here = table[lumps.effort, places[:, :, late]]
        asked += share[..., None] * here
        here *= (share * rest[:, :, late])[..., None]
        off += here
    return asked, off


def _product(factors: Complex) -> Complex:
    """Over all deals."""
    while (count := factors.shape[1]) > 1:
        half = count // 2
        pairs = factors[:, :half] * factors[:, half : 2 * half]
        if count % 2:
            pairs[:, 0] *= factors[:, -1]
        factors = pairs
    return factors[:, 0]


def _multiply(factors: Complex, off: Complex) -> tuple[Complex, Complex]:
    """The product over all deals, and its derivative in the direction of ``off``."""
    while (count := factors.shape[1]) > 1:
        half = count // 2
        one, other = factors[:, :half], factors[:, half : 2 * half]
        pairs = one * other
        change = off[:, :half] * other + one * off[:, half : 2 * half]
        if count % 2:
            change[:, 0] = change[:, 0] * factors[:, -1] + pairs[:, 0] * off[:, -1]
            pairs[:, 0] *= factors[:, -1]
        factors, off = pairs, change
    return factors[:, 0], off[:, 0]


@lru_cache(maxsize=16)
def _table(cvs: tuple[float, ...], points: int) -> Complex:
    """The transform of an amount at each point of the grid, times an effort factor of each coefficient of variation."""
    frequency = 2j * np.pi * np.arange(points // 2 + 1) / points
    turns = np.arange(points)[:, None] * frequency
    return np.array([np.exp(-turns) if cv == 0 else (1.0 + turns * cv**2) ** (-1 / cv**2) for cv in cvs])
