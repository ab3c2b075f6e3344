"""P(overload) and the bands against enumeration of small books and Monte Carlo of larger ones."""

import math
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.copula import Guide, all_of, few
from services.capacity.domain.copula import given as given_z
from services.capacity.domain.normal import below, score
from shared.schemas.deal import Line
from shared.schemas.position import Position
from tests.unit.capacity import oracle
from tests.unit.capacity.books import by_week, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool
from tests.unit.capacity.simulation import Sold, asked

PUSHES = [0.5, 0.3, 0.2]
"""Of the stage ``pushed``."""
EFFORT = [3.0, 5.0, 2.0]
WEEKS = 14


def rows_of(deals: list[Sold], capacity: float, rho: float = 0.0, cv: float = 0.0) -> list[Position]:
    """The positions of a pool of which these deals ask; the deals of one book differ in units, chance and close."""
    need = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": EFFORT}}
    made = plan(
        {"eng": work_pool(capacity)},
        {"basic": {"effort_cv": cv, "needs": [need]}},
        uncertainty={"win_correlation": rho},
        horizon_weeks=WEEKS,
    )
    said = {
        f"crm/{n}": deal(
            n,
            Line("basic", quantity=sold.units, probability=sold.p),
            stage="pushed",
            close=close_of(sold),
        )
        for n, sold in enumerate(deals)
    }
    return list(by_week(projected(made, said)).values())


def close_of(sold: Sold) -> str:
    return (date(2026, 3, 31) + timedelta(weeks=sold.close)).isoformat()


def book(count: int, seed: int, cv: float = 0.0) -> list[Sold]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        units, p, close = float(rng.uniform(0.5, 8)), round(float(rng.uniform(0.05, 0.95)), 2), int(rng.integers(0, 8))
        found.append(Sold(units, p, close, EFFORT, PUSHES, cv))
    return found


@settings(max_examples=60, deadline=None)
@given(
    units=st.lists(st.sampled_from([1.0, 1.5, 3.0, 7.3]), min_size=1, max_size=6),
    chances=st.lists(st.sampled_from([0.1, 0.4, 0.9]), min_size=6, max_size=6),
    closes=st.lists(st.integers(0, 3), min_size=6, max_size=6),
    share=st.floats(0.01, 1.1),
)
def test_small_books_give_what_enumeration_gives(units, chances, closes, share):
    deals = [Sold(u, p, c, EFFORT, PUSHES) for u, p, c in zip(units, chances, closes, strict=False)]
    exact = [
        oracle.distribution([(d.units, d.p, d.close, d.effort, d.pushes) for d in deals], week) for week in range(6)
    ]
    capacity = round(share * max(max(sums) for sums in exact), 3) + 0.0005
    for row, sums in zip(rows_of(deals, capacity), exact, strict=False):
        over = sum(p for total, p in sums.items() if oracle.chance(total, capacity))
        near = sum(p for total, p in sums.items() if abs(total - capacity) < capacity / 500)
        assert row.overload == pytest.approx(over, abs=near + 0.002)
        for share_of, band in ((0.5, row.p50), (0.8, row.p80), (0.95, row.p95)):
            fuzz = 0.01 * max(sums)
            assert sum(p for total, p in sums.items() if total <= band + fuzz) >= share_of - 1e-6
            assert sum(p for total, p in sums.items() if total < band - fuzz) <= share_of + 1e-6


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("count", "cv"), [(3, 0.4), (12, 0.0), (12, 0.4), (40, 0.3), (150, 0.3)])
def test_larger_books_give_what_monte_carlo_gives(count, cv, rho):
    deals = book(count, seed=count, cv=cv)
    found = asked(deals, WEEKS, 60_000, rho)
    capacity = float(np.quantile(found[:, 6], 0.7)) * 1.013
    for week, row in enumerate(rows_of(deals, capacity, rho, cv)):
        assert row.overload == pytest.approx(float((found[:, week] > capacity).mean()), abs=0.01)
        for share, band in ((0.5, row.p50), (0.8, row.p80), (0.95, row.p95)):
            fuzz = 0.01 * float(found.max())
            assert (found[:, week] <= band + fuzz).mean() >= share - 0.01
            assert (found[:, week] < band - fuzz).mean() <= share + 0.01


@pytest.mark.parametrize("rho", [0.0, 0.3])
def test_what_just_equals_the_capacity_is_no_overload(rho):
    deals = [Sold(2.0, 0.5, 0, EFFORT, PUSHES), Sold(3.0, 0.5, 0, EFFORT, PUSHES)]
    # In the first week 6 h and 9 h, each if won (half) and in time (half).
    at, above = (rows_of(deals, capacity, rho)[0].overload for capacity in (15.0, 14.999))
    assert at == 0.0
    assert above == pytest.approx(1 / 16, abs=0.03)
    assert above > 0.06


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.5])
def test_one_deal_keeps_its_own_chance_whatever_the_correlation(rho):
    for p in (0.02, 0.5, 0.9):
        row = rows_of([Sold(4.0, p, 0, EFFORT, PUSHES)], 5.0, rho)[0]
        assert row.overload == pytest.approx(p * 0.5, abs=5e-3)


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(1, 30),
    rho=st.sampled_from([0.0, 0.3]),
    cv=st.sampled_from([0.0, 0.5]),
    limits=st.lists(st.floats(0, 200), min_size=4, max_size=4),
)
def test_more_capacity_never_overloads_more(count, rho, cv, limits):
    deals = book(count, seed=count, cv=cv)
    found = np.array([[row.overload for row in rows_of(deals, limit, rho, cv)] for limit in sorted(limits)])
    assert (np.diff(found, axis=0) <= 1e-4).all()
    assert ((found >= 0) & (found <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(count=st.integers(0, 40), rho=st.sampled_from([0.0, 0.3]), cv=st.sampled_from([0.0, 0.5]))
def test_bands_rise(count, rho, cv):
    for row in rows_of(book(count, seed=count, cv=cv), 50.0, rho, cv):
        assert 0 <= row.p50 <= row.p80 <= row.p95


def test_the_normal_distribution_is_the_one_of_math():
    x = np.linspace(-7.5, 7.5, 5001)
    exact = np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])
    assert np.abs(below(x) - exact).max() < 1e-8
    assert np.abs(score(exact[1500:3500]) - x[1500:3500]).max() < 1e-4


@pytest.mark.parametrize("rho", [0.05, 0.3, 0.8])
def test_over_all_situations_each_probability_is_what_it_was(rho):
    p = np.array([0.0, 0.01, 0.2, 0.5, 0.97, 1.0])
    z = np.concatenate((few(rho), all_of(rho)))
    nothing = np.zeros((len(z), len(p)))
    guide = Guide.of(nothing, nothing + 1.0, np.zeros(len(p)), len(few(rho)))
    answers = given_z(p, rho, few(rho))
    assert guide.over_all(answers, np.zeros(len(p)), np.arange(len(p))) == pytest.approx(p, abs=1e-4)
    assert guide.roughly(answers) == pytest.approx(p, abs=0.05)
