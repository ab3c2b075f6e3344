"""Reports about a deal replace its curve: when its delivery began, and what is left to do on a pool."""

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.pool import WHOLE, Depth
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line, Stamp, encode
from shared.schemas.frame import Frame
from shared.schemas.report import Report, record_key
from tests.unit.capacity.books import NOW, Partition, by_week
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import plan, work_pool

FLAT4 = {"shape": "flat", "weeks": 4}
PRODUCTS: dict[str, Any] = {
    "basic": {
        "effort_cv": 0.3,
        "needs": [
            {"pool": "eng", "effort": 40.0, "curve": FLAT4},
            {"pool": "ops", "effort": 10.0, "after_weeks": 3, "curve": {"shape": "flat", "weeks": 2}},
            {"pool": "shelf", "effort": 1.0},
        ],
    },
    "enterprise": {"needs": [{"pool": "eng", "effort": 6.0, "after_weeks": 1, "curve": {"shape": "back", "weeks": 3}}]},
}
SHELF = {"kind": "stock", "unit": "units", "owner": "ana", "stock": {"level": 10.0}}
PLAN = plan(
    {"eng": work_pool(100.0), "ops": work_pool(20.0), "shelf": SHELF},
    PRODUCTS,
    horizon_weeks=40,
    uncertainty={"win_correlation": 0.1},
)
FORCE = PlanInForce("small@1", PLAN)


def said(kind: str, deal_id: str = "crm/1", time: int = 1, **more: Any) -> Report:
    return Report(kind=kind, source="jira", object=deal_id, reporter="ana", stamp=Stamp(time), deal=deal_id, **more)  # type: ignore[arg-type]


def tell(projector: Projector, *reports: Report) -> None:
    for one in reports:
        projector.reported(projector.reports.put(record_key(one), one))


def frame(deals: Mapping[str, bytes], *reports: Report, depth: Depth = WHOLE) -> Frame:
    projector = Projector(depth)
    projector.cells_changed(Partition(projector.book).put(deals))
    tell(projector, *reports)
    made = projector.project(NOW, FORCE)
    assert made is not None
    return made


def asked(found: Frame, pool: str = "eng") -> dict[str, float]:
    return {week: row.booked + row.expected for week, row in by_week(found, pool).items() if row.booked + row.expected}


def one(stage: str = "won", close: str = "2026-04-06", **more: Any) -> dict[str, bytes]:
    return {"crm/1": deal(1, Line("basic", quantity=2.0), stage=stage, close=close, **more)}


def weeks(first: int, *amounts: float) -> dict[str, float]:
    return {f"2026-W{first + number}": pytest.approx(amount) for number, amount in enumerate(amounts) if amount}


START = said("delivery-start", day=date(2026, 5, 13))
"""In 2026-W20."""


def test_a_start_moves_what_the_deal_asks_of_every_pool() -> None:
    assert asked(frame(one())) == weeks(15, 20, 20, 20, 20)
    assert asked(frame(one()), "ops") == weeks(18, 10, 10)
    moved = frame(one(), START)
    assert asked(moved) == weeks(20, 20, 20, 20, 20)
    assert asked(moved, "ops") == weeks(23, 10, 10)
    # A stock's demand is a running total.
    assert asked(moved, "shelf") == weeks(20, *[2.0] * 34)


def test_a_start_on_one_pool_moves_only_that_pool() -> None:
    moved = frame(one(), said("delivery-start", pool="ops", day=date(2026, 5, 13)))
    assert asked(moved) == weeks(15, 20, 20, 20, 20)
    assert asked(moved, "ops") == weeks(20, 10, 10)


def test_a_start_is_not_pushed_and_keeps_the_chance_to_win() -> None:
    moved = frame(one("pushed"), START)
    assert asked(moved) == weeks(20, *[0.4 * 20] * 4)
    row = by_week(moved)["2026-W20"]
    assert (row.exposure, row.booked) == (pytest.approx(20), 0.0)


def test_a_deal_closed_long_ago_asks_again_when_its_delivery_begins_now() -> None:
    assert asked(frame(one(close="2024-04-08"))) == {}
    assert asked(frame(one(close="2024-04-08"), START)) == weeks(20, 20, 20, 20, 20)


def test_the_last_word_about_a_start_counts_and_one_withdrawn_does_not() -> None:
    again = said("delivery-start", time=2, day=date(2026, 5, 20))
    assert asked(frame(one(), START, again)) == weeks(21, 20, 20, 20, 20)
    gone = said("delivery-start", time=3, day=date(2026, 5, 20), withdrawn=True)
    assert asked(frame(one(), START, gone)) == weeks(15, 20, 20, 20, 20)


