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
        self.expected: Floats = lines.expected
        """By deal and week."""

    def top(self, weeks: slice, total: float) -> tuple[list[TopDeal], float]:
        """The deals that ask most in ``weeks`` together, and the share of ``total`` that is not theirs."""
        effort = self.expected[:, weeks].sum(axis=1, keepdims=True)
        (named,), (others,) = self._named(effort, np.array([total]))
        return named, others

    def each_week(self, weeks: range, total: Floats) -> tuple[list[list[TopDeal]], list[float]]:
        """The same for every one of ``weeks`` by itself; ``total`` is by week of the axis."""
        chosen = slice(weeks.start, weeks.stop)
        return self._named(self.expected[:, chosen], total[chosen])

    def _named(self, effort: Floats, total: Floats) -> tuple[list[list[TopDeal]], list[float]]:
        """By column of ``effort``; the first deal comes first where two ask the same."""
        if not len(effort):
            return [[] for _ in total], np.where(total > 0, 1.0, 0.0).tolist()
        order = _largest(effort)
        largest = np.take_along_axis(effort, order, axis=0)
        column, rank = np.nonzero(((largest > _NOTHING) & (total > 0)).T)
        deal, asked, whole = order[rank, column], largest[rank, column], total[column]
        amounts, shares = figures(np.array([asked, np.minimum(asked / whole, 1.0)]))
        shared = np.bincount(column, shares, len(total))
        others = figures(np.where(total > 0, np.maximum(1.0 - shared, 0.0), 0.0)).tolist()
        known = dict(zip((asking := np.unique(deal)).tolist(), self._of(asking), strict=True))
        rows = zip(deal.tolist(), amounts.tolist(), shares.tolist(), strict=True)
        tops = [TopDeal((said := known[number])[0], amount, share, said[1], said[2]) for number, amount, share in rows]
        ends = np.searchsorted(column, np.arange(len(total) + 1)).tolist()
        return [tops[begin:end] for begin, end in pairwise(ends)], others

    def _of(self, deals: Places) -> list[tuple[str, float, str]]:
        """Of each deal its name, and probability and product of the line that asks most."""
        lines, line = self._lines, self._main[deals]
        names = [lines.deals[number] for number in deals.tolist()]
        products = [lines.products[number] for number in lines.group[line].tolist()]
        return list(zip(names, figures(lines.probability[line]).tolist(), products, strict=True))

    @cached_property
    def _main(self) -> Places:
        """The line of each deal that asks most."""
        lines = self._lines
        if len(lines.first) == len(lines):
            return lines.first
        order = np.lexsort((np.arange(len(lines)), -lines.effort, lines.deal))
        return np.asarray(order[lines.first])


def _largest(effort: Floats) -> Places:
    """The ``TOP`` largest of each column, largest first; the earlier row first where two are the same."""
    left = np.array(effort.T, order="C")
    columns = np.arange(len(left))
    order = np.empty((min(TOP, len(effort)), len(left)), np.intp)
    for rank in order:
        rank[:] = left.argmax(axis=1)
        left[columns, rank] = -1.0
    return order
