"""Planned demand: what milestones still want, else as it was before; and how likely it is then too much."""

from datetime import date, datetime, timedelta
from math import exp
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.axis import axis_of
from services.capacity.domain.planned import shares_by_week
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line, encode
from shared.schemas.plan import Milestone, Plan
from shared.schemas.week import week_of
from tests.unit.capacity.books import NOW, Partition, by_week, projected
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import plan, work_pool

MONDAY = NOW.date()
Q2 = {"product": "basic", "from": "2026-03-30", "due": "2026-05-10", "quantity": 12.0, "linearity": [0.5, 0.5]}
"""Six whole weeks from the present one on."""
FLAT: dict[str, Any] = {"pool": "eng", "effort": 10.0, "curve": {"shape": "flat", "weeks": 2}}


def aimed(*milestones: dict[str, Any], **more: Any) -> Plan:
    named = {f"m{number}": milestone for number, milestone in enumerate(milestones)}
    shelf = {"kind": "stock", "unit": "units", "owner": "ana", "stock": {"level": 9}}
    pools = {"eng": work_pool(100.0), "shelf": shelf}
    products = {"basic": {"needs": [FLAT, {"pool": "shelf", "effort": 1.0}]}}
    return plan(pools, products, **{"milestones": named, "horizon_weeks": 30} | more)


def planned(frame: Any, pool: str = "eng") -> list[float]:
    return [row.planned for row in by_week(frame, pool).values()]


def test_an_empty_book_is_planned_whole_through_the_needs_of_the_product() -> None:
    found = planned(projected(aimed(Q2), {}))
    # Two units a week, each 5 h in its week and 5 h in the next one.
    assert found[:8] == pytest.approx([10, 20, 20, 20, 20, 20, 10, 0])
    assert sum(found) == pytest.approx(120)


def test_a_stock_counts_what_is_planned_from_its_beginning_on() -> None:
    assert planned(projected(aimed(Q2), {}), "shelf")[:7] == pytest.approx([2, 4, 6, 8, 10, 12, 12])


@pytest.mark.parametrize(
    ("stage", "units", "left"),
    [("won", 3.0, 9.0), ("qualified", 5.0, 10.0), ("won", 12.0, 0.0), ("won", 40.0, 0.0), ("lost", 9.0, 12.0)],
)
def test_what_is_won_or_expected_in_the_window_is_no_longer_planned(stage: str, units: float, left: float) -> None:
    found = projected(aimed(Q2), {"crm/1": deal(1, Line("basic", quantity=units), stage=stage, close="2026-04-20")})
    assert sum(planned(found)) == pytest.approx(10 * left)


def test_deals_outside_of_the_window_change_nothing() -> None:
    deals = {
        "crm/1": deal(1, Line("basic", quantity=5.0), stage="won", close="2026-03-29"),
        "crm/2": deal(2, Line("basic", quantity=5.0), close="2026-05-11"),
    }
    assert sum(planned(projected(aimed(Q2), deals))[:6]) == pytest.approx(110)


def test_an_open_deal_that_should_have_closed_counts_in_the_window_of_today() -> None:
    deals = {"crm/1": deal(1, Line("basic", quantity=5.0), close="2026-03-02")}
    assert sum(planned(projected(aimed(Q2), deals))[:7]) == pytest.approx(100)


def test_a_stale_deal_is_no_longer_counted_on() -> None:
    deals = {"crm/1": deal(1, Line("basic", quantity=5.0), stage="pushed", close="2025-10-02")}
    assert sum(planned(projected(aimed(Q2), deals))) == pytest.approx(120)


def test_of_windows_that_overlap_the_larger_counts() -> None:
    twice = projected(aimed(Q2, Q2 | {"quantity": 24.0}), {})
    assert planned(twice) == pytest.approx([2 * each for each in planned(projected(aimed(Q2), {}))])


def test_a_milestone_that_is_over_is_not_made_up_for() -> None:
    over = Q2 | {"from": "2026-02-01", "due": "2026-03-29"}
    assert planned(projected(aimed(over), {})) == [0.0] * 30


def test_without_a_milestone_it_goes_on_as_in_the_trailing_13_weeks() -> None:
    won = {
        f"crm/{number}": deal(
            number, Line("basic", quantity=2.0), stage="won", close=(MONDAY - timedelta(weeks=number)).isoformat()
        )
        for number in range(1, 16)
    }
    # 13 of the 15 wins were in these weeks: two units a week. Of the next thirteen weeks' 26 units 10 · 40 % are there.
    won["crm/99"] = deal(99, Line("basic", quantity=10.0), close="2026-04-20")
    found = planned(projected(aimed(), won))
    a_week = (26 - 4) / 13
    assert found[0] == pytest.approx(5 * a_week)
    assert found[1:13] == pytest.approx([10 * a_week] * 12)
    assert found[13] == pytest.approx(5 * a_week + 5 * 2)
    assert found[14:] == pytest.approx([20.0] * 16)


