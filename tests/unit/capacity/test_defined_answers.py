"""Bad input of every kind has a defined answer: finite figures, or a refusal that says why."""

import math
from datetime import date
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas import decision, report
from shared.schemas.deal import Line, Stamp
from shared.schemas.decision import Decision, Effect
from shared.schemas.frame import Frame, encode
from shared.schemas.plan import Plan
from shared.schemas.report import Report, record_key
from shared.topics import DEAD_LETTERS, DECISIONS, REPORTS
from tests.unit.capacity.books import NOW, Partition, by_week
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, tethered, work_pool
from tests.unit.capacity.records import Log

QUEUE = {"handling_minutes": 30, "hours": 35, "open_hours": 40, "answer_within_minutes": 60, "share": 0.8}
NOTHING: dict[str, dict[str, Any]] = {
    "work": work_pool(0.0),
    "queue": {"kind": "queue", "unit": "tickets", "owner": "ana", "queue": QUEUE | {"agents": 0}},
    "stock": {"kind": "stock", "unit": "parts", "owner": "ana", "stock": {"level": 0.0}},
    "budget": {"kind": "budget", "unit": "EUR", "owner": "ana", "budget": {"level": 0.0}},
}


def frame(said: Plan, deals: dict[str, bytes], *reports: Report) -> Frame:
    projector = Projector()
    projector.cells_changed(Partition(projector.book).put(deals))
    for one in reports:
        projector.reported(projector.reports.put(record_key(one), one))
    made = projector.project(NOW, PlanInForce("small@1", said))
    assert made is not None
    finite(made)
    return made


def finite(made: Frame) -> None:
    """Every figure of every row is a number, and none of a position is negative that cannot be."""
    encode(made)
    for row in made.positions:
        for name, value in msgspec.structs.asdict(row).items():
            if isinstance(value, float):
                assert math.isfinite(value), (row.pool, row.week, name, value)
                assert value >= 0.0 or name in ("headroom", "decided", "capacity", "by_plan"), (row.week, name, value)


def won(quantity: float = 1.0, close: str = "2026-04-06") -> dict[str, bytes]:
    return {"crm/1": deal(1, Line("basic", quantity=quantity), stage="won", close=close)}


def about(kind: str, **more: Any) -> Report:
    said: dict[str, Any] = {"source": "s", "object": "o", "reporter": "ana", "stamp": Stamp(1), "pool": "eng"}
    return Report(kind=kind, **(said | more))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", NOTHING)
def test_a_pool_that_can_do_nothing(kind: str) -> None:
    said = plan({"eng": NOTHING[kind]}, {"basic": {"needs": [{"pool": "eng", "effort": 10.0}]}}, horizon_weeks=6)
    idle = by_week(frame(said, {}))["2026-W15"]
    assert (idle.capacity, idle.utilisation, idle.overload, idle.late) == (0.0, None, 0.0, 0.0)
    row = by_week(frame(said, won()))["2026-W15"]
    assert (row.capacity, row.utilisation, row.overload, row.headroom) == (0.0, None, 1.0, -10.0)
    if kind in ("work", "queue"):
        # It is never done within the table: the delay is the least it can be.
        assert (row.backlog, row.delay_weeks, row.late) == (10.0, 4.0, 1.0)


def test_a_week_without_capacity_is_worked_off_in_the_next() -> None:
    closed = about("capacity", week="2026-W15", amount=0.0)
    rows = by_week(frame(tethered(10.0, 40.0), won(), closed))
    assert (rows["2026-W15"].utilisation, rows["2026-W15"].overload, rows["2026-W15"].delay_weeks) == (None, 1.0, 0.25)
    assert (rows["2026-W16"].utilisation, rows["2026-W16"].overload, rows["2026-W16"].backlog) == (0.0, 0.0, 0.0)


def test_absences_beyond_all_capacity_and_effects_that_take_more_leave_nothing() -> None:
    gone = about("absence", week="2026-W15", amount=1e12)
    assert by_week(frame(tethered(10.0, 40.0), won(), gone))["2026-W15"].capacity == 0.0
    less = about("capacity", week="2026-W15", amount=-7.0)
    assert by_week(frame(tethered(10.0, 40.0), won(), less))["2026-W15"].capacity == 0.0


@pytest.mark.parametrize("close", ["0001-01-01", "1969-12-31", "9999-12-31", "2199-12-31", "1970-01-01"])
def test_absurd_close_dates(close: str) -> None:
    found = frame(tethered(10.0, 40.0), won(close=close))
    assert sum(row.booked for row in found.positions) == 0.0
    year = int(close[:4])
    listed = [row.reason for row in found.listed or ()]
    assert listed == ([] if 1970 <= year < 2200 else ["no-close-date"])


