"""The lines of a pool that are known by name, as arrays: what each asks, week by week, however late it closes.

Lines that have kernel and close week in common have one *shape*: what one unit asks of each week if the deal closes
0, 1, 2 … weeks late. Stocks and budgets add up from the table's first week on, and so do their shapes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from services.capacity.domain.kernels import Kernel

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shapes:
    """``asked`` by shape, lateness and week, for one unit; ``pushes`` its probabilities by shape and lateness."""

    asked: Floats
    pushes: Floats

    @cached_property
    def mean(self) -> Floats:
        """E[g] by shape and week."""
        return self.power(1)

    def power(self, exponent: int) -> Floats:
        """E[g^exponent] by shape and week."""
        return np.asarray(np.einsum("gk,gkw->gw", self.pushes, self.asked**exponent))


def shapes_of(kernels: Sequence[Kernel], places: Places, count: int, since: int | None) -> Shapes:
    """One shape for each kernel with its close place, over ``count`` weeks; with ``since`` they add up from there."""
    late = max((len(kernel.pushes) for kernel in kernels), default=1)
    longest = max((len(kernel.effort) for kernel in kernels), default=0)
    efforts, pushes = np.zeros((len(kernels), longest)), np.zeros((len(kernels), late))
    for number, kernel in enumerate(kernels):
        efforts[number, : len(kernel.effort)] = kernel.effort
        pushes[number, : len(kernel.pushes)] = kernel.pushes
    which = np.arange(len(kernels))[:, None]
    closing = places[:, None] + np.arange(late)
    if since is None:
        # Each is a window of its kernel, with nothing before and behind it.
        table = np.pad(efforts, ((0, 0), (count, count)))
        windows = np.lib.stride_tricks.sliding_window_view(table, count, axis=1)
        return Shapes(windows[which, np.clip(count - closing, 0, count + longest)], pushes)
    weeks = np.arange(count)
    totals = np.pad(np.cumsum(efforts, axis=1), ((0, 0), (1, 0)))
    before = totals[which, np.clip(since - closing, 0, longest)]
    upto = totals[which[:, :, None], np.clip(weeks - closing[:, :, None] + 1, 0, longest)]
    return Shapes(np.where(weeks >= since, upto - before[:, :, None], 0.0), pushes)


@dataclass(frozen=True)
class Lines:
    """The lines, those of one deal side by side in the order of deals.

    ``deal`` is a line's place in ``deals``, ``shape`` in ``shapes``, ``group`` that of its group among the pool's,
    whose products are ``products``; ``place`` the week in which it closes if in time. ``cv`` is of the deal's effort.
    """

    deals: Sequence[str]
    deal: Places
    products: Sequence[str]
    units: Floats
    probability: Floats
    open: Flags
    group: Places
    place: Places
    shape: Places
    shapes: Shapes
    cv: Floats

    def __len__(self) -> int:
        return len(self.deal)

    @cached_property
    def first(self) -> Places:
        """Where the lines of each deal begin."""
        return np.flatnonzero(np.diff(self.deal, prepend=-1))

    @cached_property
    def effort(self) -> Floats:
        """What each line is expected to ask in all weeks together."""
        total: Floats = self.units * self.probability * self.shapes.mean.sum(axis=1)[self.shape]
        return total

    @cached_property
    def expected(self) -> Floats:
        """By deal and week."""
        if not len(self):
            return np.zeros((0, self.shapes.asked.shape[2]))
        by_line = (self.units * self.probability)[:, None] * self.shapes.mean[self.shape]
        return by_line if len(self.first) == len(self) else np.add.reduceat(by_line, self.first, axis=0)

    @cached_property
    def uncertain(self) -> Flags:
        """The open lines that may not be won, or not in time."""
        pushed = (self.shapes.pushes > 0).sum(axis=1) > 1
        return np.asarray(self.open & ((self.probability < 1) | pushed[self.shape]) & (self.probability > 0))
