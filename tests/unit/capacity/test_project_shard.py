"""What the projection's shard writes for what it reads."""

from datetime import timedelta

import msgspec
import pytest

from services.capacity import metrics
from services.capacity.agents.fold import FoldShard
from services.capacity.agents.plans import Plans
from services.capacity.app import create_project_role
from shared.schemas import dead_letter, decision, forecast, frame, report
from shared.schemas.deal import Line, Stamp
from shared.schemas.envelope import attribute
from shared.topics import CELLS, DEAD_LETTERS, DEALS, DECISIONS, FORECASTS, FRAMES, POSITIONS, REPORTS, SIGNALS
from tests.unit.capacity.books import NOW
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, tethered, work_pool
from tests.unit.capacity.project_shards import deals_log, flush, folded, plans, publish, read, started
from tests.unit.capacity.records import FakeRecord, Log


def test_the_first_frame_is_complete_and_comes_with_its_positions():
    cells, deals = Log(CELLS), deals_log("won", "qualified")
    folded(cells, deals)
    made, rows = read(started(plans(1), cells).flush(NOW))
    assert (made.complete, made.plan, made.week, made.upto, made.book_time) == (True, "small@1", "2026-W14", {0: 2}, 1)
    assert [rows[row.pool, row.week].position for row in made.positions] == made.positions
    row = rows["eng", "2026-W14"]
    assert (row.as_of, row.plan, row.position.booked, row.position.expected) == (NOW, "small@1", 10.0, 4.0)


def test_a_changed_deal_changes_its_weeks():
    cells, deals = Log(CELLS), deals_log("won", "qualified")
    fold = folded(cells, deals)
    shard = started(plans(1), cells)
    shard.flush(NOW)
    deals.write("crm/1", deal(1, Line("basic", quantity=1.0), stage="won"))
    fold.apply(deals.batch(2))
    before = cells.end
    flush(fold, cells)
    # Cells without their mark: nothing yet.
    shard.apply(cells.batch(before, cells.end - 1))
    assert shard.flush(NOW) == []
    shard.apply(cells.batch(cells.end - 1))
    made, rows = read(shard.flush(NOW))
    assert (made.complete, made.upto, list(rows)) == (False, {0: 3}, [("eng", "2026-W14")])
    assert rows["eng", "2026-W14"].position.booked == 20.0


@pytest.mark.parametrize("compacted", [False, True])
def test_a_deal_that_moved_while_nobody_flushed_leaves_nothing_behind(compacted):
    cells, deals = Log(CELLS), deals_log("qualified")
    folded(cells, deals)
    deals.write("crm/0", deal(0, Line("basic", quantity=1.0), stage="won"))
    folded(cells, deals)
    made, _ = read(started(plans(1), cells.compacted() if compacted else cells).flush(NOW))
    row = next(row for row in made.positions if row.week == "2026-W14")
    assert (row.booked, row.expected, row.exposure) == (10.0, 0.0, 0.0)


def test_reports_and_decisions_move_capacity():
    reports, decisions = Log(REPORTS), Log(DECISIONS)
    shard = started(plans(1))
    shard.flush(NOW)
    said = report.Report(
        kind="capacity",
        source="ops",
        object="1",
        reporter="ana",
        stamp=Stamp(int(NOW.timestamp() * 1000)),
        pool="eng",
        week="2026-W15",
        amount=60.0,
    )
    reports.write(report.record_key(said), report.encode(said))
    shard.apply(reports.batch())
    made, rows = read(shard.flush(NOW + timedelta(minutes=1)))
    assert (rows["eng", "2026-W15"].position.capacity, made.report_ages) == (60.0, {"eng": 60.0})
    effect = decision.Effect(pool="eng", weeks=["2026-W15"], amount=25.0)
    taken = decision.Decision(id="d", recalibration="r", kind="decided", at=NOW, by="ana", effects=[effect])
    decisions.write("r", decision.encode(taken))
    shard.apply(decisions.batch())
    _, rows = read(shard.flush(NOW + timedelta(minutes=1)))
    assert (rows["eng", "2026-W15"].position.capacity, rows["eng", "2026-W15"].position.decided) == (85.0, 25.0)
    # The report is deleted from the log.
    reports.write(report.record_key(said), None)
    shard.apply(reports.batch(1))
    _, rows = read(shard.flush(NOW + timedelta(minutes=1)))
    assert rows["eng", "2026-W15"].position.capacity == 125.0


