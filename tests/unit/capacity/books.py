"""Books and projections of deals, without a broker."""

from collections.abc import Mapping
from datetime import UTC, datetime

from services.capacity.domain import contribution
from services.capacity.domain.book import Book
from services.capacity.domain.cells import Cells
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.cell import Cell, Mark
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position

NOW = datetime(2026, 3, 30, 8, tzinfo=UTC)
"""A Monday, the first day of 2026-W14."""


class Partition:
    """One deals partition and its fold, which tells a book."""

    def __init__(self, book: Book, partition: int = 0, generation: int = 0) -> None:
        self._book, self._partition, self._generation = book, partition, generation
        self._cells = Cells()
        self._upto = generation

    def put(self, deals: Mapping[str, bytes | None]) -> set:
        """Fold these, flush, and answer the keys that changed in the book."""
        for deal_id, raw in deals.items():
            self._cells.put(deal_id, contribution.decode(raw) if raw is not None else None)
            self._upto += 1
        for state in self._cells.changed():
            self._book.stage(
                Cell(
                    partition=self._partition,
                    generation=self._generation,
                    key=state.key,
                    own=state.own,
                    stage=state.stage,
                    listed=state.listed,
                    members=state.members,
                )
            )
        return self._book.apply(
            Mark(partition=self._partition, generation=self._generation, upto=self._upto, taken=self._upto)
        )


def projected(plan: Plan, deals: Mapping[str, bytes | None], now: datetime = NOW) -> Frame:
    """The complete frame of a projection from nothing."""
    projector = Projector()
    projector.cells_changed(Partition(projector.book).put(deals))
    made = projector.project(now, PlanInForce("small@1", plan))
    assert made is not None
    assert made.complete
    return made


def by_week(frame: Frame, pool: str = "eng") -> dict[str, Position]:
    return {row.week: row for row in frame.positions if row.pool == pool}
