"""Bookings by week and milestones, read off the book."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest

from services.capacity.domain.bookings import planned_by
from services.capacity.domain.bulk import DEALS_A_SECOND, Bulk
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line
from shared.schemas.frame import Frame
from shared.schemas.plan import Milestone, Plan
from shared.schemas.signal import Signal
from tests.unit.capacity.books import NOW, Partition, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool

MONDAY = date(2026, 3, 30)
Q2 = {"product": "basic", "from": "2026-04-01", "due": "2026-06-30", "quantity": 12.0, "linearity": [0.5, 0.25, 0.25]}


def small() -> Plan:
    said = plan({"eng": work_pool(100.0)}, {"basic": {"needs": [{"pool": "eng", "effort": 1.0}]}})
    more = json.loads(said.model_dump_json(by_alias=True, exclude_none=True)) | {"milestones": {"q2": Q2}}
    more["stages"]["commit"] = {"class": "open", "probability": 0.8}
    return Plan.model_validate_json(json.dumps(more))


def won(number: int) -> bytes:
    return deal(number, Line("basic", quantity=1.0), stage="won", close=MONDAY.isoformat())


def frame(*deals: tuple[str, date, float], now: datetime = NOW) -> Frame:
    made = {}
    for number, (stage, close, units) in enumerate(deals):
        line = Line("basic", quantity=units, amount=units * 100)
        made[f"crm/{number}"] = deal(number, line, stage=stage, close=close.isoformat())
    return projected(small(), made, now)


def test_what_closes_in_the_last_and_the_present_week_against_the_eight_before() -> None:
    week = timedelta(weeks=1)
    found = frame(
        ("won", MONDAY, 2.0),
        ("commit", MONDAY, 3.0),
        ("qualified", MONDAY, 50.0),
        ("lost", MONDAY, 50.0),
        ("won", MONDAY - week, 1.0),
        ("won", MONDAY - 2 * week, 8.0),
        ("won", MONDAY - 9 * week, 8.0),
        ("won", MONDAY - 10 * week, 99.0),
    ).bookings
    assert found is not None
    assert [state.product for state in found] == ["", "basic"]
    elapsed = 1 + 1 / 7
    assert found[1].rate == pytest.approx(3 / elapsed)
    assert found[1].units == pytest.approx(6 / elapsed)
    assert found[1].value == pytest.approx(600 / elapsed)
    assert (found[1].trend, found[1].units_trend, found[1].value_trend) == (2 / 8, 16 / 8, 1600 / 8)


def test_a_milestone_counts_what_closes_in_its_window() -> None:
    may = datetime(2026, 5, 4, 8, tzinfo=UTC)
    found = frame(
        ("won", date(2026, 3, 31), 7.0),
        ("won", date(2026, 4, 1), 2.0),
        ("won", date(2026, 4, 20), 1.0),
        ("commit", date(2026, 6, 30), 5.0),
        ("commit", date(2026, 7, 1), 5.0),
        now=may,
    ).milestones
    assert found is not None
    (q2,) = found
    assert (q2.won, q2.expected, q2.quantity, q2.due) == (3.0, 4.0, 12.0, "2026-06-30")
    assert q2.planned == pytest.approx(planned_by(small().milestones["q2"], may.date()))


@pytest.mark.parametrize(
    ("day", "units"),
    [("2026-03-31", 0.0), ("2026-06-30", 12.0), ("2026-07-09", 12.0), ("2026-04-15", 6 * 15 / (91 / 3))],
)
def test_what_is_planned_grows_part_by_part(day: str, units: float) -> None:
    milestone = Milestone.model_validate_json(json.dumps(Q2))
    assert planned_by(milestone, date.fromisoformat(day)) == pytest.approx(units)


def test_bookings_signals_and_milestones_are_told_when_they_change() -> None:
    projector, in_force = Projector(), PlanInForce("small@1", small())
    partition = Partition(projector.book)
    first = projector.project(NOW, in_force)
    assert first is not None
    assert (first.signals, first.bookings) == ([], [])
    projector.observe(Signal(id="1", source="desk", kind="tickets-opened", time=NOW, pool="eng"))
    second = projector.project(NOW + timedelta(seconds=1), in_force)
    assert second is not None
    assert second.signals is not None
    assert [(state.kind, state.pool) for state in second.signals] == [
        ("tickets-opened", None),
        ("tickets-opened", "eng"),
    ]
    assert (second.bookings, second.milestones) == (None, None)
    projector.cells_changed(partition.put({"crm/1": won(1)}))
    third = projector.project(NOW + timedelta(seconds=2), in_force)
    assert third is not None
    assert (third.signals, third.milestones) == (None, None)
    assert third.bookings is not None


def test_a_load_is_seen_and_its_end() -> None:
    bulk, now, applied = Bulk(), NOW, 0
    bulk.see(5_000_000, now)
    assert not bulk.loading, "what was there at the start is no load"
    applied = 5_000_000
    for step in range(1, 11):
        applied += DEALS_A_SECOND // 5
        bulk.see(applied, now + step * timedelta(seconds=0.1))
    assert bulk.loading
    bulk.see(applied, now + timedelta(seconds=1.5))
    assert bulk.loading
    bulk.see(applied, now + timedelta(seconds=2.2))
    assert not bulk.loading


def test_a_load_ends_although_deals_go_on_coming() -> None:
    """As after a restart of the fold, which brings what came meanwhile at once, into a stream that never pauses."""
    bulk, applied = Bulk(), 2 * DEALS_A_SECOND
    bulk.see(0, NOW)
    bulk.see(applied, NOW)
    assert bulk.loading
    for step in range(1, 30):
        applied += 30
        bulk.see(applied, NOW + step * timedelta(seconds=0.1))
    assert not bulk.loading


def test_what_people_do_by_hand_is_no_load() -> None:
    bulk = Bulk()
    for step in range(100):
        bulk.see(step * 50, NOW + step * timedelta(seconds=0.1))
        assert not bulk.loading


def test_a_load_ends_under_a_clock_that_stands_still() -> None:
    bulk = Bulk()
    bulk.see(0, NOW)
    bulk.see(DEALS_A_SECOND, NOW)
    for _ in range(60):
        bulk.see(DEALS_A_SECOND, NOW)
    assert not bulk.loading


def test_a_frame_follows_when_a_load_is_over() -> None:
    projector, in_force = Projector(), PlanInForce("small@1", small())
    partition = Partition(projector.book)
    assert projector.project(NOW, in_force) is not None
    many = {f"crm/{number}": won(number) for number in range(1200)}
    partition.put({"crm/0": many["crm/0"]})
    projector.project(NOW, in_force)
    projector.cells_changed(partition.put(many))
    loading = projector.project(NOW + timedelta(seconds=0.1), in_force)
    assert loading is not None
    assert loading.loading
    assert projector.project(NOW + timedelta(seconds=0.5), in_force) is None
    over = projector.project(NOW + timedelta(seconds=1.5), in_force)
    assert over is not None
    assert not over.loading
    assert over.positions == []
    assert projector.project(NOW + timedelta(seconds=1.6), in_force) is None
