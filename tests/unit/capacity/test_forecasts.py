"""Forecasts against sums over deals one by one, incremental ones against those from nothing, and what is told when."""

import json
from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.pace import Pace
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Deal, Line, encode
from shared.schemas.forecast import Forecast
from shared.schemas.plan import Plan
from tests.unit.capacity.books import NOW, Partition, projected
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import STAGES, plan, work_pool

PRODUCTS = {
    "basic": {
        "unit_cost": 5.0,
        "needs": [{"pool": "eng", "effort": 2.0, "custom_effort": 6.0, "curve": {"shape": "flat", "weeks": 3}}],
    },
    "enterprise": {
        "list_price": 100.0,
        "quantity": {"from": "amount"},
        "unit_cost": 20.0,
        "needs": [{"pool": "ops", "effort": 3.0, "for": ["new"]}, {"pool": "eng", "effort": 1.0}],
    },
}
POOLS = {
    "eng": work_pool(40.0, cost_per_unit=10.0, overtime={"max_share": 0.5, "cost": 15.0}),
    "ops": work_pool(20.0, cost_per_unit=4.0),
}
PERIODS = {"2026-Q2": {"bookings": 1000.0, "margin": 0.6}}
PLAN = plan(POOLS, PRODUCTS, periods=PERIODS)
FORCE = PlanInForce("small@1", PLAN)


def quarter(day: date) -> str:
    return f"{day.year}-Q{(day.month - 1) // 3 + 1}"