def test_the_age_of_a_report_that_was_deleted_is_no_longer_measured():
    reports = Log(REPORTS)
    shard = started(plans(1))
    said = report.Report(
        kind="backlog", source="ops", object="1", reporter="ana", stamp=Stamp(int(NOW.timestamp() * 1000)), pool="eng",
        week="2026-W15", amount=5.0,
    )  # fmt: skip
    reports.write(report.record_key(said), report.encode(said))
    shard.apply(reports.batch())
    shard.flush(NOW + timedelta(minutes=1))
    assert metrics.project_series.get_sample_value("headroom_report_age_seconds", {"pool": "eng"}) == 60.0
    reports.write(report.record_key(said), None)
    shard.apply(reports.batch(1))
    made, _ = read(shard.flush(NOW + timedelta(hours=2)))
    assert made.report_ages == {"eng": None}
    assert metrics.project_series.get_sample_value("headroom_report_age_seconds", {"pool": "eng"}) is None


def test_a_standby_says_nothing_of_what_it_projected_before():
    reports = Log(REPORTS)
    said = report.Report(
        kind="backlog", source="ops", object="1", reporter="ana", stamp=Stamp(int(NOW.timestamp() * 1000)), pool="eng",
        week="2026-W15", amount=5.0,
    )  # fmt: skip
    reports.write(report.record_key(said), report.encode(said))
    deals = deals_log("qualified")
    cells = Log(CELLS)
    folded(cells, deals)
    made = plans(1)
    started(made, cells, reports).flush(NOW)
    assert said_of_now() == {
        "headroom_report_age_seconds",
        "headroom_positions_overloaded",
        "headroom_book_cells",
        "headroom_plan_in_force",
    }
    create_project_role(lambda: made.in_force, 0.1).ended(0)
    assert said_of_now() == set()


def said_of_now():
    """The gauges that say how things are, and more than nought; not those that say when."""
    gauges = [family for family in metrics.project_series.collect() if family.type == "gauge"]
    samples = [sample for family in gauges for sample in family.samples if sample.labels or sample.value]
    return {sample.name for sample in samples if not sample.name.endswith("timestamp_seconds")}


def test_rows_that_no_longer_stand_for_anything_are_tombstoned():
    positions = Log(POSITIONS)
    for key in (["eng", "2026-W13"], ["eng", "2026-W14"], ["gone", "2026-W14"]):
        positions.write(msgspec.json.encode(key), b"{}")
    shard = started(plans(1), positions)
    _, rows = read(shard.flush(NOW))
    assert {key for key, row in rows.items() if row is None} == {("eng", "2026-W13"), ("gone", "2026-W14")}
    _, rows = read(shard.flush(NOW + timedelta(days=7)))
    assert {key for key, row in rows.items() if row is None} == {("eng", "2026-W14")}


def test_forecasts_go_on_from_what_was_told_before_a_restart():
    deals, cells, told = Log(DEALS), Log(CELLS), Log(FORECASTS)
    book = FoldShard(0)

    def fold(number: int, amount: float) -> None:
        line = Line("basic", quantity=1.0, amount=amount, list_amount=100.0)
        deals.write(f"crm/{number}", deal(number, line, close="2026-05-13"))
        book.apply(deals.batch(deals.end - 1))
        for out in book.flush(NOW):
            cells.write(out.key, out.value)

    def keep(outgoing) -> list:
        rows = [out for out in outgoing if out.topic == FORECASTS]
        for out in rows:
            told.write(out.key, out.value)
        return [forecast.decode(out.value) for out in rows if out.value is not None]

    book.restored({DEALS: 0})
    fold(1, 92.0)
    shard = started(plans(1), cells)
    first = keep(shard.flush(NOW))
    assert [(row.forecast.segment, row.forecast.bookings, row.forecast.since) for row in first] == [
        ("", 36.8, None), ("*", 36.8, None),
    ]  # fmt: skip
    assert (first[0].plan, first[0].products, first[1].products) == (
        "small@1", [forecast.ProductSum("basic", 40.0, 36.8, 0.0)], [],
    )  # fmt: skip
    # The same book after a restart tells the same, whoever asks whenever.
    again = started(plans(1), cells.compacted(), told.compacted())
    assert [row.forecast for row in keep(again.flush(NOW + timedelta(minutes=5)))] == [row.forecast for row in first]
    # And what comes then is held against what was told before.
    before = cells.end
    fold(2, 60.0)
    again.apply(cells.batch(before))
    second = keep(again.flush(NOW + timedelta(minutes=6)))
    assert [(row.forecast.bookings_change, row.forecast.since) for row in second] == [(24.0, NOW), (24.0, NOW)]
    assert second[1].forecast.bridge.price == pytest.approx(24.0 - 36.8)


