"""What is kept from change to change — the margin table, a group's weights — is what it would be made anew."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain import margin
from services.capacity.domain.axis import axis_of
from services.capacity.domain.book import Book
from services.capacity.domain.demand import Demand
from services.capacity.domain.margin import ASKING, GROUP, Margins, RowKey
from services.capacity.domain.tethers import Tethers
from shared.schemas.cell import CellKey
from shared.schemas.deal import Line
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool

PLAN = plan(
    {"eng": work_pool(100.0)},
    {name: {"needs": [{"pool": "eng", "effort": 4.0, "curve": {"shape": "flat", "weeks": 2}}]} for name in "abc"},
)
AXIS = axis_of(PLAN, NOW)
CHANGES = st.tuples(
    st.integers(0, 5),
    st.none()
    | st.tuples(
        st.sampled_from("abc"),
        st.sampled_from([1.0, 2.0, 5.5]),
        st.sampled_from(["qualified", "pushed", "won", "lost"]),
        st.sampled_from(["2026-03-02", "2026-04-20", "2026-04-30", "2026-06-29", "2026-08-03"]),
    ),
    st.booleans(),
)


def raw(number: int, said: tuple[str, float, str, str] | None) -> bytes | None:
    if said is None:
        return None
    product, units, stage, close = said
    return deal(number, Line(product, quantity=units, amount=units * 100), stage=stage, close=close)


def table(margins: Margins) -> list[tuple[RowKey, list[float]]]:
    """The rows, without what is numbered in the order of coming."""
    numbers = np.delete(margins.numbers, [ASKING, GROUP], axis=1)
    return list(zip(margins.keys, numbers.tolist(), strict=True))


@pytest.mark.parametrize("few", [0, 2, 512])
def test_the_table_kept_up_is_the_table_made_anew(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(margin, "_FEW", few)

    @settings(deadline=None, max_examples=60)
    @given(st.lists(CHANGES, max_size=12))
    def kept_up_is_made_anew(changes: list) -> None:
        book, kept = Book(), Margins(PLAN, AXIS, Tethers(PLAN))
        partition = Partition(book)
        for number, said, looked_at in changes:
            for key in partition.put({f"crm/{number}": raw(number, said)}):
                kept.put(key, book.cell(key))
            if looked_at:
                table(kept)
        anew = Margins(PLAN, AXIS, Tethers(PLAN))
        for key in book:
            anew.put(key, book.cell(key))
        assert table(kept) == table(anew)
        groups = [tuple(key)[:6] for key in kept.keys]
        numbers = kept.numbers[:, GROUP].tolist()
        assert len(set(zip(groups, numbers, strict=True))) == len(set(groups)) == len(set(numbers))

    kept_up_is_made_anew()


@settings(deadline=None, max_examples=60)
@given(st.lists(CHANGES, max_size=12))
def test_what_a_pool_is_asked_is_the_same_kept_up_or_made_anew(changes: list) -> None:
    book, kept = Book(), Demand(PLAN, AXIS)
    partition = Partition(book)
    for number, said, looked_at in changes:
        for key in partition.put({f"crm/{number}": raw(number, said)}):
            kept.put(key, book.cell(key))
        if looked_at:
            _looked_at(kept)
    anew = Demand(PLAN, AXIS)
    keys: list[CellKey] = sorted(book, key=str, reverse=True)
    for key in keys:
        anew.put(key, book.cell(key))
    for found, wanted in zip(_looked_at(kept), _looked_at(anew), strict=True):
        assert np.array_equal(found, wanted)


def _looked_at(demand: Demand) -> list[np.ndarray]:
    demand.refresh()
    lines = demand.lines("eng")
    groups = [array for group in demand.groups("eng") for array in (group.moments, group.weights)]
    of_lines = [np.array(lines.deals), lines.units, lines.probability, lines.place, lines.expected]
    return [*demand.on("eng"), *demand.planned_on("eng"), *groups, *of_lines]
