"""Deals whose currency has no rate: quantities count, their money is left out, and they are listed; and what is counted
of what is listed beyond the deals that cells name."""

import json
from typing import Any

import msgspec
import pytest

from services.capacity.domain.contribution import ABSURD
from shared.schemas import cell as cells
from shared.schemas.deal import Line
from shared.schemas.frame import Frame, ListedCount
from tests.unit.capacity.books import by_week, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, tethered, work_pool

LINE = Line("basic", quantity=3.0, amount=900.0, list_amount=1000.0, arr=300.0)
PLAN = tethered(10.0, 100.0)


def listed(frame: Frame) -> list[tuple[str, str, float]]:
    return [(row.deal, row.reason, row.exposure) for row in frame.listed or ()]


def counts(frame: Frame) -> list[ListedCount]:
    return list(frame.listed_counts or ())


def test_quantities_count_money_is_left_out_and_the_deal_is_listed() -> None:
    found = projected(PLAN, {"crm/1": deal(1, LINE, stage="won", currency="USD")})
    assert by_week(found)["2026-W14"].booked == 30.0
    assert [(state.units, state.value) for state in found.bookings or ()] == [(pytest.approx(3 / (8 / 7)), 0.0)] * 2
    assert listed(found) == [("crm/1", "no-rate", 0.0)]
    assert counts(found) == [ListedCount("no-rate", 1)]


@pytest.mark.parametrize(
    ("line", "more"),
    [
        (LINE, {"currency": "USD", "rate": 0.9}),
        (LINE, {}),
        (LINE, {"currency": "USD", "stage": "lost"}),
        # Nothing is left out where there is no money.
        (Line("basic", quantity=3.0), {"currency": "USD"}),
    ],
)
def test_not_listed(line: Line, more: dict[str, Any]) -> None:
    assert listed(projected(PLAN, {"crm/1": deal(1, line, **more)})) == []


def test_an_amount_without_a_rate_is_no_quantity() -> None:
    products = {
        "basic": {"list_price": 100.0, "quantity": {"from": "amount"}, "needs": [{"pool": "eng", "effort": 1.0}]}
    }
    said = plan({"eng": work_pool(100.0)}, products)
    found = projected(said, {"crm/1": deal(1, Line("basic", amount=500.0), stage="won", currency="USD")})
    assert sum(row.booked for row in found.positions) == 0.0
    assert listed(found) == [("crm/1", "no-rate", 0.0)]


def test_a_deal_may_be_listed_for_several_reasons() -> None:
    found = projected(PLAN, {"crm/1": deal(1, Line("other", amount=5.0), currency="USD")})
    assert {(one, reason) for one, reason, _ in listed(found)} == {("crm/1", "no-rate"), ("crm/1", "unknown-product")}


def test_more_deals_than_a_cell_names_are_counted_with_all_their_value() -> None:
    many = {f"crm/{n}": deal(n, Line("other", quantity=1.0, amount=10.0)) for n in range(50)}
    many |= {f"crm/{n}": deal(n, Line("other", quantity=1.0, amount=10.0), currency="USD") for n in range(50, 100)}
    found = projected(PLAN, many)
    assert counts(found) == [ListedCount("no-rate", 50), ListedCount("unknown-product", 100, 500.0)]
    assert len(listed(found)) <= 64


def test_a_deal_of_several_lines_is_one() -> None:
    lines = [Line("other", quantity=1.0, amount=1.0), Line("another", quantity=1.0, amount=2.0)]
    assert counts(projected(PLAN, {"crm/1": deal(1, *lines)})) == [ListedCount("unknown-product", 1, 3.0)]


def test_cells_of_an_earlier_version_say_nothing_of_rates() -> None:
    key = cells.CellKey("basic", "", False, "new", "units", "won", "2026-W14", "2026-04")
    new = cells.Cell(
        partition=0,
        generation=1,
        key=key,
        own=cells.OwnSums(),
        stage=cells.StageSums(1, 1.0, 1.0, 1.0, 5.0),
        listed=cells.ListSums(1, 6.0, 5.0, 0.0, 1),
        members=[cells.Member("crm/1", 0, 1.0, None, 5.0, "2026-04-01", True)],
    )
    record = json.loads(cells.encode(new))
    assert cells.decode_cell(json.dumps(record).encode()) == new
    del record["listed"][4:], record["members"][0][-1]
    old = cells.decode_cell(msgspec.json.encode(record))
    assert (old.listed.no_rate, old.members[0].no_rate, old.listed.net) == (0, False, 5.0)


@pytest.mark.parametrize(
    ("quantity", "amount", "hours", "value"),
    [
        (-3.0, 100.0, 0.0, 100.0),
        (2.0, -100.0, 20.0, -100.0),
        (1e300, 1.0, ABSURD * 10, 1.0),
        (1.0, -1e300, 10.0, -ABSURD),
        (None, -50.0, 10.0, -50.0),
    ],
)
def test_absurd_and_negative_figures(quantity: float | None, amount: float, hours: float, value: float) -> None:
    found = projected(PLAN, {"crm/1": deal(1, Line("basic", quantity=quantity, amount=amount), stage="won")})
    assert by_week(found)["2026-W14"].booked == pytest.approx(hours)
    assert (found.bookings or [])[0].value == pytest.approx(value / (8 / 7))
    assert all(row.overload in (0.0, 1.0) for row in found.positions)
