"""The book: the cells of all deals partitions, taken over flush by flush.

Cells are staged by partition and count from their mark on, so half a flush is never seen. A mark also voids the cells
of its partition that are of a lower generation: their owner was replaced and nobody has confirmed them since.
"""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

import msgspec

from shared.schemas.cell import Cell, CellKey, ListSums, Mark, Member, OwnSums, StageSums

Sums = TypeVar("Sums", OwnSums, StageSums, ListSums)


class BookCell(msgspec.Struct, frozen=True):
    """One cell over all partitions; ``members`` are the largest of each partition, largest first."""

    key: CellKey
    own: OwnSums
    stage: StageSums
    listed: ListSums
    members: tuple[Member, ...]


class Book:
    """All cells that count, by key."""

    def __init__(self) -> None:
        self.marks: dict[int, Mark] = {}
        self._staged: dict[int, dict[CellKey, Cell | None]] = {}
        self._parts: dict[CellKey, dict[int, Cell]] = {}

    def __len__(self) -> int:
        return len(self._parts)

    def __iter__(self) -> Iterator[CellKey]:
        return iter(self._parts)

    def stage(self, cell: Cell) -> None:
        """``cell`` will count from its partition's next mark on."""
        self._staged.setdefault(cell.partition, {})[cell.key] = cell

    def drop(self, partition: int, key: CellKey) -> None:
        """A tombstone: the cell will be gone from the next mark on."""
        self._staged.setdefault(partition, {})[key] = None

    def apply(self, mark: Mark) -> set[CellKey]:
        """Let the staged cells of the mark's partition count; answers the keys whose sums may have changed."""
        partition = mark.partition
        before = self.marks.get(partition)
        self.marks[partition] = mark
        changed: set[CellKey] = set()
        for key, cell in self._staged.pop(partition, {}).items():
            if cell is None or not cell.members or cell.generation < mark.generation:
                self._remove(partition, [key], changed)
            else:
                parts = self._parts.setdefault(key, {})
                if (was := parts.get(partition)) is None or not _same_sums(was, cell):
                    changed.add(key)
                parts[partition] = cell
        if before is None or before.generation < mark.generation:
            void = [
                key
                for key, parts in self._parts.items()
                if partition in parts and parts[partition].generation < mark.generation
            ]
            self._remove(partition, void, changed)
        return changed

    def cell(self, key: CellKey) -> BookCell | None:
        """The cell summed over partitions, in their order; None when no partition has it."""
        parts = self._parts.get(key)
        if not parts:
            return None
        cells = [parts[partition] for partition in sorted(parts)]
        if len(cells) == 1:
            (one,) = cells
            return BookCell(key, one.own, one.stage, one.listed, tuple(one.members))
        return BookCell(
            key,
            _total([cell.own for cell in cells]),
            _total([cell.stage for cell in cells]),
            _total([cell.listed for cell in cells]),
            tuple(sorted((m for cell in cells for m in cell.members), key=lambda m: (-m.q, m.deal, m.line))),
        )

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """Let the cell sum to this, or to nothing, whatever its partitions say: for a book that is a fork."""
        self._parts.pop(key, None)
        if cell is not None:
            own, stage, listed, members = cell.own, cell.stage, cell.listed, list(cell.members)
            one = Cell(partition=0, generation=0, key=key, own=own, stage=stage, listed=listed, members=members)
            self._parts[key] = {0: one}

    def _remove(self, partition: int, keys: Iterable[CellKey], changed: set[CellKey]) -> None:
        for key in keys:
            parts = self._parts.get(key)
            if parts is not None and parts.pop(partition, None) is not None:
                changed.add(key)
                if not parts:
                    del self._parts[key]


_SUMS: Final = ("own", "stage", "listed", "members")


def _same_sums(one: Cell, other: Cell) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _SUMS)


def _total(sums: list[Sums]) -> Sums:
    columns = zip(*(msgspec.structs.astuple(each) for each in sums), strict=True)
    return type(sums[0])(*(sum(column) for column in columns))
