"""Which deals ask most of a pool, week by week, and the largest of them as lumps."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.demand import Asker
from services.capacity.domain.lumps import LARGEST, Lump
from services.capacity.domain.rounding import figure
from shared.schemas.position import TopDeal

Floats = npt.NDArray[np.float64]

TOP: Final = 5
"""Deals named on a position or work item."""


class Askers:
    """The known deals that ask something of one pool, over the weeks of an axis.

    With ``since``, what is asked adds up from that week on, as with stocks and budgets.
    """

    def __init__(self, askers: Iterable[Asker], count: int, since: int | None = None) -> None:
        self._count, self._since = count, since
        by_deal: dict[str, list[Asker]] = {}
        for asker in askers:
            by_deal.setdefault(asker.deal, []).append(asker)
        self._deals = sorted(by_deal)
        self._lines = [by_deal[deal] for deal in self._deals]
        self.expected: Floats = self._expected()
        """By deal and week."""

    def top(self, weeks: slice, total: float) -> tuple[list[TopDeal], float]:
        """The deals that ask most in ``weeks`` together, and the share of ``total`` that is not theirs."""
        if total <= 0 or not self._deals:
            return [], 1.0 if total > 0 else 0.0
        effort = self.expected[:, weeks].sum(axis=1)
        order = [n for n in np.argsort(-effort, kind="stable")[:TOP].tolist() if effort[n] > 1e-9]
        named = [self._named(number, float(effort[number]), total) for number in order]
        return named, figure(max(1.0 - sum(deal.share for deal in named), 0.0))

    def lumps(self, week: int) -> tuple[list[Lump], list[Lump]]:
        """The largest uncertain deals of a week as lumps; and the lines they are made of, each as one of its own."""
        effort = self.expected[:, week] * self._uncertain
        order = [n for n in np.argsort(-effort, kind="stable")[:LARGEST].tolist() if effort[n] > 0]
        deals: list[Lump] = []
        lines: list[Lump] = []
        for number in order:
            uncertain = [asker for asker in self._lines[number] if asker.open]
            deals += _together(uncertain, week)
            lines += [lump for asker in uncertain if (lump := _asking(_outcomes(asker, week)))]
        return deals, lines

    def _expected(self) -> Floats:
        expected = np.zeros((len(self._deals), self._count))
        uncertain = np.zeros(len(self._deals))
        rows: dict[tuple[int, int], Floats] = {}
        for number, lines in enumerate(self._lines):
            for asker in lines:
                row = rows.get((id(asker.kernel), asker.place))
                if row is None:
                    row = rows[id(asker.kernel), asker.place] = self._row(asker)
                expected[number] += asker.probability * asker.units * row
                if asker.open and (asker.probability < 1 or len(asker.kernel.pushes) > 1):
                    uncertain[number] = 1.0
        self._uncertain = uncertain
        return expected

    def _row(self, asker: Asker) -> Floats:
        row = np.zeros(self._count)
        mean = asker.kernel.mean
        first, last = max(asker.place, 0), min(asker.place + len(mean), self._count)
        if first < last:
            row[first:last] = mean[first - asker.place : last - asker.place]
        if self._since is not None:
            row[: self._since] = 0.0
            row = np.cumsum(row)
        return row

    def _named(self, number: int, effort: float, total: float) -> TopDeal:
        lines = self._lines[number]
        largest = max(lines, key=lambda asker: asker.units * asker.probability * float(asker.kernel.mean.sum()))
        return TopDeal(
            deal=self._deals[number],
            effort=figure(effort),
            share=figure(min(effort / total, 1.0)),
            probability=figure(largest.probability),
            product=largest.product,
        )


def _outcomes(asker: Asker, week: int) -> list[tuple[float, float]]:
    return [
        (asker.probability * share, asker.units * effort) for share, effort in asker.kernel.outcomes(week - asker.place)
    ]


def _together(lines: list[Asker], week: int) -> list[Lump]:
    """Lines of one deal are won together and close together: their amounts add up, outcome by outcome."""
    alike: dict[tuple[float, tuple[float, ...], int], list[list[tuple[float, float]]]] = {}
    for asker in lines:
        key = (asker.probability, asker.kernel.pushes, asker.place)
        alike.setdefault(key, []).append(_outcomes(asker, week))
    sums = [
        [(outcomes[0][0], sum(amount for _, amount in outcomes)) for outcomes in zip(*each, strict=True)]
        for each in alike.values()
    ]
    return [lump for each in sums if (lump := _asking(each))]


def _asking(outcomes: Lump) -> Lump:
    return [(p, amount) for p, amount in outcomes if p > 0 and amount > 0]