@pytest.mark.parametrize(
    ("week", "amount", "found"),
    [
        ("2026-W17", 90.0, weeks(15, 20, 20, 45, 45)),
        ("2026-W17", 0.0, weeks(15, 20, 20)),
        ("2026-W15", 8.0, weeks(15, 2, 2, 2, 2)),
        # It was to be over: what is left takes as long as all of it did.
        ("2026-W19", 40.0, weeks(15, 20, 20, 20, 20, 10, 10, 10, 10)),
        ("2026-W22", 4.0, weeks(15, 20, 20, 20, 20, 0, 0, 0, 1, 1, 1, 1)),
        # Said before anything was to be done.
        ("2026-W02", 40.0, weeks(15, 10, 10, 10, 10)),
        ("2026-W16", -5.0, weeks(15, 20)),
    ],
)
def test_what_is_left_stands_from_its_week_on(week: str, amount: float, found: dict[str, float]) -> None:
    assert asked(frame(one(), said("remaining-effort", pool="eng", week=week, amount=amount))) == found
    # Nobody said anything about ops.
    other = frame(one(), said("remaining-effort", pool="eng", week=week, amount=amount))
    assert asked(other, "ops") == weeks(18, 10, 10)


def test_what_is_left_counts_from_the_week_it_was_said_in_when_it_names_none() -> None:
    at = int(NOW.timestamp() * 1000)
    left = said("remaining-effort", pool="eng", time=at, amount=6.0)
    assert asked(frame(one(close="2026-03-23"), left)) == weeks(14, 2, 2, 2)


def test_what_is_left_of_several_lines_is_shared_as_they_ask() -> None:
    lines = Line("basic", quantity=1.0), Line("enterprise", quantity=5.0)
    both = {"crm/1": deal(1, *lines, stage="won", close="2026-04-06")}
    assert asked(frame(both)) == weeks(15, 10, 15, 20, 25)
    left = said("remaining-effort", pool="eng", week="2026-W17", amount=90.0)
    assert asked(frame(both, left)) == weeks(15, 10, 15, 40, 50)


def test_chance_and_lateness_follow_the_replaced_curve() -> None:
    large = {"crm/1": deal(1, Line("basic", quantity=12.0), close="2026-04-06", probability=0.5)}
    moved = frame(large, START, said("remaining-effort", pool="eng", week="2026-W20", amount=600.0))
    rows = by_week(moved)
    assert {rows[f"2026-W{week}"].overload for week in range(15, 20)} == {0.0}
    assert rows["2026-W20"].overload == pytest.approx(0.5 * 0.9, abs=0.1)
    assert rows["2026-W23"].backlog_mean == pytest.approx(0.5 * 200, rel=0.25)
    assert rows["2026-W20"].top[0].effort == pytest.approx(75)


@pytest.mark.parametrize(
    ("deals", "about"),
    [
        (one(), "crm/unknown"),
        (one("lost"), "crm/1"),
        (one("pushed", "2020-01-06"), "crm/1"),
        ({f"crm/{n}": deal(n, Line("basic", quantity=99.0 if n else 1.0), stage="won") for n in range(40)}, "crm/0"),
        ({"crm/1": deal(1, Line("other", quantity=1.0), stage="won")}, "crm/1"),
    ],
)
def test_a_report_that_finds_no_named_line_changes_nothing_and_is_listed(deals: dict[str, bytes], about: str) -> None:
    before, after = frame(deals), frame(deals, said("delivery-start", about, day=date(2026, 5, 13)))
    assert after.positions == before.positions
    assert [row.deal for row in after.listed or () if row.reason == "unused-report"] == [about]


PLAIN = Depth(tails=False, paths=False)
STARTS = st.builds(
    lambda number, days, pool, time: said(
        "delivery-start", f"crm/{number}", time, day=NOW.date() + timedelta(days=days), pool=pool
    ),
    st.integers(0, 5),
    st.integers(0, 100),
    st.sampled_from([None, None, "eng", "ops", "shelf"]),
    st.integers(1, 5),
)
LEFT = st.builds(
    lambda number, week, pool, amount, time: said(
        "remaining-effort", f"crm/{number}", time, pool=pool, week=f"2026-W{week}", amount=amount
    ),
    st.integers(0, 5),
    st.integers(10, 30),
    st.sampled_from(["eng", "ops"]),
    st.sampled_from([0.0, 3.0, 500.0]),
    st.integers(1, 5),
)
SMALL = DEALS.filter(lambda made: all((line.quantity or 0) < 1e6 and (line.amount or 0) < 1e6 for line in made.lines))


