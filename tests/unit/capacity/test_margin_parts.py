"""The parts of a forecast by themselves: the bridge, drift of discounts, cost of overload, revenue at risk, spread."""

import math
from datetime import date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.bridge import Sold, bridge_of, effects_of
from services.capacity.domain.drift import ALARM, Quotes, against, break_even, drift_of, usual_of
from services.capacity.domain.margin import shares_by_period
from services.capacity.domain.overtime import by_moments, on_paths, overload_cost
from services.capacity.domain.revenue import Retention, lost_share
from services.capacity.domain.spread import deviation_of
from shared.schemas.deal import Line
from shared.schemas.plan import RevenueAtRisk
from shared.schemas.plan_pools import WorkPool
from shared.schemas.signal import Signal
from tests.unit.capacity.books import NOW, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool

MONEY = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))
SOLD = st.builds(Sold, st.one_of(st.just(0.0), st.floats(1.0, 1e6)), MONEY, MONEY)
STATES = st.dictionaries(st.sampled_from("abcd"), SOLD, max_size=4)


def margin_of(state: dict[str, Sold]) -> float:
    return math.fsum(sold.net - sold.cost for sold in state.values())


@given(st.dictionaries(st.sampled_from("xyz"), st.tuples(STATES, STATES), min_size=1, max_size=3), MONEY, MONEY)
def test_the_parts_of_a_bridge_sum_to_the_change(segments, overload_then: float, overload_now: float) -> None:
    effects = [effects_of(before, now) for before, now in segments.values()]
    bridge = bridge_of(effects, (overload_then, overload_now))
    parts = [getattr(bridge, name) for name in bridge.__struct_fields__]
    then = math.fsum(margin_of(before) for before, _ in segments.values()) - overload_then
    now = math.fsum(margin_of(now) for _, now in segments.values()) - overload_now
    assert math.fsum(parts) == pytest.approx(now - then, rel=1e-9, abs=1e-9 * max(map(abs, [*parts, now, then, 1.0])))


@pytest.mark.parametrize(
    ("now", "found"),
    [
        # 100 at list, 80 net, 30 cost: a margin of 50 %
        ({"a": Sold(200.0, 160.0, 60.0)}, {"volume": 50.0}),
        ({"a": Sold(100.0, 70.0, 30.0)}, {"price": -10.0}),
        ({"a": Sold(100.0, 80.0, 45.0)}, {"cost": -15.0}),
        ({}, {"volume": -50.0}),
        # as much again of something with half the margin: half of what volume alone would bring goes to the mix
        ({"a": Sold(100.0, 80.0, 30.0), "b": Sold(100.0, 75.0, 50.0)}, {"volume": 50.0, "mix": -25.0}),
    ],
)
def test_a_bridge_says_why(now: dict[str, Sold], found: dict[str, float]) -> None:
    bridge = bridge_of([effects_of({"a": Sold(100.0, 80.0, 30.0)}, now)], (0.0, 0.0))
    assert {name: getattr(bridge, name) for name in bridge.__struct_fields__ if abs(getattr(bridge, name)) > 1e-9} == (
        pytest.approx(found)
    )


def quotes(*discounts: float, week: int = 3) -> Quotes:
    return Quotes(np.full(len(discounts), float(week)), np.ones(len(discounts)), np.array(discounts))


EIGHT = quotes(*(0.08 + 0.015 * (number % 5 - 2) for number in range(40)))
NONE = quotes()


def drift(*discounts: float):
    usual = usual_of(EIGHT, NONE)
    assert usual is not None
    found = drift_of([against(quotes(*discounts), np.arange(len(discounts)), usual)])
    assert found is not None
    return found


@pytest.mark.parametrize("steady", [0, 3, 20])
def test_a_move_from_8_to_22_percent_is_told_within_five_quotes(steady: int) -> None:
    before = [0.08 + 0.015 * (number % 5 - 2) for number in range(steady)]
    if before:
        assert drift(*before).cusum < ALARM
    assert drift(*before, *[0.22] * 5).cusum > ALARM
    assert drift(*before, *[0.22] * 5).drift > 0.10


def test_it_is_told_too_when_the_closes_of_old_and_new_quotes_lie_between_each_other() -> None:
    mixed = [0.08, 0.22, 0.07, 0.08, 0.22, 0.22, 0.09, 0.08, 0.22, 0.22, 0.08, 0.07]
    assert drift(*mixed).cusum > ALARM


