"""Every field that a condition may name, as it is read off a table where everything is known."""

import json
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from services.triggers.domain.burn import Slacks
from services.triggers.domain.episodes import beginning
from services.triggers.domain.fields import READERS
from services.triggers.domain.findings import find
from services.triggers.domain.observation import Scene, observe, row_of
from services.triggers.domain.rules import compile_rules
from services.triggers.domain.table import Table
from shared.schemas.forecast import Forecast, PoolMove, Target
from shared.schemas.frame import BookingState, EffortState, ListedDeal, MilestoneState, SignalState
from shared.schemas.plan import Plan
from shared.schemas.plan_fields import NEVER, WATCHED
from tests.unit.triggers.scenes import MONDAY, POOLS, at, plan_json, position, slipping, trigger

Q2 = {"product": "enterprise", "from": "2026-04-01", "due": "2026-06-30", "quantity": 91.0, "linearity": [0.5, 0.5]}

FORECAST = Forecast(
    period="2026-Q2",
    segment="*",
    at=MONDAY,
    bookings=900.0,
    margin=450.0,
    margin_share=0.5,
    lines=10,
    unlisted=2,
    discount_drift=0.12,
    discount_cusum=8.0,
    revenue=4000.0,
    revenue_at_risk=100.0,
    target=Target(1000.0, 0.6),
    pools=[
        PoolMove("engineering", "hours", 26.0, utilisation=0.8, break_even=13.0),
        PoolMove("implementation", "hours", 130.0, utilisation=1.1, break_even=26.0),
    ],
)


def content(watch: str, **where: Any) -> Plan:
    ask = {"owners": ["ana"], "decide_within": "2d"}
    watched = trigger(watch=watch, where=where, when=f"{WATCHED[watch].fields[0].name} > 1", clear=None, ask=ask)
    made = plan_json(watched, milestones={"q2": Q2}, periods={"2026-Q2": {"bookings": 1000.0, "margin": 0.6}})
    made["pools"]["implementation"]["report_every"] = "7d"
    return Plan.model_validate_json(json.dumps(made))


SIGNALS = [
    SignalState("throughput", "implementation", MONDAY, 60.0, None, 60.0),
    SignalState("busy-share", "implementation", MONDAY, 0.8, None, 0.8),
    SignalState("waiting", "implementation", MONDAY, 30.0, None, 30.0),
    SignalState("tickets", None, MONDAY - timedelta(days=2), 30.0, 20.0, 3.0, 2.0),
]


LISTED = [ListedDeal("crm/1", "no-needs", 10.0), ListedDeal("crm/2", "stale", 5.0), ListedDeal("crm/3", "no-rate")]


def fields(watch: str, scope: str, **where: Any) -> dict[str, Any]:
    """All fields of a thing in a table where everything is known."""
    table = Table()
    weeks = [position(ahead, 0.9 if ahead > 2 else 0.0, headroom=-9.0 if ahead > 3 else 9.0) for ahead in range(13)]
    table.apply(
        at(
            0,
            *weeks,
            complete=True,
            work=[slipping(3.0)],
            report_ages={"implementation": 10 * 86400.0, "engineering": None},
            listed=[
                ListedDeal("crm/1", "no-needs", 10.0),
                ListedDeal("crm/2", "stale", 5.0),
                ListedDeal("crm/3", "no-rate"),
            ],
            signals=SIGNALS,
            bookings=[BookingState("", 3.0, 2.0, 9.0, 4.0), BookingState("enterprise", 3.0, 2.0, 7.0, 4.0, 30.0, 20.0)],
            milestones=[MilestoneState("q2", "enterprise", "2026-06-30", 40.0, 5.0, 15.0, 10.0)],
            efforts=[EffortState("implementation", 120.0, 156.0, 2)],
            forecasts=[FORECAST, replace(FORECAST, segment="smb", target=None, margin_share=None, pools=[], lines=0)],
        )
    )
    rule = compile_rules("p@1", content(watch, **where)).rules["overcommitted"]
    row = row_of(rule, scope, Scene(table, Slacks()))
    assert row is not None
    return dict(row)


def test_every_field_that_a_plan_may_name_is_read() -> None:
    assert {watch: set(readers) for watch, readers in READERS.items()} == {
        watch: {field.name for field in watched.fields} for watch, watched in WATCHED.items()
    }


def test_fields_of_a_pool() -> None:
    found = fields("pool", "implementation")
    assert found["first_overloaded"] == 4.0
    assert found["overloaded_weeks"] == 9.0
    assert found["missing"] == pytest.approx(10 * 90.0)
    assert found["people"] == 3.0
    # three people of 35 hours fill 90 only when fully ramped: in W17 if decided two plus four weeks before
    assert found["hire_by"] == -3.0
    assert found["slack"] == pytest.approx(40.0), "the quarter ends in this very week"
    assert (found["burn_short"], found["burn_long"]) == (None, None)


