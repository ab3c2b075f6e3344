"""Incremental projections equal projections from nothing, whatever the order and the cut of what comes in."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.projector import HEARTBEAT, PlanInForce, Projector
from shared.schemas.deal import Line, encode
from tests.unit.capacity.books import NOW, Partition, projected
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import plan, tethered, work_pool

TWO_PRODUCTS = {
    "basic": {"needs": [{"pool": "eng", "effort": 10.0, "curve": {"shape": "rayleigh", "weeks": 6}}], "effort_cv": 0.4},
    "enterprise": {
        "list_price": 100.0,
        "quantity": {"from": "amount"},
        "needs": [
            {"pool": "eng", "effort": 3.0, "custom_effort": 20.0},
            {"pool": "ops", "effort": 2.0, "per": "week", "weeks": 5, "after_weeks": 2},
            {"pool": "shelf", "effort": 1.0},
        ],
    },
}
POOLS = {
    "eng": work_pool(50.0, base_load=5.0),
    "ops": work_pool(20.0),
    "shelf": {"kind": "stock", "unit": "units", "owner": "ana", "stock": {"level": 10.0}},
}
WORK = {"release": {"pool": "eng", "effort": 300.0, "start": "2026-W12", "due": "2026-W20"}}
PLAN = plan(POOLS, TWO_PRODUCTS, work=WORK)


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(st.tuples(st.lists(DEALS, min_size=1, max_size=4), st.booleans()), max_size=8),
    partition_of=st.lists(st.integers(0, 1), min_size=6, max_size=6),
)
def test_incremental_equals_from_nothing(events, partition_of):
    force = PlanInForce("small@1", PLAN)
    projector = Projector()
    partitions = [Partition(projector.book, 0), Partition(projector.book, 1)]
    last: list[dict[str, bytes]] = [{}, {}]
    for deals, look in events:
        for one in deals:
            at = partition_of[int(one.id[-1])]
            last[at][one.id] = encode(one)
            projector.cells_changed(partitions[at].put({one.id: encode(one)}))
        if look:
            projector.project(NOW, force)
    projector.project(NOW, force)

    fresh = Projector()
    for number, deals_of in enumerate(last):
        fresh.cells_changed(Partition(fresh.book, number).put(dict(sorted(deals_of.items(), reverse=True))))
    whole = fresh.project(NOW, force)
    assert whole is not None
    assert projector.positions == {(row.pool, row.week): row for row in whole.positions}
    assert projector.work == {item.work: item for item in whole.work}


def test_a_frame_tells_only_what_changed():
    force, projector = PlanInForce("small@1", PLAN), Projector()
    partition = Partition(projector.book)
    projector.cells_changed(partition.put({"crm/1": deal(1, Line("basic", quantity=1.0))}))
    first = projector.project(NOW, force)
    assert first.complete
    assert len(first.positions) == 3 * 39
    assert projector.project(NOW, force) is None
    projector.cells_changed(partition.put({"crm/2": deal(2, Line("basic", quantity=1.0), close="2026-05-04")}))
    second = projector.project(NOW, force)
    assert not second.complete
    # Only the weeks the deal asks something of, and those after it whose backlog it may move.
    assert {row.pool for row in second.positions} == {"eng"}
    assert {row.week for row in second.positions} == {f"2026-W{week}" for week in range(19, 25)}
    assert second.listed is None


def test_a_changed_book_that_changes_no_figure_makes_no_frame():
    force, projector = PlanInForce("small@1", PLAN), Projector()
    partition = Partition(projector.book)
    # Of a segment that nobody had a deal in, there is now a forecast to tell.
    projector.cells_changed(partition.put({"crm/1": deal(1, Line("basic", quantity=1.0), stage="won")}))
    projector.project(NOW, force)
    projector.cells_changed(partition.put({"crm/2": deal(2, Line("basic", quantity=1.0), stage="lost")}))
    assert projector.project(NOW, force) is None


def test_time_alone_makes_a_frame_each_hour_and_a_complete_one_each_week():
    force, projector = PlanInForce("small@1", PLAN), Projector()
    projector.project(NOW, force)
    assert projector.project(NOW + HEARTBEAT - timedelta(seconds=1), force) is None
    beat = projector.project(NOW + HEARTBEAT, force)
    assert (beat.complete, beat.positions, beat.now) == (False, [], NOW + HEARTBEAT)
    rolled = projector.project(NOW + timedelta(days=7), force)
    assert (rolled.complete, rolled.week) == (True, "2026-W15")
    assert {row.week for row in rolled.positions} == {f"2026-W{week}" for week in range(15, 54)}


def test_a_new_plan_makes_a_complete_frame():
    projector = Projector()
    projector.project(NOW, PlanInForce("small@1", PLAN))
    made = projector.project(NOW, PlanInForce("small@2", tethered(10.0, 100.0)))
    assert (made.complete, made.plan, {row.pool for row in made.positions}) == (True, "small@2", {"eng"})


def test_without_a_plan_there_is_no_frame():
    assert Projector().project(NOW, None) is None


def test_the_table_of_a_plan_with_a_start_ends_where_it_said():
    later = projected(plan({"eng": work_pool(1.0)}, {}, start="2026-W10", horizon_weeks=8), {})
    assert [row.week for row in later.positions] == ["2026-W14", "2026-W15", "2026-W16", "2026-W17"]
    early = projected(plan({"eng": work_pool(1.0)}, {}, start="2026-W16", horizon_weeks=2), {})
    assert [row.week for row in early.positions] == ["2026-W16", "2026-W17"]


def test_the_week_is_that_of_the_plans_time_zone():
    sunday_evening = NOW.replace(day=29, hour=23)
    assert projected(plan({"eng": work_pool(1.0)}, {}), {}, sunday_evening).week == "2026-W13"
    assert projected(plan({"eng": work_pool(1.0)}, {}, timezone="Europe/Berlin"), {}, sunday_evening).week == "2026-W14"


def test_a_deal_goes_stale_as_days_pass():
    force, projector = PlanInForce("small@1", tethered(10.0, 100.0)), Projector()
    raw = deal(1, Line("basic", quantity=1.0, amount=5.0), stage="pushed", close="2025-12-05")
    projector.cells_changed(Partition(projector.book).put({"crm/1": raw}))
    # The week's last day is the 7th of December: 120 days after it is the 6th of April.
    assert projector.project(NOW + timedelta(days=7), force).listed == []
    later = projector.project(NOW + timedelta(days=8), force)
    assert [row.reason for row in later.listed] == ["stale"]
    assert not any(row.expected for row in later.positions)
