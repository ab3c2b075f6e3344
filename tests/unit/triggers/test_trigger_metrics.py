"""Metrics by hand and as properties: observed capacity, divergence, burn, stress, pace."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.burn import ALL_GONE, Slacks, burn, quarter_end, slack_by_week
from services.triggers.domain.metrics import Observed, change, divergence, pace, padding, stressed
from services.triggers.domain.table import Table
from shared.schemas.position import Position
from shared.schemas.week import week_of
from tests.unit.triggers.scenes import at, plan, position

AMOUNT = st.floats(0.1, 1e4)
Q2 = {"product": "enterprise", "from": "2026-04-01", "due": "2026-06-30", "quantity": 91.0, "linearity": [0.5, 0.5]}


# -- observed against reported


@pytest.mark.parametrize(
    ("observed", "capacity"),
    [
        pytest.param(Observed(), None, id="no signal"),
        pytest.param(Observed(throughput=80.0), None, id="throughput alone may be little work"),
        pytest.param(Observed(throughput=80.0, busy=0.8), 100.0, id="utilisation law"),
        pytest.param(Observed(throughput=80.0, busy=1.3), 80.0, id="nobody is busier than always"),
        pytest.param(Observed(throughput=1.0, busy=0.01), None, id="hardly busy says nothing"),
        pytest.param(Observed(throughput=80.0, waiting=200.0), 80.0, id="saturated: more than a week waits"),
        pytest.param(Observed(throughput=80.0, waiting=40.0), None, id="little waits"),
        pytest.param(Observed(throughput=80.0, turnaround=3.0), 80.0, id="saturated by Little's law"),
        pytest.param(Observed(throughput=80.0, turnaround=0.5), None, id="not saturated by Little's law"),
        pytest.param(Observed(busy=0.9, waiting=10.0), None, id="no throughput"),
    ],
)
def test_observed_capacity(observed: Observed, capacity: float | None) -> None:
    assert observed.capacity == (None if capacity is None else pytest.approx(capacity))


@given(AMOUNT, AMOUNT)
def test_littles_law_gives_what_is_not_observed(throughput: float, stay: float) -> None:
    waiting = Observed(throughput=throughput, turnaround=stay).in_pool
    assert waiting is not None
    assert Observed(throughput=throughput, waiting=waiting).stay == pytest.approx(stay)


@given(AMOUNT, AMOUNT, st.floats(0.05, 1.0))
def test_divergence_is_nought_exactly_where_the_report_is_right(stated: float, throughput: float, busy: float) -> None:
    observed = Observed(throughput=throughput, busy=busy)
    found = divergence(stated, observed)
    assert found is not None
    assert stated / (1 + found) == pytest.approx(throughput / busy)
    assert divergence(throughput / busy, observed) == pytest.approx(0.0, abs=1e-9)
    padded = padding(stated, observed)
    assert padded is not None
    assert (padded > 0) == (throughput > stated)


def test_what_is_not_stated_or_not_observed_diverges_from_nothing() -> None:
    assert divergence(None, Observed(throughput=1.0, busy=0.5)) is None
    assert divergence(100.0, Observed()) is None
    assert padding(0.0, Observed(throughput=1.0)) is None


@pytest.mark.parametrize(
    ("now", "before", "share"),
    [(15.0, 10.0, 0.5), (0.0, 10.0, -1.0), (1.0, None, None), (1.0, 0.0, None), (None, 1.0, None)],
)
def test_change(now: float | None, before: float | None, share: float | None) -> None:
    assert change(now, before) == share


# -- capacity burn


@pytest.mark.parametrize(
    ("day", "end"), [("2026-01-01", "2026-04-01"), ("2026-06-30", "2026-07-01"), ("2026-12-31", "2027-01-01")]
)
def test_quarters(day: str, end: str) -> None:
    assert quarter_end(date.fromisoformat(day)) == date.fromisoformat(end)


def test_slack_is_of_the_quarters_weeks_from_the_present_one_on() -> None:
    weeks = [position(ahead, 0.1, booked=60.0, base=10.0) for ahead in (-1, 0, 12, 13, 14)]
    assert slack_by_week(weeks, date(2026, 4, 1)) == {"2026-W14": 30.0, "2026-W26": 30.0, "2026-W27": 30.0}


@given(st.floats(1, 1000), st.integers(1, 60), st.integers(1, 91))
def test_spending_evenly_is_a_burn_of_one(slack: float, days: int, left: int) -> None:
    spent = slack * days / left
    assert burn({"w": slack - spent}, {"w": slack}, days=days, left=left) == pytest.approx(1.0)
    assert burn({"w": slack}, {"w": slack}, days=days, left=left) == 0.0


@pytest.mark.parametrize(
    ("now", "then", "rate"),
    [
        ({"a": 50.0, "b": 100.0}, {"a": 100.0, "b": 100.0, "past": 7.0}, 50 / (200 * 7 / 70)),
        ({"a": 100.0}, {"a": 50.0}, -1.0 / (7 / 70)),
        ({"a": -10.0}, {"a": 0.0}, ALL_GONE),
        ({"a": 0.0}, {"a": 0.0}, 0.0),
        ({"a": 1.0}, {"b": 1.0}, None),
    ],
)
def test_burn(now: dict[str, float], then: dict[str, float], rate: float | None) -> None:
    assert burn(now, then, days=7, left=70) == (None if rate is None else pytest.approx(rate))


def booked_from(day: int, amount: float) -> list[Position]:
    return [position(ahead, 0.1, booked=amount) for ahead in range(day // 7, 13)]


def walked(days: int, jump: int) -> tuple[Table, Slacks]:
    """Day by day from 6 April on, booked 40 of 100 hours a week until ``jump``, then 70."""
    table, slacks = Table(), Slacks()
    for day in range(days + 1):
        if table.whole:
            slacks.close(table, ["implementation"])
        table.apply(at(24 * (7 + day), *booked_from(7 + day, 70.0 if day >= jump else 40.0), complete=True))
    return table, slacks


def test_the_short_window_sees_a_jump_first_and_forgets_it_first() -> None:
    table, slacks = walked(6, 3)
    assert slacks.burn(table, "implementation").short is None, "there is not a week of history yet"
    table, slacks = walked(10, 8)
    at_once = slacks.burn(table, "implementation")
    assert at_once.short is not None
    assert at_once.short > 4
    table, slacks = walked(25, 8)
    later = slacks.burn(table, "implementation")
    assert later.short == 0.0
    assert later.long is not None
    assert later.long > 1


def test_a_new_quarter_begins_without_history() -> None:
    table, slacks = walked(25, 8)
    slacks.close(table, ["implementation"])
    july = [position(ahead, 0.1) for ahead in range(14, 20)]
    table.apply(at(24 * 95, *july, complete=True))
    assert slacks.burn(table, "implementation").short is None


# -- booking rate and what it stresses


def test_pace_goes_by_linearity_and_stops_with_the_milestone() -> None:
    made = plan(milestones={"q2": Q2})
    assert pace(made, "2026-W15") == pytest.approx(91 * 0.5 / (91 / 2 / 7))
    assert pace(made, "2026-W13") is None
    assert pace(made, "2026-W28") is None
    assert pace(made, "2026-W15", "enterprise") == pace(made, "2026-W15")
    assert pace(made, "2026-W15", "other") is None


@pytest.mark.parametrize(
    ("milestones", "week", "expected"),
    [
        pytest.param([("2026-04-01", "2026-06-30", 91.0)], "2026-W14", 7.0, id="begins on a Wednesday"),
        pytest.param([("2026-04-01", "2026-06-30", 91.0)], "2026-W27", 7.0, id="ends on a Tuesday"),
        pytest.param([("2026-04-05", "2026-04-05", 2.0)], "2026-W14", 14.0, id="one day, a Sunday"),
        pytest.param(
            [("2026-04-01", "2026-06-30", 91.0), ("2026-07-01", "2026-09-30", 184.0)],
            "2026-W27",
            2 * 1.0 + 5 * 2.0,
            id="one quarter follows another within the week",
        ),
        pytest.param(
            [("2026-03-30", "2026-04-05", 7.0), ("2026-04-01", "2026-04-07", 7.0)],
            "2026-W14",
            7 + 5.0,
            id="two at a time ask for both",
        ),
    ],
)
def test_pace_of_a_week_that_is_only_in_part_a_milestones(
    milestones: list[tuple[str, str, float]], week: str, expected: float
) -> None:
    made = plan(
        milestones={
            f"m{at}": {**Q2, "from": first, "due": last, "quantity": quantity, "linearity": [1.0]}
            for at, (first, last, quantity) in enumerate(milestones)
        }
    )
    assert pace(made, week) == pytest.approx(expected)


@given(first=st.dates(date(2026, 1, 1), date(2026, 12, 31)), weeks=st.integers(1, 20), more=st.integers(0, 6))
def test_the_paces_of_all_weeks_come_to_the_quantity(first: date, weeks: int, more: int) -> None:
    last = first + timedelta(weeks=weeks, days=more - 1)
    made = plan(milestones={"q2": {**Q2, "from": first.isoformat(), "due": last.isoformat(), "linearity": [1.0]}})
    found = 0.0
    day = first - timedelta(days=7)
    while day <= last + timedelta(days=7):
        found += (pace(made, week_of(day)) or 0.0) / 7 * (first <= day <= last)
        day += timedelta(days=1)
    assert found == pytest.approx(Q2["quantity"])


def test_the_hardest_pressed_pool_comes_first() -> None:
    found = stressed(plan(), {"enterprise": 2.0, "unknown": 5.0}, {"implementation": 100.0, "engineering": 10.0})
    assert [(one.pool, one.effort, one.share) for one in found] == [
        ("engineering", 20.0, 2.0), ("implementation", 100.0, 1.0),
    ]  # fmt: skip
    assert stressed(plan(), {"enterprise": -1.0}, {}) == []