@given(st.lists(st.floats(0.05, 0.095), min_size=1, max_size=60))
def test_noise_below_half_of_the_shift_is_no_drift(discounts: list[float]) -> None:
    assert drift(*discounts).cusum < ALARM


@given(st.lists(st.floats(0.0, 0.5), min_size=1, max_size=30), st.randoms())
def test_the_drift_is_that_of_one_quote_after_the_other(discounts: list[float], order) -> None:
    usual = usual_of(EIGHT, NONE)
    assert usual is not None
    ewma = cusum = highest = at = 0.0
    for discount in discounts:
        away = discount - usual.mean[3]
        ewma += 0.3 * (away - ewma)
        cusum = max(0.0, cusum + away / usual.deviation - 0.75)
        if cusum >= highest:
            highest, at = cusum, ewma
    places = list(range(len(discounts)))
    order.shuffle(places)
    shuffled = quotes(*(discounts[place] for place in places))
    found = drift_of([against(shuffled, np.array(places, float), usual)])
    assert found is not None
    assert (found.cusum, found.before) == (pytest.approx(highest, abs=1e-9), pytest.approx(usual.mean[3]))
    assert found.drift == pytest.approx(at, abs=1e-9)


def test_many_quotes_in_one_cell_are_as_many_quotes() -> None:
    usual = usual_of(EIGHT, NONE)
    assert usual is not None
    one = drift_of([against(Quotes(np.array([3.0]), np.array([4.0]), np.array([0.2])), np.zeros(1), usual)])
    assert one is not None
    assert one == pytest.approx(tuple(drift(0.2, 0.2, 0.2, 0.2)))


def test_usual_is_what_closed_in_the_same_week_of_earlier_periods() -> None:
    early, late = quotes(*[0.05] * 6, week=1), quotes(*[0.25] * 6, week=12)
    both = Quotes(*(np.concatenate(pair) for pair in zip(early, late, strict=True)))
    usual = usual_of(both, NONE)
    assert usual is not None
    assert (usual.mean[0], usual.mean[2], usual.mean[13]) == pytest.approx((0.05, 0.05, 0.25))
    assert usual.mean[6] == pytest.approx(0.15)
    # A segment that is new is held against everybody; where there is no past at all nothing is said.
    everybodys = usual_of(quotes(0.5), both)
    assert everybodys is not None
    assert everybodys.mean == pytest.approx(usual.mean)
    assert usual_of(quotes(0.5), quotes(0.5)) is None


@pytest.mark.parametrize(
    ("discount", "before", "cost", "more"),
    [
        (0.10, 0.0, 0.6, 1 / 3),
        (0.0, 0.0, 0.6, None),
        (-0.1, 0.0, 0.6, None),
        (0.40, 0.0, 0.6, None),
        (0.14, 0.08, 0.3, 0.14 / 0.48),
    ],
)
def test_break_even_volume(discount: float, before: float, cost: float, more: float | None) -> None:
    assert break_even(discount, before, cost) == (None if more is None else pytest.approx(more))


def staffed(**more: object) -> WorkPool:
    said = {"kind": "work", "unit": "h", "owner": "ana", "capacity": {"per_week": 100.0}, "cost_per_unit": 70.0}
    return WorkPool.model_validate(said | more)


def test_overload_costs_the_cheaper_first_and_only_what_is_above_the_pools_own_cost() -> None:
    pool = staffed(overtime={"max_share": 0.1, "cost": 95.0}, contractors={"max": 20.0, "cost": 140.0})
    asked = np.array([[90.0, 100.0], [105.0, 125.0], [150.0, 150.0]])
    cost = overload_cost(pool, np.full(3, 100.0), on_paths(asked))
    # Week 2: 5 h and 10 h of overtime at 25 more, 15 h of contractors at 70 more; week 3: 10 h, and 40 h at 70.
    assert cost == pytest.approx([0.0, (5 * 25 + 10 * 25 + 15 * 70) / 2, 10 * 25 + 40 * 70])
    assert overload_cost(staffed(), np.full(3, 100.0), on_paths(asked)) == pytest.approx([0.0] * 3)


def test_the_loss_beyond_a_limit_by_moments_is_that_of_a_normal_distribution() -> None:
    draws = np.random.default_rng(3).normal(100.0, 15.0, (1, 400_000))
    limit = np.array([110.0])
    exact = by_moments(np.array([100.0]), np.array([225.0]))(limit)
    assert exact == pytest.approx(on_paths(draws)(limit), abs=0.05)
    assert by_moments(np.array([120.0]), np.zeros(1))(limit) == pytest.approx([10.0])


