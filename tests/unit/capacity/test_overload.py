"""P(demand > capacity) and quantiles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.lumps import exceeds_with, moments_of, worth_it
from services.capacity.domain.overload import exceeds, quantiles
from tests.unit.capacity import oracle


def one(limit: float, mean: float, variance: float, third: float) -> float:
    return float(exceeds(*(np.array([x]) for x in (limit, mean, variance, third)))[0])


def test_without_skew_it_is_the_normal_distribution():
    assert one(100.0, 80.0, 400.0, 0.0) == pytest.approx(0.5 * math.erfc(1 / math.sqrt(2)))


@pytest.mark.parametrize("shape", [0.5, 1, 2, 8, 50])
@pytest.mark.parametrize("limit", [0.5, 1.0, 2.0])
def test_it_is_near_the_gamma_it_is_fitted_to(shape, limit):
    # P(Gamma(shape) > x) summed numerically, mean at 1.
    x = limit * shape
    grid = (np.arange(400_000) + 0.5) * (60 * shape / 400_000)
    density = np.exp((shape - 1) * np.log(grid) - grid - math.lgamma(shape))
    exact = float(density[grid > x].sum() * (grid[1] - grid[0]))
    assert one(x, shape, shape, 2 * shape) == pytest.approx(exact, abs=0.01)
    # A negative skew is the mirror image.
    assert one(-x, -shape, shape, -2 * shape) == pytest.approx(1 - exact, abs=0.01)


@pytest.mark.parametrize(("mean", "expected"), [(39.0, 0.0), (40.0, 0.0), (40.001, 1.0)])
def test_what_is_certain_overloads_only_when_strictly_greater(mean, expected):
    assert one(40.0, mean, 0.0, 0.0) == expected


@given(
    limits=st.lists(st.floats(0, 500), min_size=2, max_size=20),
    mean=st.floats(0, 300),
    deviation=st.floats(0, 200),
    skew=st.floats(-3, 3),
)
def test_more_capacity_never_overloads_more(limits, mean, deviation, skew):
    limits = np.sort(np.array(limits))
    same = np.ones(len(limits))
    found = exceeds(limits, mean * same, deviation**2 * same, skew * deviation**3 * same)
    assert (np.diff(found) <= 1e-12).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_quantiles_rise_and_are_those_of_the_normal_without_skew():
    mean, zero = np.array([100.0]), np.array([0.0])
    low, middle, high = quantiles((0.5, 0.8, 0.95), mean, np.array([400.0]), zero)
    assert (low[0], middle[0], high[0]) == pytest.approx((100.0, 116.832, 132.897), abs=1e-3)
    bands = quantiles((0.5, 0.8, 0.95), np.array([1.0]), np.array([100.0]), np.array([9000.0]))
    assert 0 <= bands[0][0] <= bands[1][0] <= bands[2][0]


def lump(quantity: float, p: float, close: int, effort: list[float], pushes: list[float], week: int):
    return [(q, amount) for q, amount in oracle.outcomes_of((quantity, p, close, effort, pushes), week) if amount > 0]


NOBODY = (0.0, 0.0, 0.0)


def test_one_large_deal_reads_full_and_overloads_half_the_time():
    assert exceeds_with(40.0, [[(0.5, 80.0)]], NOBODY) == pytest.approx(0.5)


def test_twenty_small_deals_overload_as_the_binomial_says():
    # P(Binomial(20, 0.4) > 10) = 12.75 %
    exact = sum(math.comb(20, k) * 0.4**k * 0.6 ** (20 - k) for k in range(11, 21))
    assert exceeds_with(100.0, [[(0.4, 10.0)]] * 20, NOBODY) == pytest.approx(exact, abs=1e-12)
    assert exact == pytest.approx(0.128, abs=0.001)


DEALS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 3.0, 7.5, 10.0, 33.3]),
        st.sampled_from([0.1, 0.4, 0.9, 1.0]),
        st.integers(0, 3),
        st.sampled_from([[4.0], [1.0, 2.0], [3.3, 1.7, 2.2]]),
        st.sampled_from([[1.0], [0.5, 0.3, 0.2]]),
    ),
    min_size=1,
    max_size=8,
)


@given(deals=DEALS, week=st.integers(0, 6), share=st.floats(0.01, 1.1))
def test_lumps_give_what_enumeration_gives(deals, week, share):
    sums = oracle.distribution(deals, week)
    limit = share * max(*sums, 1.0)
    exact = sum(p for total, p in sums.items() if oracle.chance(total, limit))
    near = sum(p for total, p in sums.items() if abs(total - limit) < limit / 256)
    found = exceeds_with(limit, [lump(*deal, week) for deal in deals], NOBODY)
    # Bins keep their mean: only sums that share a bin with others at the limit itself may fall on the other side.
    assert found == pytest.approx(exact, abs=near + 1e-9)


@given(deals=DEALS, week=st.integers(0, 6))
def test_moments_of_lumps_are_those_of_their_distribution(deals, week):
    for deal in deals:
        expected = oracle.moments(oracle.distribution([deal], week))
        assert moments_of(lump(*deal, week)) == pytest.approx(expected, abs=1e-6)


def test_lumps_with_a_crowd_are_a_mixture():
    found = exceeds_with(100.0, [[(0.5, 60.0)]], (50.0, 100.0, 0.0))
    assert found == pytest.approx(0.5 * one(100, 50, 100, 0) + 0.5 * one(40, 50, 100, 0))


@pytest.mark.parametrize(
    ("limit", "mean", "variance", "most", "worth"),
    [
        (100.0, 80.0, 480.0, 200.0, True),
        (201.0, 80.0, 480.0, 200.0, False),
        (0.0, 80.0, 480.0, 200.0, False),
        (100.0, 80.0, 0.0, 200.0, False),
        (1000.0, 80.0, 480.0, 2000.0, False),
    ],
)
def test_lumps_are_asked_only_where_they_can_matter(limit, mean, variance, most, worth):
    assert worth_it(limit, mean, variance, most) is worth
