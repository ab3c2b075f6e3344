"""The fold's sums against exact recomputation."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain import contribution
from services.capacity.domain.cells import Cells, CellState
from shared.schemas.deal import Line, encode
from tests.unit.capacity import oracle
from tests.unit.capacity.deals import DEALS, deal

EVENTS = st.lists(st.one_of(DEALS, st.sampled_from([f"crm/{n}" for n in range(6)])), max_size=40)


def put(book: Cells, deal_id: str, raw: bytes | None) -> None:
    book.put(deal_id, contribution.decode(raw) if raw is not None else None)


def by_key(states: Iterable[CellState]) -> dict[tuple, CellState]:
    return {tuple(getattr(s.key, f) for f in s.key.__struct_fields__): s for s in states}


def assert_equals(states: dict[tuple, CellState], expected: dict[tuple, dict]) -> None:
    assert {key for key, state in states.items() if state.members} == set(expected)
    for key, cell in expected.items():
        state = states[key]
        for part in ("own", "stage", "listed"):
            sums = getattr(state, part)
            for name, exact in cell[part].items():
                assert getattr(sums, name) == pytest.approx(float(exact), rel=1e-9, abs=0), (key, part, name)
        members = [(m.deal, m.line, m.q, m.p, m.net, m.close, m.no_rate) for m in state.members]
        assert members == cell["members"]


@settings(max_examples=200, deadline=None)
@given(events=EVENTS, looks=st.sets(st.integers(0, 40)))
def test_sums_equal_a_recompute_whatever_came_before_and_whenever_one_looks(events, looks):
    book, last, seen = Cells(), {}, {}
    for number, event in enumerate(events):
        deal_id, raw = (event, None) if isinstance(event, str) else (event.id, encode(event))
        last[deal_id] = raw
        put(book, deal_id, raw)
        if number in looks:
            seen.update(by_key(book.changed()))
    seen.update(by_key(book.changed()))
    expected = oracle.cells_of(last)
    # What was told in pieces is the whole, and the whole told at once is the same.
    assert_equals(seen, expected)
    assert_equals(by_key(book.live()), expected)


@settings(max_examples=50, deadline=None)
@given(events=st.lists(DEALS, max_size=20), order=st.randoms())
def test_order_duplicates_and_replays_of_the_last_records_change_nothing(events, order):
    last = {event.id: encode(event) for event in events}
    straight, shuffled = Cells(), Cells()
    for deal_id, raw in last.items():
        put(straight, deal_id, raw)
    again = [*last.items(), *last.items()]
    order.shuffle(again)
    for deal_id, raw in again:
        put(shuffled, deal_id, raw)
    expected = oracle.cells_of(last)
    assert_equals(by_key(straight.live()), expected)
    assert_equals(by_key(shuffled.live()), expected)


@given(before=DEALS, after=DEALS)
def test_a_deal_that_moves_changes_only_its_own_cells(before, after):
    book = Cells()
    for number in range(20, 30):
        put(book, f"crm/{number}", deal(number, Line("basic", quantity=1.0), Line("enterprise", quantity=2.0)))
    put(book, "crm/0", encode(before))
    list(book.changed())
    put(book, "crm/0", encode(after))
    own = set(oracle.cells_of({"crm/0": encode(before)})) | set(oracle.cells_of({"crm/0": encode(after)}))
    assert set(by_key(book.changed())) <= own


def test_the_same_said_again_changes_no_cell():
    book = Cells()
    put(book, "crm/1", deal(1, Line("basic", amount=5.0), name="A"))
    list(book.changed())
    put(book, "crm/1", deal(1, Line("basic", amount=5.0), name="B"))
    assert list(book.changed()) == []


def test_a_typing_error_taken_back_leaves_the_small_sums_as_they_were():
    book, last = Cells(), {}
    for number in range(20):
        last[f"crm/{number}"] = deal(number, Line("basic", quantity=1.0, probability=0.001 * (number + 1)))
        put(book, f"crm/{number}", last[f"crm/{number}"])
    put(book, "crm/99", deal(99, Line("basic", quantity=1e12, probability=0.3)))
    list(book.changed())
    put(book, "crm/99", None)
    assert_equals(by_key(book.changed()), oracle.cells_of(last))


def test_ten_thousand_changes_leave_no_drift():
    book, last = Cells(), {}
    for round_ in range(200):
        for number in range(50):
            quantity = 1.0 + ((number * 7919 + round_ * 104729) % 9973) / 37.0
            last[f"crm/{number}"] = deal(number, Line("basic", quantity=quantity, amount=quantity / 3, probability=0.1))
            put(book, f"crm/{number}", last[f"crm/{number}"])
        if round_ % 50 == 0:
            list(book.changed())
    assert_equals(by_key(book.changed()), oracle.cells_of(last))


def test_the_next_largest_member_comes_back_when_a_larger_one_leaves():
    book, last = Cells(), {}
    for number in range(100):
        last[f"crm/{number}"] = deal(number, Line("basic", quantity=float(number)))
        put(book, f"crm/{number}", last[f"crm/{number}"])
    list(book.changed())
    for number in (99, 80, 3):
        last[f"crm/{number}"] = None
        put(book, f"crm/{number}", None)
    (state,) = book.changed()
    assert [m.q for m in state.members][:3] == [98.0, 97.0, 96.0]
    assert_equals(by_key([state]), oracle.cells_of(last))


@pytest.mark.parametrize("sizes", [(1.0,), (1.0, 2.0), tuple(map(float, range(50)))])
@pytest.mark.parametrize(("count", "lines"), [(31, 1), (33, 3), (1001, 1)])
def test_of_many_lines_the_largest_are_named_and_of_one_size_the_first(sizes, count, lines):
    book, last = Cells(), {}
    for number in range(count):
        said = [Line("basic", quantity=sizes[(number * 7 + n) % len(sizes)]) for n in range(lines)]
        last[f"crm/{number}"] = deal(number, *said, *([Line("other", quantity=5.0)] if number % 3 == 0 else []))
        put(book, f"crm/{number}", last[f"crm/{number}"])
    assert_equals(by_key(book.changed()), oracle.cells_of(last))


@given(deals=st.lists(DEALS, max_size=8))
def test_a_deal_as_it_is_counts_like_its_record(deals):
    records, as_they_are = Cells(), Cells()
    for each in deals:
        records.put(each.id, contribution.decode(encode(each)))
        as_they_are.put(each.id, each)
    assert list(as_they_are.changed()) == list(records.changed())


@pytest.mark.parametrize(
    ("line", "more", "basis", "q", "net"),
    [
        (Line("basic", quantity=3.0, amount=10.0), {}, "units", 3.0, 10.0),
        (Line("basic", amount=10.0), {}, "amount", 10.0, 10.0),
        (Line("basic"), {"amount": 8.0}, "amount", 8.0, 8.0),
        (Line("basic"), {}, "amount", 0.0, 0.0),
        (Line("basic", amount=10.0), {"currency": "USD", "rate": 0.9}, "amount", 9.0, 9.0),
        (Line("basic", quantity=2.0, amount=10.0), {"currency": "USD"}, "units", 2.0, 0.0),
        (Line("basic", amount=10.0), {"currency": "USD"}, "amount", 0.0, 0.0),
        (Line("basic", quantity=1e300), {}, "units", 1e15, 0.0),
    ],
)
def test_what_a_line_is_in_units_and_money(line, more, basis, q, net):
    book = Cells()
    put(book, "crm/1", deal(1, line, **more))
    (state,) = book.live()
    (member,) = state.members
    assert (state.key.basis, member.q, member.net) == (basis, q, net)


def test_a_deal_without_lines_counts_as_one_of_no_product():
    book = Cells()
    put(book, "crm/1", deal(1, amount=7.0))
    (state,) = book.live()
    assert (state.key.product, state.stage.net) == ("", 7.0)


@pytest.mark.parametrize("close", ["0001-01-01", "9999-12-31", "1969-12-31", "2026-02-30", "soon"])
def test_a_close_date_nobody_can_mean_counts_as_none(close):
    raw = deal(1, Line("basic", quantity=1.0)).replace(b"2026-04-01", close.encode())
    book = Cells()
    put(book, "crm/1", raw)
    (state,) = book.live()
    assert (state.key.week, state.key.month, state.members[0].close) == ("", "", "")


def test_a_deleted_deal_contributes_nothing():
    book = Cells()
    put(book, "crm/1", deal(1, Line("basic", quantity=1.0)))
    list(book.changed())
    put(book, "crm/1", deal(1, Line("basic", quantity=1.0), deleted=True))
    (state,) = book.changed()
    assert (state.members, state.stage.count, state.stage.q) == ([], 0, 0.0)
    assert len(book) == 0
