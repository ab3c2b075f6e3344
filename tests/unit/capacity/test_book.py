"""Half a flush is never seen, and what a replaced owner left behind is void."""

import pytest

from services.capacity.domain.book import Book
from shared.schemas.cell import Cell, CellKey, ListSums, Mark, Member, OwnSums, StageSums

A = CellKey("basic", "", False, "new", "units", "won", "2026-W14", "2026-04")
B = CellKey("extra", "", False, "new", "units", "won", "2026-W14", "2026-04")


def cell(key: CellKey, q: float, partition: int = 0, generation: int = 0) -> Cell:
    members = [Member(f"crm/{partition}", 0, q, None, 0.0, "2026-04-01")] if q else []
    stage = StageSums(len(members), q, q * q, q**3, 0.0)
    return Cell(
        partition=partition,
        generation=generation,
        key=key,
        own=OwnSums(),
        stage=stage,
        listed=ListSums(),
        members=members,
    )


def mark(partition: int = 0, generation: int = 0, upto: int = 1) -> Mark:
    return Mark(partition=partition, generation=generation, upto=upto)


def quantity(book: Book, key: CellKey) -> float | None:
    found = book.cell(key)
    return None if found is None else found.stage.q


def test_cells_count_from_their_mark_on():
    book = Book()
    book.stage(cell(A, 1.0))
    assert quantity(book, A) is None
    assert book.apply(mark()) == {A}
    assert quantity(book, A) == 1.0
    book.stage(cell(A, 0.0))
    book.stage(cell(B, 1.0))
    assert (quantity(book, A), quantity(book, B)) == (1.0, None)
    assert book.apply(mark()) == {A, B}
    assert (quantity(book, A), quantity(book, B)) == (None, 1.0)


def test_a_mark_speaks_for_its_partition_only():
    book = Book()
    book.stage(cell(A, 1.0, partition=0))
    book.stage(cell(A, 2.0, partition=1))
    assert book.apply(mark(partition=1)) == {A}
    assert quantity(book, A) == 2.0
    assert book.apply(mark(partition=0)) == {A}
    found = book.cell(A)
    assert found is not None
    assert (found.stage.q, found.stage.q2, found.stage.count) == (3.0, 5.0, 2)
    assert [member.deal for member in found.members] == ["crm/1", "crm/0"]


def test_a_new_owner_who_confirms_the_same_changes_nothing():
    book = Book()
    book.stage(cell(A, 1.0))
    book.apply(mark())
    book.stage(cell(A, 1.0, generation=5))
    assert book.apply(mark(generation=5)) == set()
    assert quantity(book, A) == 1.0


def test_a_mark_of_a_higher_generation_voids_what_it_does_not_confirm():
    book = Book()
    book.stage(cell(A, 1.0))
    book.stage(cell(B, 1.0, partition=1))
    book.apply(mark())
    book.apply(mark(partition=1))
    book.stage(cell(B, 1.0, generation=5))
    # Until the new owner speaks, the old cell stands: no dip.
    assert quantity(book, A) == 1.0
    assert book.apply(mark(generation=5)) == {A, B}
    assert (quantity(book, A), quantity(book, B)) == (None, 2.0)


def test_a_reader_of_a_compacted_log_voids_them_too():
    book = Book()
    # A was last written in generation 0, B in 5; only the last mark is left.
    book.stage(cell(A, 1.0, generation=0))
    book.stage(cell(B, 1.0, generation=5))
    assert book.apply(mark(generation=5)) == {B}
    assert quantity(book, A) is None


@pytest.mark.parametrize("again", [False, True])
def test_a_tombstone_is_as_good_as_zeros(again):
    book = Book()
    book.stage(cell(A, 1.0))
    book.apply(mark())
    if again:
        book.stage(cell(A, 0.0))
        book.apply(mark())
    book.drop(0, A)
    assert book.apply(mark()) == (set() if again else {A})
    assert list(book) == []
