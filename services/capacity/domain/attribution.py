"""Which deals ask most of a pool, in each week and over the weeks of a work item."""

from functools import cached_property
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.lines import Lines
from services.capacity.domain.rounding import figures
from shared.schemas.position import TopDeal

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

TOP: Final = 5
"""Deals named on a position or work item."""

_NOTHING: Final = 1e-9


class Askers:
    """The known deals that ask something of one pool."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def top(self, weeks: slice, total: float) -> tuple[list[TopDeal], float]:
        """The deals that ask most in ``weeks`` together, and the share of ``total`` that is not theirs."""
        effort = self._expected(weeks).sum(axis=0, keepdims=True)
        (named,), (others,) = self._named(effort, np.array([total]))
        return named, others

    def each_week(self, weeks: range, total: Floats) -> tuple[list[list[TopDeal]], list[float]]:
        """The same for every one of ``weeks`` by itself; ``total`` is by week of the axis."""
        chosen = slice(weeks.start, weeks.stop)
        return self._named(self._expected(chosen), total[chosen])

    def _expected(self, weeks: slice) -> Floats:
        """What is expected of each deal, by week and deal."""
        lines = self._lines
        by_line = lines.shapes.mean[:, weeks].T.take(lines.shape, axis=1)
        by_line *= lines.units * lines.probability
        return by_line if len(lines.first) == len(lines) else np.add.reduceat(by_line, lines.first, axis=1)

    def _named(self, effort: Floats, total: Floats) -> tuple[list[list[TopDeal]], list[float]]:
        """By row of ``effort``, which is used up; the first deal comes first where two ask the same."""
        if not effort.shape[1]:
            return [[] for _ in total], np.where(total > 0, 1.0, 0.0).tolist()
        order, largest = _largest(effort)
        week, rank = np.nonzero(((largest > _NOTHING) & (total > 0)).T)
        deal, asked, whole = order[rank, week], largest[rank, week], total[week]
        lines, line = self._lines, self._main[deal]
        table = np.array([asked, np.minimum(asked / whole, 1.0), lines.probability[line]])
        amounts, shares, chances = figures(table)
        shared = np.bincount(week, shares, len(total))
        others = figures(np.where(total > 0, np.maximum(1.0 - shared, 0.0), 0.0)).tolist()
        names = map(lines.deals.__getitem__, deal.tolist())
        products = map(lines.products.__getitem__, lines.group[line].tolist())
        tops = list(map(TopDeal, names, amounts.tolist(), shares.tolist(), chances.tolist(), products))
        ends = np.searchsorted(week, np.arange(len(total) + 1)).tolist()
        return [tops[begin:end] for begin, end in pairwise(ends)], others

    @cached_property
    def _main(self) -> Places:
        """The line of each deal that asks most."""
        lines = self._lines
        if len(lines.first) == len(lines):
            return lines.first
        order = np.lexsort((np.arange(len(lines)), -lines.effort, lines.deal))
        return np.asarray(order[lines.first])


def _largest(effort: Floats) -> tuple[Places, Floats]:
    """The places of the ``TOP`` largest of each row of ``effort``, and what they are; largest first.

    Of two that are the same the earlier comes first. ``effort`` is used up.
    """
    rows = np.arange(len(effort))
    found = min(TOP, effort.shape[1])
    order, largest = np.empty((found, len(effort)), np.intp), np.empty((found, len(effort)))
    for rank in range(found):
        order[rank] = best = effort.argmax(axis=1)
        largest[rank] = effort[rows, best]
        effort[rows, best] = -1.0
    return order, largest