def test_weeks_that_a_milestone_covers_do_not_go_on_as_before() -> None:
    won = {"crm/1": deal(1, Line("basic", quantity=13.0), stage="won", close=(MONDAY - timedelta(days=7)).isoformat())}
    found = planned(projected(aimed(Q2 | {"quantity": 0.6}), won))
    assert found[1:6] == pytest.approx([1.0] * 5)
    assert found[8] == pytest.approx(10.0)


def test_planned_deals_come_as_a_poisson_stream_of_the_usual_size() -> None:
    one_week = {"product": "basic", "from": "2026-04-06", "due": "2026-04-12", "quantity": 6.0}
    in_one = {"pool": "eng", "effort": 10.0}
    small = plan({"eng": work_pool(65.0)}, {"basic": {"needs": [in_one]}}, milestones={"m": one_week})
    row = by_week(projected(small, {}))["2026-W15"]
    assert (row.planned, row.overload) == (60.0, 0.0)
    # P(more than six of a Poisson number with mean six): each is one unit, the plan's default.
    at_most_six = sum(exp(-6) * 6**k / factorial(k) for k in range(7))
    assert row.overload_planned == pytest.approx(1 - at_most_six, abs=0.03)


def factorial(number: int) -> int:
    return 1 if number < 2 else number * factorial(number - 1)


@settings(max_examples=30, deadline=None)
@given(
    start=st.dates(date(2025, 6, 1), date(2026, 12, 1)),
    length=st.integers(1, 500),
    parts=st.lists(st.integers(0, 4), min_size=1, max_size=6).filter(any),
)
def test_the_shares_by_week_are_those_of_its_days(start: date, length: int, parts: list[int]) -> None:
    linearity = [part / sum(parts) for part in parts]
    said = {"product": "basic", "from": start, "due": start + timedelta(days=length - 1), "quantity": 1.0}
    milestone = Milestone.model_validate(said | {"linearity": linearity})
    axis = axis_of(aimed(), NOW)
    found = shares_by_week(milestone, axis)
    # Day by day: hundredths of each day in its part of the window.
    by_day: dict[date, float] = {}
    fine = 120
    for day in range(length):
        hits = [linearity[int((day * fine + at) * len(parts) / (length * fine))] for at in range(fine)]
        by_day[start + timedelta(days=day)] = sum(hits) / fine / length * len(parts)
    ahead = {day: share for day, share in by_day.items() if day >= MONDAY}
    if sum(ahead.values()) < 1e-6:
        ahead = dict.fromkeys(ahead, 1.0)
    total = sum(ahead.values()) or 1.0
    for place, week in enumerate(axis.weeks):
        slow = sum(share for day, share in ahead.items() if week_of(day) == week) / total
        assert found[place] == pytest.approx(slow, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(deals=st.lists(DEALS, max_size=8), cut=st.integers(0, 8), capacity=st.sampled_from([0.0, 20.0, 300.0]))
def test_updates_equal_a_projection_from_nothing_and_more_demand_is_never_less_likely_too_much(
    deals: list[Any], cut: int, capacity: float
) -> None:
    said = plan(
        {"eng": work_pool(capacity)},
        {"basic": {"needs": [FLAT], "effort_cv": 0.4}, "enterprise": {"needs": [{"pool": "eng", "effort": 3.0}]}},
        milestones={"m": Q2},
        uncertainty={"win_correlation": 0.1},
    )
    force, projector = PlanInForce("small@1", said), Projector()
    partition = Partition(projector.book)
    for part in (deals[:cut], deals[cut:]):
        projector.cells_changed(partition.put({one.id: encode(one) for one in part}))
        projector.project(NOW, force)
    whole = projected(said, {one.id: encode(one) for one in deals})
    assert projector.positions == {(row.pool, row.week): row for row in whole.positions}
    for row in whole.positions:
        assert row.overload <= row.overload_planned <= 1.0
        assert row.planned >= 0.0
        if not row.planned:
            assert row.overload_planned == row.overload


def test_what_is_planned_hangs_on_the_day() -> None:
    later = datetime(2026, 5, 6, 8, tzinfo=NOW.tzinfo)
    # On Wednesday of the last week all that is still wanted is wanted in these five days.
    found = projected(aimed(Q2), {}, later)
    assert planned(found)[:2] == pytest.approx([60.0, 60.0])
