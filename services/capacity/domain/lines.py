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
    """One shape for each of ``kernels`` with its close place, over ``count`` weeks; with ``since`` they add up from
    there."""

    kernels: Sequence[Kernel]
    places: Places
    count: int
    since: int | None

    @cached_property
    def _kernels(self) -> tuple[list[Kernel], Places]:
        """Each kernel once, and whose shape is of which."""
        places = {kernel: place for place, kernel in enumerate(dict.fromkeys(self.kernels))}
        return list(places), np.array([places[kernel] for kernel in self.kernels], np.intp)

    @cached_property
    def pushes(self) -> Floats:
        """The probabilities of how late, by shape and lateness."""
        kernels, which = self._kernels
        return _table([np.array(kernel.pushes) for kernel in kernels], 1)[which]

    @cached_property
    def asked(self) -> Floats:
        """By shape, lateness and week, for one unit."""
        closing = self.places[:, None] + np.arange(self.pushes.shape[1])
        return self._by_week([kernel.effort for kernel in self._kernels[0]], closing)

    @cached_property
    def mean(self) -> Floats:
        """E[g] by shape and week."""
        return self._by_week([kernel.mean for kernel in self._kernels[0]], self.places[:, None])[:, 0]

    def power(self, exponent: int) -> Floats:
        """E[g^exponent] by shape and week."""
        return np.asarray(np.einsum("gk,gkw->gw", self.pushes, self.asked**exponent))

    def _by_week(self, curves: Sequence[Floats], closing: Places) -> Floats:
        """The ``curves`` of the kernels begun in the weeks ``closing`` (by shape and time), by week."""
        count, since = self.count, self.since
        which = self._kernels[1][:, None]
        if since is None:
            # Each is a window of its curve, with nothing before and behind it.
            efforts = _table(curves, 0, count)
            windows = np.lib.stride_tricks.sliding_window_view(efforts, count, axis=1)
            return windows[which, np.clip(count - closing, 0, efforts.shape[1] - count)]
        efforts = _table(curves, 0)
        longest, weeks = efforts.shape[1], np.arange(count)
        totals = np.zeros((len(efforts), longest + 1))
        np.cumsum(efforts, axis=1, out=totals[:, 1:])
        before = totals[which, np.clip(since - closing, 0, longest)]
        upto = totals[which[:, :, None], np.clip(weeks - closing[:, :, None] + 1, 0, longest)]
        return np.where(weeks >= since, upto - before[:, :, None], 0.0)


def _table(rows: Sequence[Floats], least: int, around: int = 0) -> Floats:
    """Rows of their own lengths, ``least`` or more, with nothing behind them, and ``around`` more on both sides."""
    table = np.zeros((len(rows), max((len(row) for row in rows), default=least) + 2 * around))
    for number, row in enumerate(rows):
        table[number, around : around + len(row)] = row
    return table


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
            return np.zeros((0, self.shapes.count))
        by_line = (self.units * self.probability)[:, None] * self.shapes.mean[self.shape]
        return by_line if len(self.first) == len(self) else np.add.reduceat(by_line, self.first, axis=0)

    @cached_property
    def uncertain(self) -> Flags:
        """The open lines that may not be won, or not in time."""
        pushed = (self.shapes.pushes > 0).sum(axis=1) > 1
        return np.asarray(self.open & ((self.probability < 1) | pushed[self.shape]) & (self.probability > 0))