@pytest.mark.parametrize("broken", [b'{"forecast": 1}', b'{"forecast": "\xff"}'])
def test_a_broken_row_of_forecasts_is_as_none_and_is_taken_back(broken):
    told = Log(FORECASTS)
    told.write(forecast.record_key("2026-Q1", "*"), broken)
    rows = [out for out in started(plans(1), told).flush(NOW) if out.topic == FORECASTS]
    assert [(tuple(msgspec.json.decode(out.key)), out.value) for out in rows] == [(("2026-Q1", "*"), None)]


def test_very_many_forecasts_and_pools_come_in_parts_that_kafka_takes():
    needs = [{"pool": f"p{n}", "effort": 1.0} for n in range(300)]
    many = plan({f"p{n}": work_pool(100.0) for n in range(300)}, {"basic": {"needs": needs}}, horizon_weeks=1)
    made = publish(Plans(), many)
    deals, cells = Log(DEALS), Log(CELLS)
    for number in range(130):
        line = Line("basic", quantity=1.0, amount=1.0, segment=f"segment {number}")
        deals.write(f"crm/{number}", deal(number, line, close="2026-04-01"))
    folded(cells, deals)
    outgoing = started(made, cells).flush(NOW)
    parts = [frame.decode(out.value) for out in outgoing if out.topic == FRAMES]
    told = [each for part in parts for each in part.forecasts or []]
    assert {(each.period, each.segment) for each in told} == {
        ("2026-Q2", segment) for segment in ("*", *(f"segment {number}" for number in range(130)))
    }
    assert [part.more for part in parts] == [True] * (len(parts) - 1) + [False]
    assert max(len(each.pools) for each in told) == 12
    assert all(len(out.value) < 500_000 for out in outgoing if out.value is not None)


def test_without_a_plan_it_waits_and_with_a_new_one_it_starts_over():
    made = Plans()
    shard = started(made)
    assert shard.flush(NOW) == []
    publish(made, tethered(10.0, 100.0))
    assert read(shard.flush(NOW))[0].plan == "small@1"
    publish(made, tethered(20.0, 100.0), 2)
    first, _ = read(shard.flush(NOW))
    assert (first.complete, first.plan) == (True, "small@2")


def test_a_broken_record_becomes_a_dead_letter():
    shard = started(plans(1))
    shard.flush(NOW)
    log = Log(REPORTS)
    log.records.append(FakeRecord(0, b"k", b"{"))
    shard.apply(log.batch())
    (letter,) = shard.flush(NOW)
    assert letter.topic == DEAD_LETTERS


@pytest.mark.parametrize("topic", [CELLS, REPORTS, DECISIONS, SIGNALS], ids=lambda topic: topic.name)
def test_a_record_broken_just_before_a_kill_has_its_letter_after_the_restart(topic):
    log = Log(topic)
    log.records.append(FakeRecord(7, b"k", b"{"))
    letters = []
    for _ in range(2):
        shard = started(plans(1), log)
        letters += [out for out in shard.flush(NOW) if out.topic == DEAD_LETTERS]
        assert not any(out.topic == DEAD_LETTERS for out in shard.flush(NOW)), "once for each restart"
    assert [attribute(out.headers, "id") for out in letters] == [f"{topic.name}/0/7"] * 2
    assert {dead_letter.decode(out.value).reason for out in letters} == {f"broken-{topic.name}"}


def test_a_table_too_long_for_one_record_comes_in_parts_of_one_moment():
    many = plan({f"p{n}": work_pool(100.0) for n in range(30)}, {})
    outgoing = started(publish(Plans(), many)).flush(NOW)
    parts = [frame.decode(out.value) for out in outgoing if out.topic == FRAMES]
    assert [(part.complete, len(part.positions)) for part in parts] == [(True, 500), (False, 500), (False, 170)]
    assert len({(part.now, part.plan, part.week) for part in parts}) == 1
    assert len({(row.pool, row.week) for part in parts for row in part.positions}) == 30 * 39
    assert all(len(out.value) < 500_000 for out in outgoing)
