"""Rows become dated events, and nothing of the future is in them."""
# ruff: noqa: E501 — one event a line.

from collections import Counter
from datetime import date, timedelta
from statistics import median_low
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom.load_events import Loadable
from tests.unit.load.files import HEADER, MAPPING, ROWS, load

DAY = date(2025, 1, 1)


def told(found: Loadable) -> list[tuple[str, str, dict[str, Any]]]:
    return [(event.body["time"][:10], event.body["id"], event.body["data"]) for event in found.events]


def test_each_row_says_its_events_in_the_order_of_their_days() -> None:
    pro, widget = [{"product": "Widget Pro", "quantity": 1}], [{"product": "Widget", "quantity": 1}]
    assert told(load(ROWS)) == [
        ("2025-01-01", "a/engaged", {"account": "Acme", "stage": "Open", "engaged": "2025-01-01", "close": "2025-01-31", "lines": pro}),
        ("2025-01-01", "d/prospected", {"stage": "Prospect", "lines": widget}),
        ("2025-01-02", "b/engaged", {"stage": "Open", "engaged": "2025-01-02", "close": "2025-02-01", "lines": widget}),
        ("2025-01-11", "a/closed", {"account": "Acme", "stage": "Won", "close": "2025-01-11", "amount": 900, "lines": pro}),
        ("2025-01-20", "e/engaged", {"stage": "Open", "engaged": "2025-01-20", "close": "2025-02-19", "lines": pro}),
        ("2025-01-22", "b/closed", {"stage": "Lost", "close": "2025-01-22", "lines": widget}),
        ("2025-02-01", "c/engaged", {"account": "Acme", "stage": "Open", "engaged": "2025-02-01", "close": "2025-02-11", "lines": widget}),
        ("2025-02-19", "e/closed", {"stage": "Won", "close": "2025-02-19", "amount": 1000, "lines": pro}),
    ]  # fmt: skip


def test_an_event_is_a_cloudevent_of_the_deal() -> None:
    body = load(ROWS).events[0].body
    assert {name: body[name] for name in body if name != "data"} == {
        "specversion": "1.0",
        "id": "a/engaged",
        "source": "csv:tiny",
        "type": "com.headroom.deal.changed",
        "subject": "a",
        "time": "2025-01-01T00:00:00Z",
        "sequence": "0",
        "datacontenttype": "application/json",
    }


def test_of_two_events_of_one_day_the_later_in_the_mapping_has_the_higher_sequence() -> None:
    events = load(["x,Widget,,Won,2025-01-01,2025-01-01,5"]).events
    assert [(event.body["id"], event.body["sequence"]) for event in events] == [("x/engaged", "0"), ("x/closed", "1")]


@pytest.mark.parametrize(
    ("as_of", "sent", "later", "ids"),
    [
        ("2024-12-31", 0, 5, []),
        ("2025-01-01", 2, 3, ["a/engaged", "d/prospected"]),
        ("2025-01-21", 4, 1, ["a/engaged", "d/prospected", "b/engaged", "a/closed", "e/engaged"]),
        (None, 5, 0, [event.body["id"] for event in load(ROWS).events]),
    ],
)
def test_as_of_a_day_later_rows_do_not_exist_and_later_closes_are_open(
    as_of: str | None, sent: int, later: int, ids: list[str]
) -> None:
    found = load(ROWS, as_of)
    assert (found.sent, found.later, [event.body["id"] for event in found.events]) == (sent, later, ids)
    assert len(found.events) + found.held_back == len(load(ROWS).events)
    assert Counter(event.body["id"].partition("/")[2] for event in found.events) == Counter(found.by_event)


def test_other_formats_of_days_and_truth_are_read() -> None:
    text = MAPPING.replace("id: id\n", "id: id\ndate_format: '%d.%m.%Y'\n").replace(
        "account: account", "custom: account"
    )
    (event,) = load(["x,Widget,yes,Open,03.02.2025,,"], text=text).events
    assert event.day == date(2025, 2, 3)
    assert event.body["data"]["custom"] is True
    (rejected,) = load(["x,Widget,perhaps,Open,03.02.2025,,"], text=text).rejected
    assert rejected.reason == "account is 'perhaps', not true or false"


# -- rows as hypothesis makes them: (stage, day begun, days it took)

rows = st.lists(
    st.tuples(st.sampled_from(["Open", "Won", "Lost", "Prospect", "Nonsense"]), st.integers(0, 40), st.integers(0, 30)),
    max_size=30,
)


def csv_of(made: list[tuple[str, int, int]]) -> list[str]:
    lines = []
    for number, (stage, begun, took) in enumerate(made):
        began, ended = DAY + timedelta(begun), DAY + timedelta(begun + took)
        days = {"Open": f"{began},", "Prospect": ","}.get(stage, f"{began},{ended}")
        lines.append(f"r{number},Widget,,{stage},{days},{100 + number if stage == 'Won' else ''}")
    return lines


@settings(deadline=None)
@given(rows, st.integers(-1, 80))
def test_every_row_is_sent_or_not_yet_or_rejected(made: list[tuple[str, int, int]], day: int) -> None:
    found = load(csv_of(made), (DAY + timedelta(day)).isoformat())
    assert found.rows == len(made) == found.sent + found.later + len(found.rejected)
    assert len(found.rejected) == sum(stage == "Nonsense" for stage, _, _ in made)
    assert found.sent == len({event.deal for event in found.events})


@given(rows)
@settings(max_examples=60, deadline=None)
def test_the_assumed_cycle_is_the_median_of_what_had_closed_before(made: list[tuple[str, int, int]]) -> None:
    closed = [(begun + took, took) for stage, begun, took in made if stage in {"Won", "Lost"}]
    for event in load(csv_of(made)).events:
        if event.body["id"].endswith("/engaged"):
            before = [took for end, took in closed if DAY + timedelta(end) < event.day]
            expected = median_low(before) if len(before) >= 2 else 30
            assert event.body["data"]["close"] == (event.day + timedelta(expected)).isoformat()


@settings(deadline=None)
@given(rows, rows, st.integers(0, 60))
def test_what_happens_after_a_day_never_changes_what_was_said_up_to_it(
    made: list[tuple[str, int, int]], other: list[tuple[str, int, int]], day: int
) -> None:
    """Rows not begun by the day are replaced, and those open on it end otherwise."""

    def otherwise(row: tuple[str, int, int]) -> tuple[str, int, int]:
        stage, begun, took = row
        if stage in {"Won", "Lost", "Open"} and begun <= day and (stage == "Open" or begun + took > day):
            return ("Lost" if stage == "Won" else "Won", begun, day - begun + 1 + took)
        return row

    past = [row for row in made if row[0] == "Prospect" or row[1] <= day]
    future = [(stage, begun + day + 1, took) for stage, begun, took in other if stage != "Prospect"]
    as_of = (DAY + timedelta(day)).isoformat()
    # A row on the first day fixes that day, which undated rows take.
    first = [("Open", 0, 0)]
    before = load(csv_of([*first, *past]), as_of)
    after = load(csv_of([*first, *map(otherwise, past), *future]), as_of)
    assert [event.body for event in after.events] == [event.body for event in before.events]


def test_reading_twice_gives_the_same_bytes() -> None:
    assert [event.body for event in load(ROWS).events] == [event.body for event in load(ROWS).events]


def test_a_file_with_a_header_only_comes_to_nothing() -> None:
    found = load([])
    assert (found.rows, found.events, HEADER.count(",")) == (0, [], 6)