@pytest.mark.parametrize(
    "said",
    [
        about("capacity", week="0001-W01", amount=5.0),
        about("backlog", week="9999-W52", amount=5.0),
        about("capacity", week="2026-W15", amount=1e300),
        about("backlog", week="2026-W15", amount=1e300),
        about("hire", day=date(1, 1, 1), amount=3.0),
        about("hire", day=date(9999, 12, 31), amount=3.0),
        about("hire", day=date(2026, 4, 6), amount=-3.0),
        about("delivery-start", day=date(1, 1, 1), deal="crm/1", pool=None),
        about("delivery-start", day=date(9999, 12, 31), deal="crm/1"),
        about("remaining-effort", week="0001-W01", amount=5.0, deal="crm/1"),
        about("remaining-effort", week="9999-W01", amount=5.0, deal="crm/1"),
        about("remaining-effort", amount=1e300, deal="crm/1", week="2026-W15"),
        about("remaining-effort", amount=5.0, deal="crm/1", stamp=Stamp(10**18)),
        about("remaining-effort", amount=5.0, deal="crm/1", stamp=Stamp(-(10**18))),
    ],
)
def test_absurd_reports_leave_finite_figures(said: Report) -> None:
    hire = {"lead_weeks": 2, "hours": 40.0}
    pools = {"eng": work_pool(40.0, hire=hire)}
    frame(plan(pools, {"basic": {"needs": [{"pool": "eng", "effort": 10.0}]}}), won(), said)


@pytest.mark.parametrize("quantity", [1e15, 1e300, 1e-300])
def test_absurd_quantities_leave_finite_figures(quantity: float) -> None:
    frame(tethered(10.0, 40.0, curve={"shape": "rayleigh", "weeks": 8}), won(quantity))
    frame(tethered(10.0, 40.0), {"crm/1": deal(1, Line("basic", quantity=quantity), close="2026-04-06")})


def test_records_with_weeks_that_are_none_are_dead_letters_and_the_stream_goes_on() -> None:
    shard = ProjectShard(lambda: PlanInForce("small@1", tethered(10.0, 40.0)))
    shard.restored({})
    reports, decisions = Log(REPORTS), Log(DECISIONS)
    reports.write(b"a", report.encode(about("capacity", week="2026-W99", amount=5.0)))
    reports.write(b"b", report.encode(about("capacity", week="soon", amount=5.0)))
    bad = Decision(
        id="d", recalibration="r", kind="decided", at=NOW, by="ana", effects=[Effect("eng", ["2026-W54"], 5.0)]
    )  # fmt: skip
    decisions.write(b"r", decision.encode(bad))
    shard.apply(reports.batch())
    shard.apply(decisions.batch())
    out = shard.flush(NOW)
    letters = [dict(one.headers) for one in out if one.topic == DEAD_LETTERS]
    assert len(letters) == 3
    assert any(one.topic != DEAD_LETTERS for one in out)


@pytest.mark.parametrize(
    "said",
    [
        {"start": "9999-W01"},
        {"start": "0001-W01"},
        {"milestones": {"m": {"product": "basic", "from": "0001-01-01", "due": "2026-04-30", "quantity": 5}}},
        {"milestones": {"m": {"product": "basic", "from": "2026-04-01", "due": "9999-12-31", "quantity": 5}}},
        {"work": {"w": {"pool": "eng", "effort": 5, "start": "2026-W14", "due": "9999-W01"}}},
    ],
)
def test_a_plan_with_days_that_nobody_plans_is_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="1970 to 2199"):
        plan({"eng": work_pool(40.0)}, {"basic": {}}, **said)


@pytest.mark.parametrize("start", ["2199-W01", "1970-W01", "2026-W53"])
def test_a_table_that_begins_far_from_now(start: str) -> None:
    said = plan({"eng": work_pool(40.0)}, {"basic": {"needs": [{"pool": "eng", "effort": 10.0}]}}, start=start)
    found = frame(said, won())
    assert 0 < len(found.positions) <= 39


@pytest.mark.parametrize("stale_after", ["1d", "3000d", "999999w"])
def test_any_time_until_a_deal_is_stale(stale_after: str) -> None:
    said = tethered(10.0, 40.0).model_dump(mode="json", by_alias=True, exclude_none=True)
    said["stages"]["pushed"]["stale_after"] = stale_after
    made = Plan.model_validate(said)
    frame(made, {"crm/1": deal(1, Line("basic", quantity=1.0), stage="pushed", close="2026-01-05")})
