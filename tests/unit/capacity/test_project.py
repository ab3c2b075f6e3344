"""A projection's figures, worked out by hand."""

from datetime import UTC, datetime, timedelta

import pytest

from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line, Stamp
from shared.schemas.decision import Decision, Effect
from shared.schemas.report import Report, record_key
from tests.unit.capacity.books import NOW, Partition, by_week, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, tethered, work_pool


def test_a_large_deal_at_half_reads_full_and_overloads_half_the_time():
    found = by_week(projected(tethered(80.0, 40.0), {"crm/1": deal(1, Line("basic", quantity=1.0, probability=0.5))}))
    row = found["2026-W14"]
    assert (row.utilisation, row.expected, row.exposure, row.headroom) == (1.0, 40.0, 80.0, 0.0)
    assert row.overload == pytest.approx(0.5)
    assert [(top.deal, top.effort, top.share, top.probability) for top in row.top] == [("crm/1", 40.0, 1.0, 0.5)]
    assert row.others == 0.0


def test_twenty_small_deals_at_forty_percent():
    deals = {f"crm/{n}": deal(n, Line("basic", quantity=1.0)) for n in range(20)}
    row = by_week(projected(tethered(10.0, 100.0), deals))["2026-W14"]
    assert (row.utilisation, row.expected, row.exposure) == (0.8, 80.0, 200.0)
    assert row.overload == pytest.approx(0.1275, abs=1e-4)
    assert sum(top.share for top in row.top) + row.others == pytest.approx(1.0)


def test_the_lines_of_one_deal_are_won_together():
    two = plan(
        {"eng": work_pool(100.0)},
        {name: {"needs": [{"pool": "eng", "effort": 60.0}]} for name in ("basic", "extra")},
    )
    row = by_week(projected(two, {"crm/1": deal(1, Line("basic", quantity=1.0), Line("extra", quantity=1.0))}))[
        "2026-W14"
    ]
    # Apart they would exceed 100 h with 0.16.
    assert row.overload == pytest.approx(0.4)


def test_more_deals_than_are_known_by_name_are_a_crowd():
    deals = {f"crm/{n}": deal(n, Line("basic", quantity=1.0)) for n in range(400)}
    row = by_week(projected(tethered(1.0, 170.0), deals))["2026-W14"]
    # P(Binomial(400, 0.4) > 170) = 0.1424
    assert row.overload == pytest.approx(0.1424, abs=0.02)


@pytest.mark.parametrize(
    ("close", "stage", "weeks"),
    [
        ("2026-04-20", "pushed", {"2026-W17": 2.0, "2026-W18": 1.2, "2026-W19": 0.8}),
        # Past due: from the week of now.
        ("2026-03-02", "pushed", {"2026-W14": 2.0, "2026-W15": 1.2, "2026-W16": 0.8}),
        # Stale: nothing is expected.
        ("2025-11-03", "pushed", {}),
        ("2026-04-20", "lost", {}),
        ("2026-04-20", "won", {"2026-W17": 10.0}),
    ],
)
def test_when_a_deal_asks(close, stage, weeks):
    made = projected(tethered(10.0, 100.0), {"crm/1": deal(1, Line("basic", quantity=1.0), close=close, stage=stage)})
    rows = by_week(made)
    asked = {week: row.expected + row.booked for week, row in rows.items() if row.expected or row.booked}
    assert asked == pytest.approx(weeks)


