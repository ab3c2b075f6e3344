"""Single lines of deals in and out of cells: what an overlay does to a fork of the book."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

import msgspec
import numpy as np

from services.capacity.domain.book import Book, BookCell
from services.capacity.domain.contribution import NO_LIST, NO_RATE, OF_STAGE, DealRecord, close_of, parts_of
from services.capacity.domain.sums import LISTED, OWN, STAGE, Sums
from shared.schemas.cell import CellKey, ListSums, Member, OwnSums, StageSums

Of = TypeVar("Of", OwnSums, StageSums, ListSums)


class DealLine(NamedTuple):
    """One line of a deal as its cell holds it; ``p`` None: its stage's, ``listed`` None: it brings no list price.

    ``no_rate``: its money is left out. It counts ``times`` over: an overlay may ask for a third more deals like it.
    """

    deal: str
    line: int
    key: CellKey
    q: float
    p: float | None
    net: float
    listed: float | None
    arr: float
    close: str
    no_rate: bool = False
    times: float = 1.0


def lines_of(deal: str, record: DealRecord) -> list[DealLine]:
    """The lines of a deal, each with the cell that it counts in; none of a deleted one."""
    week, month, day = close_of(record.close)
    found = []
    for number, (kind, q, p, net, listed, arr) in enumerate(parts_of(record)):
        key = CellKey(*kind, record.stage or "", week, month)  # type: ignore[arg-type]
        own, price = None if p == OF_STAGE else p, listed if np.isfinite(listed) else None
        found.append(DealLine(deal, number, key, q, own, net, price, arr, day, listed == NO_RATE))
    return found


def put_in(book: Book, lines: Iterable[DealLine]) -> set[CellKey]:
    """Add lines to their cells; answers the cells that changed."""
    return _change(book, lines, 1)


def take_out(book: Book, lines: Iterable[DealLine]) -> set[CellKey]:
    """Take lines out of their cells; answers the cells that changed. Raises ``NotInBook`` and changes nothing then."""
    lines = list(lines)
    for line in lines:
        if not is_in(book, line):
            raise NotInBook(line.deal)
    return _change(book, lines, -1)


def unnamed(book: Book, lines: Iterable[DealLine]) -> list[DealLine]:
    """Those of ``lines`` that are in cells too large to name them."""
    cells = [(line, book.cell(line.key)) for line in lines]
    return [
        line
        for line, cell in cells
        if cell is not None and is_in(book, line) and not any(_is(member, line) for member in cell.members)
    ]


def name_in(book: Book, lines: Iterable[DealLine]) -> set[CellKey]:
    """Let cells name these lines, which they sum already but do not name; answers the cells."""
    changed = set()
    for line in lines:
        cell = book.cell(line.key)
        assert cell is not None, "what is not named is still in a cell"
        book.put(line.key, msgspec.structs.replace(cell, members=_members(cell, [line])))
        changed.add(line.key)
    return changed


class NotInBook(Exception):
    """The book does not hold a deal as it is said to be: it holds what the deal was before, or not even that."""

    def __init__(self, deal: str) -> None:
        super().__init__(deal)
        self.deal = deal


def is_in(book: Book, line: DealLine) -> bool:
    """Whether the book holds this line, as far as its cell tells: small lines of large cells are not named."""
    cell = book.cell(line.key)
    if cell is None:
        return False
    for member in cell.members:
        if _is(member, line):
            return (member.q, member.p, member.net, member.close) == (line.q, line.p, line.net, line.close)
    return len(cell.members) < cell.own.count + cell.stage.count


def _is(member: Member, line: DealLine) -> bool:
    return (member.deal, member.line) == (line.deal, line.line)


def _change(book: Book, lines: Iterable[DealLine], sign: int) -> set[CellKey]:
    by_key: dict[CellKey, list[DealLine]] = {}
    for line in lines:
        by_key.setdefault(line.key, []).append(line)
    for key, own in by_key.items():
        cell, sums = book.cell(key), sums_of(key, own, sign)
        members = _members(cell, own) if sign > 0 else _without(cell, own)
        total = sums if cell is None else together(cell, sums)
        there = total.own.count + total.stage.count > 0
        book.put(key, msgspec.structs.replace(total, members=members) if there else None)
    return set(by_key)


def sums_of(key: CellKey, lines: Sequence[DealLine], sign: int = 1) -> BookCell:
    """What lines of one cell sum to (or its negative), naming none."""
    total = _plain_sums(key, lines, sign)
    for line in lines:
        if line.times != 1.0:
            total = together(total, scaled(_plain_sums(key, [line], sign), line.times - 1.0))
    return total


def _plain_sums(key: CellKey, lines: Sequence[DealLine], sign: int) -> BookCell:
    """Each line counted once."""
    rows = np.array([(one.q, _or(one.p, OF_STAGE), one.net, _listed(one), one.arr) for one in lines])
    sums = Sums()
    sums.change(np.zeros(len(rows), np.intp), rows, np.full(len(rows), float(sign)))
    (row,) = sums.rows(np.zeros(1, np.intp))
    own, stage = row[OWN], row[STAGE]
    priced, listed, net, arr, no_rate, *weighted = row[LISTED]
    return BookCell(
        key,
        OwnSums(round(own[0]), *own[1:]),
        StageSums(round(stage[0]), *stage[1:]),
        ListSums(round(priced), listed, net, arr, round(no_rate), *weighted),
        (),
    )


def scaled(cell: BookCell, times: float) -> BookCell:
    """Every sum times a factor, naming none. Counts may become fractions: such a cell is never written."""
    own, stage, listed = (
        type(sums)(*(value * times for value in msgspec.structs.astuple(sums)))
        for sums in (cell.own, cell.stage, cell.listed)
    )
    return msgspec.structs.replace(cell, own=own, stage=stage, listed=listed, members=())


def _listed(line: DealLine) -> float:
    return NO_RATE if line.no_rate else _or(line.listed, NO_LIST)


def _or(value: float | None, missing: float) -> float:
    return missing if value is None else value


def together(one: BookCell, other: BookCell) -> BookCell:
    """Two cells as one, of the first's key; their members too."""
    members = tuple(sorted((*one.members, *other.members), key=_by_size))
    return BookCell(
        one.key,
        _added(one.own, other.own),
        _added(one.stage, other.stage),
        _added(one.listed, other.listed),
        members,
    )


def _added(one: Of, other: Of) -> Of:
    return type(one)(*map(sum, zip(msgspec.structs.astuple(one), msgspec.structs.astuple(other), strict=True)))


def _members(cell: BookCell | None, lines: Sequence[DealLine]) -> tuple[Member, ...]:
    # Less than one of a line is nobody's in particular.
    new = [
        Member(one.deal, one.line, one.q, one.p, one.net, one.close, one.no_rate) for one in lines if one.times >= 1.0
    ]
    return tuple(sorted((*(cell.members if cell is not None else ()), *new), key=_by_size))


def _without(cell: BookCell | None, lines: Sequence[DealLine]) -> tuple[Member, ...]:
    gone = {(line.deal, line.line) for line in lines}
    members = cell.members if cell is not None else ()
    return tuple(member for member in members if (member.deal, member.line) not in gone)


def _by_size(member: Member) -> tuple[float, str, int]:
    return -member.q, member.deal, member.line
