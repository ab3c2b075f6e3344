"""What the demo says of what it saw: targets by the milestones, discounts, revenue at risk."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from headroom.demo.facts import (
    Facts,
    bookings,
    discount,
    due_share,
    plan_week,
    quarter_days,
    quarter_of,
    revenue_at_risk,
    weeks_until,
)
from shared.schemas.deal import Deal, Line
from shared.schemas.plan_file import parse_plan
from shared.schemas.position import Position, TopDeal, WorkState
from tests.unit.demo.alarms import slipping

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
Q2 = (date(2026, 4, 1), date(2026, 6, 30))


def deal(id: str, stage: str, close: str, amount: float, **line: float) -> Deal:
    lines = [Line(product="business", amount=amount, list_amount=line.get("list"), arr=amount)]
    closes = date.fromisoformat(close)
    return Deal(id=id, source="crm", object=id, version=1, stage=stage, close=closes, amount=amount, lines=lines)


def custom(id: str, product: str) -> Deal:
    lines = [Line(product=product, amount=1.0)]
    return Deal(id=id, source="crm", object=id, version=1, stage="proposal", custom=True, lines=lines)


@pytest.mark.parametrize(
    ("day", "quarter", "first", "last"),
    [
        ("2026-01-01", "2026-Q1", "2026-01-01", "2026-03-31"),
        ("2026-06-30", "2026-Q2", "2026-04-01", "2026-06-30"),
        ("2026-12-31", "2026-Q4", "2026-10-01", "2026-12-31"),
    ],
)
def test_quarters(day: str, quarter: str, first: str, last: str) -> None:
    assert quarter_of(date.fromisoformat(day)) == quarter
    assert quarter_days(quarter) == (date.fromisoformat(first), date.fromisoformat(last))


@pytest.mark.parametrize(
    ("day", "share"),
    [
        ("2026-04-01", 0.0),
        ("2026-04-27", 24 * 24000 * 0.33 * 26 / 91 * 3 / (24 * 24000 + 24 * 60000)),
        ("2026-07-01", 1.0),
    ],
)
def test_what_is_due_follows_the_milestones(day: str, share: float) -> None:
    assert due_share(PLAN, *Q2, date.fromisoformat(day)) == pytest.approx(share)


def test_without_milestones_what_is_due_follows_the_days() -> None:
    bare = PLAN.model_copy(update={"milestones": {}})
    assert due_share(bare, *Q2, date(2026, 4, 1)) == 0
    assert due_share(bare, *Q2, date(2026, 5, 1)) == pytest.approx(30 / 91)


def test_bookings_count_what_closes_in_the_quarter() -> None:
    deals = [
        deal("a", "won", "2026-04-10", 100.0),
        deal("b", "commit", "2026-06-30", 200.0),
        deal("c", "lost", "2026-05-01", 400.0),
        deal("d", "won", "2026-03-31", 800.0),
        deal("e", "unheard-of", "2026-05-01", 1600.0),
    ]
    seen = bookings(PLAN, {d.id: d for d in deals}, date(2026, 4, 11))
    assert seen is not None
    assert (seen.won, seen.expected, seen.target) == (100.0, pytest.approx(170.0), 1600000)
    assert not seen.green
    assert bookings(PLAN, {}, date(2026, 7, 1)) is None


def test_discount_is_over_lines_with_a_list_price() -> None:
    assert discount([deal("a", "won", "2026-04-10", 90.0, list=100.0), deal("b", "won", "2026-04-10", 7.0)]) == (
        pytest.approx(0.1)
    )
    assert discount([deal("b", "won", "2026-04-10", 7.0)]) is None


@pytest.mark.parametrize(("slip", "lost"), [(0, 0.0), (1, 0.0), (2, 30.0), (6, 150.0), (60, 1000.0)])
def test_revenue_at_risk_follows_the_plans_assumption(slip: float, lost: float) -> None:
    assert revenue_at_risk(PLAN, 1000.0, slip) == pytest.approx(lost)


def test_weeks_of_a_work_item_and_until_a_week() -> None:
    assert [plan_week("2026-W14", week) for week in ("2026-W14", "2026-W25", "2026-W31")] == [1, 12, 18]
    assert weeks_until(datetime(2026, 6, 1, tzinfo=UTC), "2026-W25") == 2.0


def test_facts_keep_the_worst_state_of_a_work_item_and_its_path() -> None:
    facts = Facts(PLAN, datetime(2026, 5, 8, tzinfo=UTC))
    for slip in (0.0, 3.0, 3.0, 6.0, 1.0):
        facts.see_work(
            [
                WorkState(
                    work="core-release", pool="engineering", effort=3840, due="2026-W25", finish=None, slip_weeks=slip
                )
            ]
        )
    assert facts.worst["core-release"].slip_weeks == 6.0
    assert [slip for _, slip in facts.slips["core-release"]] == [0.0, 3.0, 6.0, 1.0]


def test_the_first_overloaded_week_is_ahead_of_now() -> None:
    facts = Facts(PLAN, datetime(2026, 5, 8, tzinfo=UTC))
    for week, utilisation in (("2026-W18", 1.5), ("2026-W23", 1.1), ("2026-W24", 2.0), ("2026-W20", 1.0)):
        facts.positions["implementation", week] = Position(
            pool="implementation", week=week, unit="hours", capacity=480, by_plan=480, utilisation=utilisation
        )
    first = facts.first_overloaded()
    assert first is not None
    assert first.week == "2026-W23"


def test_what_was_foreseen_before_a_decision_stays() -> None:
    facts = Facts(PLAN, datetime(2026, 5, 8, tzinfo=UTC))

    def overload_in(week: str, utilisation: float = 1.5) -> None:
        facts.positions["implementation", week] = Position(
            pool="implementation", week=week, unit="hours", capacity=480, by_plan=480, utilisation=utilisation
        )
        facts.see_overload()

    overload_in("2026-W24")
    overload_in("2026-W23")
    overload_in("2026-W23", utilisation=0.5)
    assert facts.foreseen is not None
    assert facts.foreseen.week == "2026-W23"


def test_of_two_alarms_the_one_that_fired_first_is_the_first_however_they_are_delivered() -> None:
    facts = Facts(PLAN, datetime(2026, 5, 9, tzinfo=UTC))
    facts.deals["crm/E-00"] = custom("crm/E-00", "enterprise")
    facts.deals["crm/B-00"] = custom("crm/B-00", "business")
    late = slipping(
        datetime(2026, 5, 9, 9, tzinfo=UTC), id="later", cause=[TopDeal("crm/B-00", 9.0, 0.1, 0.5, "business")]
    )
    facts.hear(late)
    assert (facts.firings, facts.open_at_alarm) == ([late], 1)
    del facts.deals["crm/B-00"]
    first = slipping(datetime(2026, 5, 8, 14, tzinfo=UTC))
    facts.deals["crm/E-01"] = custom("crm/E-01", "enterprise")
    facts.hear(first)
    assert (facts.firings, facts.open_at_alarm) == ([first, late], 2)
    facts.hear(slipping(datetime(2026, 5, 10, tzinfo=UTC), id="last"))
    assert (facts.firings[0], facts.open_at_alarm) == (first, 2)