def by_hand(deals: list[Deal], plan: Plan) -> dict[tuple[str, str], dict[str, float]]:
    """Sums over the last state of deals, one line after the other."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for one in deals:
        if one.deleted or one.close is None or one.stage not in STAGES or STAGES[one.stage]["class"] == "lost":
            continue
        rate = one.rate if one.rate is not None else 1.0 if one.currency is None else 0.0
        won = STAGES[one.stage]["class"] == "won"
        lines = one.lines or [Line(product="")]
        for line in lines:
            amount = line.amount if line.amount is not None else one.amount if len(lines) == 1 else None
            net = (amount or 0.0) * rate
            p = line.probability if line.probability is not None else one.probability
            p = 1.0 if won else STAGES[one.stage]["probability"] if p is None else p
            product = plan.products.get(line.product)
            units = line.quantity
            if units is None:
                units = net / 100.0 if line.product == "enterprise" else 1.0
            cost = 0.0
            if product is not None:
                custom = one.custom if line.custom is None else line.custom
                kind = line.type or one.type
                cost = product.unit_cost
                for need in product.needs:
                    if kind in need.for_:
                        cost += need.effort_of(custom) * plan.pools[need.pool].cost_per_unit
            for segment in (one.segment if line.segment is None else line.segment, "*"):
                at = found.setdefault((quarter(one.close), segment), dict.fromkeys(NAMES, 0.0))
                at["closed" if won else "expected"] += p * net
                at["cost"] += p * units * cost
                at["list_value"] += p * (net if line.list_amount is None else line.list_amount * rate)
                at["lines"] += 1
                at["unlisted"] += line.list_amount is None or (one.rate is None and one.currency is not None)
                at["variance"] += p * (1 - p) * net**2
    return found


NAMES = ("closed", "expected", "cost", "list_value", "lines", "unlisted", "variance")

LATER = DEALS.map(lambda d: d if d.close is None else Deal(**{**as_fields(d), "close": d.close + timedelta(days=15)}))


def as_fields(one: Deal) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__struct_fields__}


@settings(max_examples=80, deadline=None)
@given(st.lists(LATER, max_size=12))
def test_a_forecast_is_the_sum_over_deals(deals: list[Deal]) -> None:
    last = {one.id: one for one in deals}
    frame = projected(PLAN, {name: encode(one) for name, one in last.items()})
    found = {(each.period, each.segment): each for each in frame.forecasts or []}
    expected = by_hand(list(last.values()), PLAN)
    assert {key for key in expected if key[0] >= "2026-Q2"} | {("2026-Q2", "*")} == {
        k for k in found if k[0] >= "2026-Q2"
    }
    for key, sums in expected.items():
        if key[0] < "2026-Q2":
            continue
        each = found[key]
        for name in NAMES[:-1]:
            assert getattr(each, name) == pytest.approx(sums[name], rel=1e-7, abs=1e-6), (key, name)
        # Quantities of lines that bring none are equal here, so every line is known by name.
        assert each.bookings_sd**2 == pytest.approx(sums["variance"], rel=1e-6, abs=1e-6)
        assert each.bookings == pytest.approx(each.closed + each.expected, rel=1e-7, abs=1e-6)
        margin = each.bookings - each.cost - each.overload_cost
        assert each.margin == pytest.approx(margin, rel=1e-7, abs=1e-2)


def standing(projector: Projector) -> dict[tuple[str, str], dict[str, object]]:
    """All forecasts without what changed since, and without those of nothing at all."""
    changes = {"at", "since", "bookings_change", "margin_change", "bridge", "pools"}
    return {
        key: {name: getattr(each, name) for name in each.__struct_fields__ if name not in changes}
        | {"pools": sorted((p.pool, p.effort, p.utilisation, p.break_even) for p in each.pools if p.effort)}
        for key, each in projector.told.forecasts.items()
        if each.lines or each.target or each.overload_cost
    }


@settings(max_examples=40, deadline=None)
@given(
    events=st.lists(st.tuples(st.lists(LATER, min_size=1, max_size=4), st.booleans()), max_size=8),
    partition_of=st.lists(st.integers(0, 1), min_size=6, max_size=6),
    every=st.sampled_from([0, 3]),
)
def test_incremental_equals_from_nothing_and_bridges_sum(events, partition_of, every) -> None:
    projector = Projector(pace=Pace(forecasts=60.0 * every))
    partitions = [Partition(projector.book, 0), Partition(projector.book, 1)]
    last: list[dict[str, bytes]] = [{}, {}]
    before: dict[tuple[str, str], Forecast] = {}
    projector.project(NOW, FORCE)
    for number, (deals, look) in enumerate(events):
        for one in deals:
            at = partition_of[int(one.id[-1])]
            last[at][one.id] = encode(one)
            projector.cells_changed(partitions[at].put({one.id: encode(one)}))
        if look:
            before = dict(projector.told.forecasts)
            made = projector.project(NOW + timedelta(minutes=number), FORCE, 60.0 * number)
            for each in (made.forecasts or []) if made is not None else []:
                assert_bridges(each, before.get((each.period, each.segment)))
    projector.project(NOW + timedelta(minutes=30), FORCE, 1800.0)
    fresh = Projector()
    for number, deals_of in enumerate(last):
        fresh.cells_changed(Partition(fresh.book, number).put(dict(sorted(deals_of.items(), reverse=True))))
    fresh.project(NOW, FORCE)
    assert standing(projector) == standing(fresh)


def assert_bridges(each: Forecast, before: Forecast | None) -> None:
    if before is None:
        assert (each.since, each.margin_change, each.bridge) == (None, 0.0, type(each.bridge)())
        return
    parts = [getattr(each.bridge, part) for part in each.bridge.__struct_fields__]
    scale = max(map(abs, [*parts, each.margin, before.margin, 1.0]))
    assert each.since == before.at
    assert sum(parts) == pytest.approx(each.margin - before.margin, abs=1e-7 * scale)
    assert each.margin_change == pytest.approx(each.margin - before.margin, abs=1e-7 * scale)
    if each.target is not None and each.target.margin is not None:
        gap = each.margin - each.target.bookings * each.target.margin
        assert each.target.volume + each.target.rate + each.target.overload == pytest.approx(gap, abs=1e-7 * scale)


def test_margin_and_pools_move_in_one_forecast() -> None:
    projector = Projector()
    partition = Partition(projector.book)
    quote = {"product": "basic", "quantity": 4.0, "list_amount": 100.0}
    close = "2026-05-13"
    first, second = Line(amount=92.0, **quote), Line(amount=78.0, **quote)
    projector.cells_changed(partition.put({"crm/1": deal(1, first, close=close, stage="won")}))
    projector.project(NOW, FORCE)
    projector.cells_changed(partition.put({"crm/2": deal(2, second, close=close, stage="won", custom=True)}))
    made = projector.project(NOW + timedelta(seconds=1), FORCE)
    assert made is not None
    assert made.forecasts is not None
    assert [(each.period, each.segment) for each in made.forecasts] == [("2026-Q2", ""), ("2026-Q2", "*")]
    whole = next(each for each in made.forecasts if each.segment == "*")
    assert (whole.bookings, whole.bookings_change) == (170.0, 78.0)
    # Costs: 4 · (5 + 2·10) = 100 and, custom, 4 · (5 + 6·10) = 260, of which the margins -8 and -182.
    assert whole.margin == pytest.approx(-190.0 - whole.overload_cost)
    assert whole.bridge.price == pytest.approx(-14.0)
    assert whole.bridge.cost == pytest.approx(-160.0)
    assert whole.bridge.volume == pytest.approx(-8.0)
    assert [(pool.pool, pool.effort, pool.effort_change) for pool in whole.pools] == [("eng", 32.0, 24.0)]
    assert whole.pools[0].utilisation_change > 0


@pytest.mark.parametrize("clock", [0, 1, -1])
def test_changes_between_two_forecasts_are_told_as_one_when_it_is_time(clock: int) -> None:
    """Whether the system's clock goes on, stands still or goes back."""
    projector = Projector(pace=Pace(forecasts=1.0))
    partition = Partition(projector.book)
    told = []
    for tenths, amount in ((0, 10.0), (15, 100.0), (18, 150.0), (20, 170.0), (24, None), (25, None), (30, None)):
        if amount is not None:
            sold = deal(1, Line("basic", quantity=amount, amount=amount), close="2026-05-04", stage="won")
            projector.cells_changed(partition.put({"crm/1": sold}))
        made = projector.project(NOW + timedelta(seconds=tenths * clock / 10), FORCE, tenths / 10)
        rows = bool(made and made.positions)
        found = [each for each in (made.forecasts if made else None) or [] if each.segment == "*"]
        told.append((tenths, rows, [(each.bookings, each.bookings_change) for each in found]))
    assert told == [
        (0, True, [(10.0, 0.0)]),
        (15, True, [(100.0, 90.0)]),
        (18, True, []),
        (20, True, []),
        (24, False, []),
        (25, False, [(170.0, 70.0)]),
        (30, False, []),
    ]


