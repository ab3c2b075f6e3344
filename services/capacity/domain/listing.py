"""The deals that are listed apart because the plan cannot count them as it counts others."""

from datetime import date
from math import fsum
from typing import Final, NamedTuple

from services.capacity.domain.book import BookCell
from services.capacity.domain.rounding import figure
from services.capacity.domain.timing import listed_because
from shared.schemas.cell import CellKey
from shared.schemas.frame import ListedCount, ListedDeal
from shared.schemas.plan import Plan

MOST: Final = 1000
"""Deals listed at most, those with the largest value; a cell names its largest only."""

NO_RATE: Final = "no-rate"
UNUSED: Final = "unused-report"
"""Something was reported of the deal that no named line of it can take up."""


class _Listed(NamedTuple):
    """Lines of one cell that are listed for one reason: those it names, how many it does not, what all are worth."""

    reason: str
    named: tuple[tuple[str, float], ...]
    unnamed: int
    value: float


class Listing:
    """The list under one plan on one day, kept up with the book."""

    def __init__(self, plan: Plan, today: date) -> None:
        self._plan, self._today = plan, today
        self._by_cell: dict[CellKey, list[_Listed]] = {}
        self._unused: list[str] = []
        self._changed = True
        self._list: list[ListedDeal] = []
        self._counts: list[ListedCount] = []

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now has these members; None: it is gone."""
        listed = _listed(key, cell, self._plan, self._today) if cell is not None else []
        if listed:
            self._changed |= self._by_cell.get(key) != listed
            self._by_cell[key] = listed
        else:
            self._changed |= self._by_cell.pop(key, None) is not None

    def unused(self, deals: list[str]) -> None:
        """What was reported of these deals is of no use; replaces those named before."""
        self._changed |= deals != self._unused
        self._unused = deals

    def deals(self) -> list[ListedDeal]:
        """Each deal once for each reason, with what its lines are worth in the plan's currency; largest first."""
        self._refresh()
        return self._list

    def counts(self) -> list[ListedCount]:
        """How many deals are listed by reason, named or not, and what they are worth."""
        self._refresh()
        return self._counts

    def _refresh(self) -> None:
        if not self._changed:
            return
        self._changed = False
        worth: dict[tuple[str, str], float] = {(deal, UNUSED): 0.0 for deal in self._unused}
        unnamed: dict[str, int] = {}
        values: dict[str, list[float]] = {}
        for rows in self._by_cell.values():
            for row in rows:
                for deal, net in row.named:
                    worth[deal, row.reason] = worth.get((deal, row.reason), 0.0) + net
                unnamed[row.reason] = unnamed.get(row.reason, 0) + row.unnamed
                values.setdefault(row.reason, []).append(row.value)
        number = dict(unnamed)
        for _, reason in worth:
            number[reason] = number.get(reason, 0) + 1
        self._counts = [
            ListedCount(reason, number[reason], figure(fsum(values.get(reason, ())))) for reason in sorted(number)
        ]
        largest = sorted(worth.items(), key=lambda item: (-item[1], item[0]))[:MOST]
        self._list = [ListedDeal(deal, reason, figure(net)) for (deal, reason), net in largest]


def _listed(key: CellKey, cell: BookCell, plan: Plan, today: date) -> list[_Listed]:
    found = []
    lines = cell.own.count + cell.stage.count
    if (reason := listed_because(key, plan, today)) is not None:
        named = tuple((member.deal, member.net) for member in cell.members)
        found.append(_Listed(reason, named, max(lines - len(named), 0), cell.own.net + cell.stage.net))
    stage = plan.stages.get(key.stage)
    if cell.listed.no_rate and (stage is None or stage.class_ != "lost"):
        bare = tuple((member.deal, 0.0) for member in cell.members if member.no_rate)
        found.append(_Listed(NO_RATE, bare, max(cell.listed.no_rate - len(bare), 0), 0.0))
    return found
