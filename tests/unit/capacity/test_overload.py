"""P(demand > capacity) and quantiles."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.overload import exceeds, quantiles


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