def test_what_a_delay_puts_at_risk() -> None:
    assumed = RevenueAtRisk(kappa=0.03, grace_weeks=1.0)
    assert lost_share(np.array([0.0, 1.0, 3.0, 99.0]), assumed) == pytest.approx([0.0, 0.0, 0.06, 1.0])


def test_pushes_carry_a_share_into_the_next_period() -> None:
    assert shares_by_period(date(2026, 6, 20), (0.5, 0.3, 0.2)) == {"2026-Q2": 0.8, "2026-Q3": 0.2}
    assert shares_by_period(date(2026, 12, 31), (0.0, 1.0)) == {"2026-Q4": 0.0, "2027-Q1": 1.0}


def test_deals_that_rise_and_fall_together_spread_wider_and_as_the_copula_says() -> None:
    p, rho, count = 0.4, 0.3, 20
    variance = count * p * (1 - p)
    found = deviation_of(variance, np.ones(count), np.full(count, 40.0), np.ones(count), rho)
    rng = np.random.default_rng(7)
    factor, own = rng.normal(size=(200_000, 1)), rng.normal(size=(200_000, count))
    # A deal is won when its own part and the common one together are high enough: Φ⁻¹(0.4) = -0.2533.
    wins = (math.sqrt(rho) * factor + math.sqrt(1 - rho) * own > 0.2533471031).sum(axis=1)
    assert found == pytest.approx(float(wins.std()), rel=0.01)
    assert deviation_of(variance, np.ones(count), np.full(count, 40.0), np.ones(count), 0.0) == math.sqrt(variance)


@pytest.mark.parametrize("quantity", [{"default": 2.0}, {"from": "amount"}])
@pytest.mark.parametrize("own", [None, 0.3])
def test_lines_that_a_cell_does_not_name_spread_like_those_it_names(quantity: dict, own: float | None) -> None:
    product = {"list_price": 10.0, "unit_cost": 4.0, "quantity": quantity}
    made = plan({"eng": work_pool(1.0)}, {"basic": product})
    amounts = [50.0 + number % 7 for number in range(80)]
    deals = {
        f"crm/{n}": deal(n, Line("basic", amount=amount, probability=own), close="2026-05-13")
        for n, amount in enumerate(amounts)
    }
    (whole,) = [each for each in projected(made, deals).forecasts or [] if each.segment == "*"]
    p = 0.4 if own is None else own
    units = [2.0 if "default" in quantity else amount / 10.0 for amount in amounts]
    kept = [amount - 4.0 * each for amount, each in zip(amounts, units, strict=True)]
    assert whole.bookings_sd**2 == pytest.approx(p * (1 - p) * sum(amount**2 for amount in amounts), rel=0.01)
    assert whole.margin_sd**2 == pytest.approx(p * (1 - p) * sum(each**2 for each in kept), rel=0.01)
    assert whole.bookings_p80 - whole.bookings == pytest.approx(0.8416 * whole.bookings_sd, rel=1e-4)


def arr(kind: str, value: float, days: int, segment: str | None = None) -> Signal:
    time: datetime = NOW - timedelta(days=days)
    return Signal(id=f"{kind}/{days}/{segment}", source="erp", kind=kind, time=time, value=value, segment=segment)


def test_net_revenue_retention_over_twelve_weeks() -> None:
    retention = Retention()
    day = NOW.date()
    assert retention.on(day) == {}
    said = [
        arr("arr", 900.0, 90, "smb"), arr("arr", 1000.0, 80, "smb"), arr("arr", 1100.0, 10, "smb"),
        arr("expansion-arr", 100.0, 40, "smb"), arr("contraction-arr", 30.0, 30, "smb"),
        arr("churned-arr", 20.0, 20, "smb"), arr("churned-arr", 500.0, 85, "smb"),
        arr("arr", 4000.0, 70, "large"), arr("tickets-opened", 7.0, 3),
    ]  # fmt: skip
    for signal in said:
        retention.put(signal)
    assert retention.on(day) == pytest.approx({"smb": 1.05, "large": 1.0, "*": 5050 / 5000})
    other = Retention()
    for signal in reversed(said):
        other.put(signal)
    assert other.on(day) == pytest.approx(retention.on(day))
    retention.put(arr("arr", 8000.0, 75))
    retention.put(arr("churned-arr", 800.0, 5))
    assert retention.on(day)["*"] == pytest.approx(0.9)