def test_another_product_for_the_same_money_asks_other_pools() -> None:
    products = {name: {"needs": [{"pool": pool, "effort": 2.0}]} for name, pool in (("one", "eng"), ("other", "ops"))}
    in_force = PlanInForce("small@1", plan({"eng": work_pool(40.0), "ops": work_pool(20.0)}, products, periods=PERIODS))
    projector = Projector()
    partition = Partition(projector.book)
    for seconds, product, pool in ((0, "one", "eng"), (1, "other", "ops")):
        line = Line(product, quantity=1.0, amount=100.0)
        projector.cells_changed(partition.put({"crm/1": deal(1, line, close="2026-05-04")}))
        projector.project(NOW + timedelta(seconds=seconds), in_force)
        asked = [each.pool for each in projector.told.forecasts["2026-Q2", "*"].pools if each.effort]
        sold = [each.product for each in projector.told.products["2026-Q2", ""]]
        assert (asked, sold) == ([pool], [product])


def test_a_period_of_which_nothing_is_left_is_told_to_be_nothing_and_then_no_more() -> None:
    projector = Projector()
    partition = Partition(projector.book)
    for minutes, close in ((0, "2026-08-03"), (1, "2026-05-04")):
        moved = deal(1, Line("basic", quantity=1.0, amount=100.0), close=close, stage="won")
        projector.cells_changed(partition.put({"crm/1": moved}))
        made = projector.project(NOW + timedelta(minutes=minutes), FORCE)
    assert made is not None
    told = {(each.period, each.segment): (each.bookings, each.bookings_change) for each in made.forecasts or []}
    assert told["2026-Q3", ""] == told["2026-Q3", "*"] == (0.0, -100.0)
    assert told["2026-Q2", "*"] == (100.0, 100.0)
    complete = projector.project(NOW + timedelta(days=7), FORCE)
    assert complete is not None
    assert {each.period for each in complete.forecasts or []} == {"2026-Q2"}


