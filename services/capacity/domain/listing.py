"""The deals that are listed apart because the plan cannot count them as it counts others."""

from datetime import date
from typing import Final

from services.capacity.domain.book import BookCell
from services.capacity.domain.rounding import figure
from services.capacity.domain.timing import listed_because
from shared.schemas.cell import CellKey
from shared.schemas.frame import ListedDeal
from shared.schemas.plan import Plan

MOST: Final = 1000
"""Deals listed at most, those with the largest value; a cell names its largest only."""


class Listing:
    """The list under one plan on one day, kept up with the book."""

    def __init__(self, plan: Plan, today: date) -> None:
        self._plan, self._today = plan, today
        self._by_cell: dict[CellKey, list[tuple[str, str, float]]] = {}
        self._changed = True
        self._list: list[ListedDeal] = []

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now has these members; None: it is gone."""
        reason = listed_because(key, self._plan, self._today) if cell is not None else None
        if cell is None or reason is None:
            self._changed |= self._by_cell.pop(key, None) is not None
        else:
            rows = [(member.deal, reason, member.net) for member in cell.members]
            self._changed |= self._by_cell.get(key) != rows
            self._by_cell[key] = rows

    def deals(self) -> list[ListedDeal]:
        """Each deal once for each reason, with what its lines are worth in the plan's currency; largest first."""
        if self._changed:
            worth: dict[tuple[str, str], float] = {}
            for rows in self._by_cell.values():
                for deal, reason, net in rows:
                    worth[deal, reason] = worth.get((deal, reason), 0.0) + net
            largest = sorted(worth.items(), key=lambda item: (-item[1], item[0]))[:MOST]
            self._list = [ListedDeal(deal, reason, figure(net)) for (deal, reason), net in largest]
            self._changed = False
        return self._list
