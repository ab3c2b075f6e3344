"""Recruiters owe hours for the people that other pools are missing."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.projector import PlanInForce, Projector
from shared.errors import PlanError
from shared.schemas.deal import Line, encode
from shared.schemas.plan import Plan
from shared.schemas.plan_file import parse_plan
from tests.unit.capacity.books import NOW, Partition, by_week, projected
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import plan, work_pool

HIRE: dict[str, Any] = {"lead_weeks": 4, "ramp": [0.5, 1.0], "hours": 40.0}


def hiring(capacity: float = 100.0, hire: dict[str, Any] = HIRE, **more: Any) -> Plan:
    pools = {
        # Recruiters stand first: what they owe follows from the others all the same.
        "people": work_pool(50.0, base_load=5.0, hiring={"recruiter_hours": 20.0, **more.pop("hiring", {})}),
        "eng": work_pool(capacity, hire=hire),
        "ops": work_pool(40.0),
    }
    products = {"basic": {"needs": [{"pool": "eng", "effort": 10.0}, {"pool": "ops", "effort": 10.0}]}}
    return plan(pools, products, **more)


def wins(*closing: tuple[float, str]) -> dict[str, bytes]:
    return {
        f"crm/{n}": deal(n, Line("basic", quantity=units), stage="won", close=day)
        for n, (units, day) in enumerate(closing)
    }


def owed(said: Plan, deals: dict[str, bytes]) -> dict[str, float]:
    rows = by_week(projected(said, deals), "people")
    return {week: row.base - 5.0 for week, row in rows.items() if row.base != 5.0}


def test_nobody_is_missed_where_capacity_suffices() -> None:
    assert owed(hiring(), wins((9.0, "2026-05-04"))) == {}


def test_an_opening_asks_its_hours_over_the_lead_time_before_it_is_missed() -> None:
    # 180 h of 100 in W19: two people are missing. Ops says nothing of how it hires.
    assert owed(hiring(), wins((18.0, "2026-05-04"))) == {f"2026-W{week}": 10.0 for week in range(15, 19)}


def test_somebody_hired_stays_and_a_larger_gap_asks_for_more() -> None:
    found = owed(hiring(), wins((14.0, "2026-05-04"), (12.0, "2026-05-11"), (18.0, "2026-06-01")))
    assert found == {f"2026-W{week}": 5.0 for week in (15, 16, 17, 18, 19, 20, 21, 22)}


@pytest.mark.parametrize(
    ("day", "weeks"), [("2026-04-01", {14: 40.0}), ("2026-04-08", {14: 40.0}), ("2026-04-15", {14: 20.0, 15: 20.0})]
)
def test_what_is_missed_sooner_than_the_lead_time_is_asked_from_now_on(day: str, weeks: dict[int, float]) -> None:
    assert owed(hiring(), wins((18.0, day))) == {f"2026-W{week}": hours for week, hours in weeks.items()}


def test_without_a_lead_time_it_is_asked_in_the_week_itself() -> None:
    assert owed(hiring(hire=HIRE | {"lead_weeks": 0}), wins((18.0, "2026-05-04"))) == {"2026-W19": 40.0}


def test_only_named_pools_are_hired_for() -> None:
    assert owed(hiring(hiring={"pools": ["ops"]}), wins((18.0, "2026-05-04"))) == {}


def test_what_only_planned_demand_makes_missing_is_planned() -> None:
    goal = {"product": "basic", "from": "2026-05-04", "due": "2026-05-10", "quantity": 18.0}
    rows = by_week(projected(hiring(milestones={"m": goal}), {}), "people")
    assert {week: row.planned for week, row in rows.items() if row.planned} == {
        f"2026-W{w}": 10.0 for w in range(15, 19)
    }
    assert {row.base for row in rows.values()} == {5.0}


def test_hires_that_never_give_anything_are_not_asked_for() -> None:
    assert owed(hiring(hire=HIRE | {"ramp": [0.0]}), wins((18.0, "2026-05-04"))) == {}


def test_recruiters_missing_themselves_are_hired_by_those_whose_names_come_after() -> None:
    said = hiring()
    people = {"capacity": {"per_week": 4.0}, "hire": HIRE, "hiring": {"recruiter_hours": 20.0}}
    pools = said.model_dump(mode="json", by_alias=True, exclude_none=True)["pools"]
    pools = {"second": work_pool(4.0) | people, "first": work_pool(4.0) | people, "eng": pools["eng"]}
    force = PlanInForce("small@1", plan(pools, {"basic": {"needs": [{"pool": "eng", "effort": 10.0}]}}))
    steps = [wins((18.0, "2026-05-04")), wins((18.0, "2026-05-04"), (16.0, "2026-06-01"))]
    kept, fresh = Projector(), Projector()
    partition = Partition(kept.book)
    for deals in steps:
        kept.cells_changed(partition.put(deals))
        kept.project(NOW, force)
    fresh.cells_changed(Partition(fresh.book).put(steps[-1]))
    fresh.project(NOW, force)
    assert kept.positions == fresh.positions
    rows = kept.positions.values()
    first, second = (sum(row.base for row in rows if row.pool == name) for name in ("first", "second"))
    assert second > first == 40.0


def test_a_pool_to_hire_for_must_be_there() -> None:
    text = """\
plan: small
currency: EUR
people: {ana: {name: Ana}}
stages: {won: {class: won}}
pools:
  people: {kind: work, unit: hours, owner: ana, capacity: {per_week: 1}, hiring: {recruiter_hours: 20, pools: [enj]}}
  eng: {kind: work, unit: hours, owner: ana, capacity: {per_week: 1}}
"""
    with pytest.raises(PlanError, match="there is no pool 'enj'; did you mean eng"):
        parse_plan(text, "plan.yaml")


@settings(max_examples=25, deadline=None)
@given(deals=st.lists(DEALS, max_size=8), cut=st.integers(0, 8))
def test_updates_equal_a_projection_from_nothing(deals: list[Any], cut: int) -> None:
    said = hiring(20.0)
    force, projector = PlanInForce("small@1", said), Projector()
    partition = Partition(projector.book)
    for part in (deals[:cut], deals[cut:]):
        projector.cells_changed(partition.put({one.id: encode(one) for one in part}))
        projector.project(NOW, force)
    whole = projected(said, {one.id: encode(one) for one in deals})
    assert projector.positions == {(row.pool, row.week): row for row in whole.positions}
    rows = by_week(whole).values()
    peak = max(max(row.base + row.booked + row.expected - row.capacity, 0.0) for row in rows) / 40.0
    hours = sum(row.base - 5.0 for row in by_week(whole, "people").values())
    assert hours == pytest.approx(20.0 * peak, rel=1e-6, abs=1e-6)