def test_a_stale_deal_is_exposure_and_listed():
    stale = deal(1, Line("basic", quantity=1.0, amount=500.0), close="2025-11-03", stage="pushed")
    made = projected(tethered(10.0, 100.0), {"crm/1": stale})
    assert (by_week(made)["2026-W14"].exposure, by_week(made)["2026-W14"].expected) == (5.0, 0.0)
    assert [(row.deal, row.reason, row.exposure) for row in made.listed] == [("crm/1", "stale", 500.0)]


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (deal(1), "no-product"),
        (deal(1, Line("mystery", quantity=1.0)), "unknown-product"),
        (deal(1, Line("air", quantity=1.0)), "no-needs"),
        (deal(1, Line("basic", quantity=1.0), stage="somewhere"), "unknown-stage"),
        (deal(1, Line("basic", quantity=1.0)).replace(b'"close":"2026-04-01",', b""), "no-close-date"),
    ],
)
def test_what_the_plan_cannot_count_is_listed_with_the_reason(raw, reason):
    products = {"basic": {"needs": [{"pool": "eng", "effort": 10.0}]}, "air": {}}
    made = projected(plan({"eng": work_pool(100.0)}, products), {"crm/1": raw})
    assert [(row.deal, row.reason) for row in made.listed] == [("crm/1", reason)]


def test_a_line_in_an_unknown_stage_counts_by_its_own_probability():
    raw = deal(1, Line("basic", quantity=1.0, probability=0.3), stage="somewhere")
    assert by_week(projected(tethered(10.0, 100.0), {"crm/1": raw}))["2026-W14"].expected == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("quantity", "units"),
    [({"default": 3.0}, 3.0), ({"from": "amount"}, 2.5)],
)
def test_what_a_line_without_a_quantity_is_in_units(quantity, units):
    products = {
        "basic": {"list_price": 100.0, "quantity": quantity, "needs": [{"pool": "eng", "effort": 10.0}]},
    }
    made = plan({"eng": work_pool(100.0)}, products)
    raw = deal(1, Line("basic", amount=250.0), Line("basic", amount=250.0, probability=0.5), stage="qualified")
    row = by_week(projected(made, {"crm/1": raw}))["2026-W14"]
    assert row.expected == pytest.approx(10 * units * (0.4 + 0.5))
    assert row.exposure == pytest.approx(10 * units * 2)


def test_custom_deals_and_types_ask_what_their_needs_say():
    products = {
        "basic": {
            "needs": [
                {"pool": "eng", "effort": 10.0, "custom_effort": 60.0, "for": ["new"]},
                {"pool": "ops", "effort": 2.0, "custom_factor": 2.5},
            ]
        }
    }
    made = plan({"eng": work_pool(100.0), "ops": work_pool(10.0)}, products)
    deals = {
        "crm/1": deal(1, Line("basic", quantity=1.0, custom=True), stage="won"),
        "crm/2": deal(2, Line("basic", quantity=1.0, type="renewal"), stage="won"),
    }
    frame = projected(made, deals)
    assert by_week(frame, "eng")["2026-W14"].booked == 60.0
    assert by_week(frame, "ops")["2026-W14"].booked == 7.0


def test_holidays_and_attrition_take_capacity():
    hire = {"lead_weeks": 9, "hours": 35.0, "attrition": 0.01}
    pool = work_pool(320.0, hire=hire) | {"capacity": {"per_week": 320.0, "holidays": "DE"}}
    rows = by_week(projected(plan({"eng": pool}, {}), {}))
    # 2026-W14 has Good Friday, W15 Easter Monday, W18 the first of May.
    assert rows["2026-W14"].capacity == pytest.approx(256.0)
    assert rows["2026-W15"].capacity == pytest.approx(256.0 * 0.99)
    assert rows["2026-W16"].capacity == pytest.approx(320.0 * 0.99**2)
    assert rows["2026-W18"].capacity == pytest.approx(256.0 * 0.99**4)


def report(kind: str, amount: float | None, time: int = 1, **more) -> Report:
    said = {"source": "ops", "object": f"{kind}-{more.get('week', more.get('day'))}", "reporter": "ana", "pool": "eng"}
    return Report(kind=kind, amount=amount, stamp=Stamp(time), **(said | more))


def tell(projector: Projector, *reports: Report) -> None:
    for each in reports:
        projector.reported(projector.reports.put(record_key(each), each))