@settings(max_examples=40, deadline=None)
@given(deals=st.lists(SMALL, max_size=8), starts=st.lists(STARTS, max_size=5))
def test_a_start_conserves_effort(deals: list[Any], starts: list[Report]) -> None:
    # The table begins today: what was asked before is not in it.
    book = {made.id: encode(made) for made in deals if made.close is None or made.close >= NOW.date()}
    before, after = frame(book, depth=PLAIN), frame(book, *starts, depth=PLAIN)
    for pool in ("eng", "ops"):
        assert sum(asked(after, pool).values()) == pytest.approx(sum(asked(before, pool).values()), rel=1e-7, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(events=st.lists(st.tuples(st.one_of(SMALL, STARTS, LEFT), st.booleans()), max_size=10))
def test_updates_equal_a_projection_from_nothing(events: list[tuple[Any, bool]]) -> None:
    projector = Projector()
    partition = Partition(projector.book)
    book: dict[str, bytes] = {}
    reports: list[Report] = []
    for event, look in events:
        if isinstance(event, Report):
            reports.append(event)
            tell(projector, event)
        else:
            book[event.id] = encode(event)
            projector.cells_changed(partition.put({event.id: encode(event)}))
        if look:
            projector.project(NOW, FORCE)
    projector.project(NOW, FORCE)
    whole = frame(dict(sorted(book.items(), reverse=True)), *reports)
    assert projector.positions == {(row.pool, row.week): row for row in whole.positions}


LEFT = said("remaining-effort", pool="eng", amount=70.0, week="2026-W17")


@pytest.mark.parametrize(
    ("stage", "reports", "efforts"),
    [
        # Two units are 80 h over four weeks from W15 on; by W17 the curve has done 40.
        pytest.param("won", [LEFT], [("eng", 80, 110, 1)], id="more is left than was planned"),
        pytest.param(
            "won",
            [said("remaining-effort", pool="eng", amount=40.0, week="2026-W17")],
            [("eng", 80, 80, 1)],
            id="as planned",
        ),
        pytest.param("won", [LEFT, START], [("eng", 80, 70, 1)], id="begun later it had done nothing yet"),
        pytest.param("won", [START], [], id="nothing said of what is left"),
        pytest.param("open", [LEFT], [], id="not won yet"),
        pytest.param("won", [said("remaining-effort", "crm/9", pool="eng", amount=1.0)], [], id="of nobody"),
    ],
)
def test_what_won_deals_take_as_reported_beside_what_was_planned(
    stage: str, reports: list[Report], efforts: list[tuple[str, float, float, int]]
) -> None:
    found = frame(one(stage), *reports).efforts
    assert found is not None
    assert [(each.pool, each.planned, each.reported, each.deals) for each in found] == [
        (pool, pytest.approx(planned), pytest.approx(reported), count) for pool, planned, reported, count in efforts
    ]


def test_efforts_are_told_when_they_change() -> None:
    projector = Projector(WHOLE)
    projector.cells_changed(Partition(projector.book).put(one()))
    first = projector.project(NOW, FORCE)
    tell(projector, LEFT)
    second = projector.project(NOW + timedelta(minutes=1), FORCE)
    third = projector.project(NOW + timedelta(hours=2), FORCE)
    assert [made.efforts is None for made in (first, second, third) if made is not None] == [False, False, True]
    tell(projector, said("remaining-effort", pool="eng", amount=70.0, week="2026-W17", time=2, withdrawn=True))
    last = projector.project(NOW + timedelta(hours=3), FORCE)
    assert last is not None
    assert last.efforts == []


FEW = st.sampled_from(["crm/1", "crm/2"])
SOLD = st.builds(
    lambda name, quantity, stage: (name, deal(int(name[-1]), Line("basic", quantity=quantity), stage=stage)),
    FEW,
    st.sampled_from([1.0, 2.0]),
    st.sampled_from(["won", "won", "qualified"]),
)
LEFTS = st.builds(
    lambda name, pool, amount, gone: {"deal_id": name, "pool": pool, "amount": amount, "withdrawn": gone},
    FEW,
    st.sampled_from(["eng", "ops"]),
    st.sampled_from([0.0, 5.0, 70.0]),
    st.sampled_from([False, False, True]),
)


@settings(max_examples=40, deadline=None)
@given(steps=st.lists(st.one_of(SOLD, LEFTS), max_size=10))
def test_efforts_kept_up_are_those_from_nothing(steps) -> None:
    projector, deals, told, last = Projector(PLAIN), {}, {}, None
    partition = Partition(projector.book)
    for number, step in enumerate(steps):
        if isinstance(step, dict):
            one = said("remaining-effort", time=number + 1, week="2026-W17", **step)
            told[record_key(one)] = one
            tell(projector, one)
        else:
            deals[step[0]] = step[1]
            projector.cells_changed(partition.put({step[0]: step[1]}))
        made = projector.project(NOW + timedelta(seconds=number), FORCE)
        last = made.efforts if made is not None and made.efforts is not None else last
        assert (last or []) == frame(deals, *told.values(), depth=PLAIN).efforts
