"""Which deals ask most of a pool, in each week and over the weeks of a work item."""

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.lines import Lines
from services.capacity.domain.rounding import figure, figures
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
        self._known: dict[int, tuple[str, float, str]] = {}
        self.expected: Floats = lines.expected
        """By deal and week."""

    def top(self, weeks: slice, total: float) -> tuple[list[TopDeal], float]:
        """The deals that ask most in ``weeks`` together, and the share of ``total`` that is not theirs."""
        effort = self.expected[:, weeks].sum(axis=1, keepdims=True)
        ((named, others),) = self._named(effort, np.array([total]))
        return named, others

    def each_week(self, weeks: range, total: Floats) -> list[tuple[list[TopDeal], float]]:
        """The same for every one of ``weeks`` by itself; ``total`` is by week of the axis."""
        chosen = slice(weeks.start, weeks.stop)
        return self._named(self.expected[:, chosen], total[chosen])

    def _named(self, effort: Floats, total: Floats) -> list[tuple[list[TopDeal], float]]:
        """By column of ``effort``; the first deal comes first where two ask the same."""
        if not len(effort):
            return [([], 1.0 if all_ > 0 else 0.0) for all_ in total.tolist()]
        order = _largest(effort)
        asked = np.take_along_axis(effort, order, axis=0)
        share = np.minimum(asked / np.where(total > 0, total, 1.0), 1.0)
        there = (asked > _NOTHING) & (total > 0)
        named = figures(share)
        others = figures(np.where(total > 0, np.maximum(1.0 - (named * there).sum(axis=0), 0.0), 0.0)).tolist()
        known = {deal: self._of(deal) for deal in np.unique(order[there]).tolist()}
        rows = zip(order.T.tolist(), figures(asked).T.tolist(), named.T.tolist(), there.T.tolist(), strict=True)
        found = []
        for (deals, efforts, shares, named_here), other in zip(rows, others, strict=True):
            each = zip(deals, efforts, shares, named_here, strict=True)
            tops = [
                TopDeal((said := known[deal])[0], amount, part, said[1], said[2])
                for deal, amount, part, is_there in each
                if is_there
            ]
            found.append((tops, other))
        return found

    def _of(self, deal: int) -> tuple[str, float, str]:
        """Name, and probability and product of the line that asks most."""
        known = self._known.get(deal)
        if known is None:
            lines, line = self._lines, int(self._main[deal])
            product = lines.products[int(lines.group[line])]
            known = self._known[deal] = (lines.deals[deal], figure(float(lines.probability[line])), product)
        return known

    @cached_property
    def _main(self) -> Places:
        """The line of each deal that asks most."""
        lines = self._lines
        order = np.lexsort((np.arange(len(lines)), -lines.effort, lines.deal))
        return np.asarray(order[lines.first])


def _largest(effort: Floats) -> Places:
    """The ``TOP`` largest of each column, largest first; the earlier row first where two are the same."""
    if len(effort) > 4 * TOP:
        least = -np.partition(-effort, TOP - 1, axis=0)[TOP - 1]
        # Rows that no column has among its largest need no sorting.
        rows = np.flatnonzero((effort >= least).any(axis=1) & (effort > _NOTHING).any(axis=1))
        if 0 < len(rows) < len(effort):
            return np.asarray(rows[np.argsort(-effort[rows], axis=0, kind="stable")[:TOP]])
    return np.argsort(-effort, axis=0, kind="stable")[:TOP]