def test_reports_stand_instead_of_the_plan_and_the_newest_wins():
    projector, force = Projector(), PlanInForce("small@1", tethered(10.0, 100.0, curve={"weeks": 1}))
    tell(
        projector,
        report("capacity", 60.0, time=2, week="2026-W15"),
        report("capacity", 90.0, time=1, week="2026-W15"),
        report("absence", 30.0, week="2026-W16"),
        report("capacity", 10.0, week="2026-W17", withdrawn=True),
    )
    rows = by_week(projector.project(NOW, force))
    assert [
        (rows[w].by_plan, rows[w].reported, rows[w].capacity) for w in ("2026-W14", "2026-W15", "2026-W16", "2026-W17")
    ] == [
        (100.0, None, 100.0),
        (100.0, 60.0, 60.0),
        (100.0, 70.0, 70.0),
        (100.0, None, 100.0),
    ]


def test_a_hire_comes_up_by_its_ramp():
    pool = work_pool(100.0, hire={"lead_weeks": 9, "ramp": [0.3, 0.3, 0.7, 0.7, 1.0], "hours": 35.0})
    projector, force = Projector(), PlanInForce("small@1", plan({"eng": pool}, {}))
    tell(projector, report("hire", 2.0, day=datetime(2026, 4, 8, tzinfo=UTC).date()))
    rows = by_week(projector.project(NOW, force))
    gained = [rows[f"2026-W{week}"].capacity - 100.0 for week in range(14, 22)]
    assert gained == pytest.approx([0, 21, 21, 49, 49, 70, 70, 70])


def decided(effect: Effect, number: int = 1, **more) -> Decision:
    said = {"id": f"d{number}", "recalibration": "r1", "kind": "decided", "at": NOW, "by": "ana"}
    return Decision(effects=[effect], **(said | more))


def test_a_decided_effect_counts_until_confirmed_or_over():
    projector, force = Projector(), PlanInForce("small@1", tethered(10.0, 100.0))
    by = NOW + timedelta(days=3)
    effect = Effect(pool="eng", weeks=["2026-W15"], amount=40.0, confirm_by=by)
    assert projector.decisions.put(decided(effect))
    assert not projector.decisions.put(decided(effect))
    row = by_week(projector.project(NOW, force))["2026-W15"]
    assert (row.capacity, row.by_plan, row.decided) == (140.0, 100.0, 40.0)
    # Nobody confirmed it in time.
    late = by_week(projector.project(by + timedelta(hours=2), force))
    assert (late["2026-W15"].capacity, late["2026-W15"].decided) == (100.0, 0.0)
    # Whoever confirms reports what is there now, the effect included.
    tell(projector, report("capacity", 140.0, week="2026-W15", confirms="r1"))
    row = by_week(projector.project(NOW + timedelta(days=1), force))["2026-W15"]
    assert (row.capacity, row.reported, row.decided) == (140.0, 140.0, 0.0)


def test_a_later_decision_on_the_same_recalibration_replaces_the_effects():
    projector, force = Projector(), PlanInForce("small@1", tethered(10.0, 100.0))
    for number, amount in ((1, 40.0), (2, 15.0)):
        effect = Effect(pool="eng", weeks=["2026-W15"], amount=amount)
        projector.decisions.put(decided(effect, number, at=NOW + timedelta(minutes=number)))
    assert by_week(projector.project(NOW, force))["2026-W15"].decided == 15.0


