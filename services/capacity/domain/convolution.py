"""Sums of independent deals as distributions on a grid, exactly: transforms are multiplied, one row for each week.

Each deal asks nothing, or with some probability one of a few amounts, times a gamma-distributed effort factor where
effort is uncertain. Amounts fall on the nearest point of the grid, or between two where their effort spreads over more
than that; what rounding takes away is carried along and given back to the sums, so that where few sums are possible
each is exact: one that just equals the capacity is no overload.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
from numpy import fft

Floats = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Places = npt.NDArray[np.intp]

_NOBODY: Final = 1e-12
"""Mass below which a point of the grid is taken to be never met."""

_FINEST: Final = 1024
"""Parts of a grid at which an uncertain effort may lie, several to a point."""
_SPREAD: Final = 0.5
"""Of a point: an effort that is this uncertain spreads over several, and need not lie at one."""


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
    finer = max(_FINEST // grid.points, 1)
    places = lumps.amounts / grid.step[:, None, None]
    parts = np.where(places * np.array(lumps.cvs)[lumps.effort][..., None] >= _SPREAD, float(finer), 1.0)
    rounded = np.rint(places * parts) / parts
    asked, off = _asked(lumps, (rounded * finer).astype(np.intp), lumps.pushes * (places - rounded), grid.points, finer)
    at = (grid.first[:, None] + np.arange(grid.points)) % grid.points

    def masses_of(transform: Complex) -> Floats:
        return np.take_along_axis(fft.irfft(transform, grid.points), at, axis=1)

    middle = len(lumps.chances) // 2
    masses, spread = np.empty((len(lumps.chances), *at.shape)), np.zeros(at.shape)
    for number, chance in enumerate(lumps.chances.swapaxes(1, 2)):
        factors = _times(asked, chance)
        factors += 1.0
        if number == middle:
            product, change = _multiply(factors, _times(off, chance))
            spread = masses_of(change)
        else:
            product = _product(factors)
        masses[number] = masses_of(product)
    mass = masses[middle]
    moved = np.where(mass > _NOBODY, spread / np.where(mass > _NOBODY, mass, 1.0), 0.0)
    # Each deal was moved by less than a point.
    deals = (lumps.chances.max(axis=0) > 0).sum(axis=1)[:, None]
    moved = np.clip(moved, -deals, deals)
    # An uncertain effort narrower than the grid rings about its point; left as it is, it cancels out in every sum.
    masses[np.abs(masses) <= _NOBODY] = 0.0
    return masses, (grid.first[:, None] + np.arange(grid.points) + moved) * grid.step[:, None]


def _asked(lumps: Lumps, places: Places, rest: Floats, points: int, finer: int) -> tuple[Complex, Complex]:
    """By deal, week and frequency: the transform of what a won deal asks, less one; and of what rounding took off.

    ``places`` are in parts of a point, ``finer`` of which make one; ``rest`` is what rounding took, by its chance.
    """
    table = _table(lumps.cvs, points, finer)
    row = (lumps.effort[..., None] * points * finer + places % (points * finer)).transpose(2, 1, 0)
    asked = np.full((*row.shape[1:], table.shape[1]), -1.0, complex)
    off = np.zeros_like(asked)
    for late, at in enumerate(row):
        here = table.take(at, axis=0)
        asked += _times(here, lumps.pushes[:, :, late].T)
        off += _times(here, rest[:, :, late].T)
    return asked, off


def _times(transforms: Complex, chances: Floats) -> Complex:
    """Each transform times a real number: as pairs of such, which is half the work."""
    found: Complex = (transforms.view(np.float64) * chances[..., None]).view(np.complex128)
    return found


def _product(factors: Complex) -> Complex:
    """Over all deals, in place."""
    while (count := len(factors)) > 1:
        half = count // 2
        factors[:half] *= factors[half : 2 * half]
        if count % 2:
            factors[0] *= factors[-1]
        factors = factors[:half]
    product: Complex = factors[0]
    return product


def _multiply(factors: Complex, off: Complex) -> tuple[Complex, Complex]:
    """The product over all deals, and its derivative in the direction of ``off``; in place."""
    while (count := len(factors)) > 1:
        half = count // 2
        one, other = factors[:half], factors[half : 2 * half]
        off[:half] *= other
        off[:half] += one * off[half : 2 * half]
        one *= other
        if count % 2:
            off[0] *= factors[-1]
            off[0] += one[0] * off[-1]
            one[0] *= factors[-1]
        factors, off = one, off[:half]
    return factors[0], off[0]


@lru_cache(maxsize=16)
def _table(cvs: tuple[float, ...], points: int, finer: int) -> Complex:
    """The transform of an amount at each point of a grid, and at ``finer`` - 1 between each two, by a factor of effort.

    Rows of one coefficient of variation come after those of another.
    """
    frequency = 2j * np.pi * np.arange(points // 2 + 1) / points
    turns = np.arange(points * finer)[:, None] / finer * frequency
    return np.concatenate([np.exp(-turns) if cv == 0 else (1.0 + turns * cv**2) ** (-1 / cv**2) for cv in cvs])