def test_how_busy_a_pool_is_hangs_on_no_other_period() -> None:
    # The quarter before begins as early on the table, whose weeks begin now, but what is worked on ends earlier.
    now = NOW + timedelta(days=10)
    sold = {
        f"crm/{n}": deal(n, Line("basic", quantity=9.0), close=day)
        for n, day in enumerate(["2026-05-20", "2026-07-20"])
    }
    found = []
    for periods in (PERIODS, PERIODS | {"2026-Q1": {"bookings": 1.0}}):
        projector = Projector()
        projector.cells_changed(Partition(projector.book).put(sold))
        projector.project(now, PlanInForce("small@1", plan(POOLS, PRODUCTS, periods=periods)))
        found.append(projector.told.forecasts["2026-Q2", "*"].pools)
    assert found[0] == found[1]


def test_what_is_told_is_taken_over_after_a_restart_and_nothing_is_told_anew() -> None:
    deals = {f"crm/{n}": deal(n, Line("basic", quantity=1.0, amount=50.0 + n), close="2026-05-13") for n in range(4)}
    first = Projector()
    partition = Partition(first.book)
    for name, raw in deals.items():
        first.cells_changed(partition.put({name: raw}))
        first.project(NOW, FORCE)
    second = Projector()
    for key, each in first.told.forecasts.items():
        second.told.put(each, first.told.products[key])
    second.cells_changed(Partition(second.book, generation=9).put(deals))
    made = second.project(NOW + timedelta(minutes=5), FORCE)
    assert made is not None
    assert {(each.period, each.segment): each for each in made.forecasts or []} == first.told.forecasts
    assert json.loads(encode_all(made.forecasts)) == json.loads(encode_all(list(first.told.forecasts.values())))


def test_the_bridge_of_everything_has_a_segment_that_went_before_a_restart() -> None:
    line, dearer = (Line("basic", quantity=1.0, amount=amount, list_amount=100.0) for amount in (80.0, 90.0))
    quote = {"close": "2026-05-13", "stage": "won"}
    first = Projector()
    first.cells_changed(Partition(first.book).put({"crm/1": deal(1, line, segment="small", **quote)}))
    first.project(NOW, FORCE)
    before = dict(first.told.forecasts)
    second = Projector()
    for key, each in before.items():
        second.told.put(each, first.told.products[key])
    moved = {"crm/1": deal(1, dearer, segment="large", **quote)}
    second.cells_changed(Partition(second.book, generation=9).put(moved))
    made = second.project(NOW + timedelta(minutes=5), FORCE)
    assert made is not None
    assert [(each.period, each.segment) for each in made.forecasts or []] == [("2026-Q2", "large"), ("2026-Q2", "*")]
    assert second.told.forecasts.keys() == {("2026-Q2", "large"), ("2026-Q2", "*")}
    for each in made.forecasts or []:
        assert_bridges(each, before.get((each.period, each.segment)))


def encode_all(forecasts: list[Forecast] | None) -> bytes:
    return msgspec.json.encode(sorted(forecasts or [], key=lambda each: (each.period, each.segment)))