def test_deals_held_back_by_decision_ask_nothing_of_that_pool_only():
    products = {"basic": {"needs": [{"pool": "eng", "effort": 60.0}, {"pool": "ops", "effort": 1.0}]}}
    force = PlanInForce("small@1", plan({"eng": work_pool(100.0), "ops": work_pool(10.0)}, products))
    projector = Projector()
    deals = {f"crm/{n}": deal(n, Line("basic", quantity=1.0)) for n in range(3)}
    projector.cells_changed(Partition(projector.book).put(deals))
    assert by_week(projector.project(NOW, force))["2026-W14"].expected == pytest.approx(72.0)
    by = NOW + timedelta(days=2)
    projector.decisions.put(decided(Effect(pool="eng", deals=["crm/0", "crm/2"], confirm_by=by)))
    projector.decided()
    frame = projector.project(NOW, force)
    (row,) = frame.positions
    assert (row.pool, row.week, row.expected) == ("eng", "2026-W14", 24.0)
    assert [top.deal for top in row.top] == ["crm/1"]
    assert row.overload == 0.0
    # The promise is not confirmed as withdrawn: their demand is back.
    assert by_week(projector.project(by + timedelta(hours=1), force))["2026-W14"].expected == pytest.approx(72.0)


def test_undone_work_waits_and_says_how_long():
    raw = {"crm/1": deal(1, Line("basic", quantity=25.0), stage="won")}
    rows = by_week(projected(tethered(10.0, 100.0), raw))
    assert [rows[f"2026-W{week}"].backlog for week in (14, 15, 16)] == [150.0, 50.0, 0.0]
    assert [rows[f"2026-W{week}"].delay_weeks for week in (14, 15, 16)] == [1.5, 0.5, 0.0]


def test_work_of_past_weeks_is_todays_backlog_unless_somebody_says_otherwise():
    raw = {"crm/1": deal(1, Line("basic", quantity=25.0), stage="won", close="2026-03-23")}
    projector, force = Projector(), PlanInForce("small@1", tethered(10.0, 100.0))
    projector.cells_changed(Partition(projector.book).put(raw))
    assert by_week(projector.project(NOW, force))["2026-W14"].backlog == 50.0
    tell(projector, report("backlog", 320.0, week="2026-W14"))
    assert by_week(projector.project(NOW, force))["2026-W14"].backlog == 220.0


def test_a_stock_runs_out_where_what_was_asked_exceeds_what_came():
    stock = {"level": 10.0, "per_week": 1.0, "receipts": {"2026-W16": 5.0}}
    pools = {"shelf": {"kind": "stock", "unit": "units", "owner": "ana", "stock": stock}}
    products = {"basic": {"needs": [{"pool": "shelf", "effort": 1.0}]}}
    deals = {
        "crm/1": deal(1, Line("basic", quantity=8.0), stage="won", close="2026-04-01"),
        "crm/2": deal(2, Line("basic", quantity=7.0), stage="won", close="2026-04-07"),
        # Delivered before the table begins: the level is what is left.
        "crm/3": deal(3, Line("basic", quantity=99.0), stage="won", close="2026-03-02"),
    }
    rows = by_week(projected(plan(pools, products), deals), "shelf")
    assert [(rows[f"2026-W{w}"].capacity, rows[f"2026-W{w}"].booked) for w in (14, 15, 16)] == [
        (11, 8),
        (12, 15),
        (18, 15),
    ]
    assert [rows[f"2026-W{w}"].overload for w in (14, 15, 16)] == [0.0, 1.0, 0.0]


def test_a_pool_without_capacity_has_no_utilisation_and_is_overloaded_by_anything():
    row = by_week(projected(tethered(10.0, 0.0), {"crm/1": deal(1, Line("basic", quantity=1.0), stage="won")}))[
        "2026-W14"
    ]
    assert (row.utilisation, row.overload, row.headroom) == (None, 1.0, -10.0)


def test_absurd_closes_are_beyond_every_horizon():
    deals = {
        "crm/1": deal(1, Line("basic", quantity=1.0), stage="won", close="2199-12-31"),
        "crm/2": deal(2, Line("basic", quantity=1.0), stage="won", close="1970-01-01"),
    }
    assert not any(row.booked for row in projected(tethered(10.0, 100.0), deals).positions)