def test_fields_of_reports() -> None:
    found = fields("report", "implementation")
    assert (found["report_age"], found["overdue"]) == (10.0, 3.0)
    assert (found["stated"], found["observed"]) == (100.0, pytest.approx(75.0))
    assert found["divergence"] == pytest.approx(1 / 3)
    assert (found["padding"], found["waiting"], found["turnaround"]) == (0.0, 30.0, 0.5)
    assert found["effort_drift"] == pytest.approx(1.3)
    silent = fields("report", "engineering")
    assert silent["effort_drift"] is None
    assert (silent["report_age"], silent["overdue"], silent["stated"], silent["divergence"]) == (
        NEVER,
        None,
        None,
        None,
    )


def test_fields_of_signals() -> None:
    found = fields("signal", "tickets", kind="tickets")
    assert found == {
        "per_week": 30.0,
        "before": 20.0,
        "change": 0.5,
        "mean": 3.0,
        "mean_before": 2.0,
        "silent_days": 2.0,
        "kind": "tickets",
    }


def test_fields_of_forecasts() -> None:
    found = fields("forecast", "2026-Q2")
    assert (found["margin"], found["margin_value"], found["of_target"]) == (0.5, 450.0, 0.9)
    assert found["margin_to_target"] == pytest.approx(-0.1)
    assert (found["discount_drift"], found["discount_cusum"], found["discount"]) == (0.12, 8.0, None)
    assert (found["unlisted"], found["at_risk"], found["busiest"], found["weeks_left"]) == (0.2, 0.025, 1.1, 14.0)
    one = fields("forecast", "2026-Q2/smb", segment="smb")
    assert (one["segment"], one["bookings"], one["busiest"], one["unlisted"]) == ("smb", 900.0, None, None)
    assert (one["margin_to_target"], one["of_target"]) == (None, None)


def test_a_trigger_on_forecasts_watches_each_period_of_the_plan_and_says_which_pools_are_pressed() -> None:
    plan = content("forecast")
    book = compile_rules("p@1", plan)
    rule = book.rules["overcommitted"]
    assert rule.scopes == ("2026-Q2",)
    assert compile_rules("p@1", content("forecast", segment="smb")).rules["overcommitted"].scopes == ("2026-Q2/smb",)
    table = Table()
    table.apply(at(0, position(0, 0.1), complete=True, forecasts=[FORECAST]))
    assert observe(rule, "2026-Q2", Scene(table, Slacks()), None).breach is True
    # A frame that brings one forecast touches its scope, and leaves the others as they were.
    touched = table.apply(at(1, forecasts=[replace(FORECAST, segment="smb", bookings=1.0)]))
    assert list(book.watching(touched)) == []
    assert {scope: one.bookings for scope, one in table.forecasts.items()} == {"2026-Q2": 900.0, "2026-Q2/smb": 1.0}
    found = find(rule, "2026-Q2", beginning("overcommitted", "2026-Q2"), Scene(table, Slacks()))
    # 26 and 13 hours over a quarter to make up for the drift; only implementation's capacity is known here.
    assert [(one.pool, one.effort, one.share) for one in found.stressed] == [
        ("implementation", 2.0, 0.02), ("engineering", 1.0, None),
    ]  # fmt: skip
    table.apply(at(2, complete=True, forecasts=[]))
    assert observe(rule, "2026-Q2", Scene(table, Slacks()), None).breach is None


def test_fields_of_the_book_and_of_one_product() -> None:
    found = fields("deal", "deals")
    assert (found["untethered"], found["untethered_value"], found["stale"], found["stale_value"]) == (1, 10, 1, 5)
    assert (found["no_rate"], found["unknown_stage"], found["no_close_date"]) == (1, 0, 0)
    assert (found["booking_rate"], found["booking_change"]) == (3.0, 0.5)
    one = fields("deal", "enterprise", product="enterprise")
    assert (one["untethered"], one["value_change"], one["pace"]) == (None, 0.5, 7.0)


def test_fields_of_a_milestone() -> None:
    found = fields("milestone", "q2")
    assert (found["of_planned"], found["of_quantity"], found["weeks_to_due"]) == (0.5, 0.5, 13.0)
    assert (found["won"], found["milestone"], found["product"]) == (5.0, "q2", "enterprise")


def test_fields_of_positions_and_work_items() -> None:
    assert fields("work", "release")["weeks_to_due"] == 4.0
    assert POOLS[0] == fields("pool", "implementation")["pool"]
