"""Backlog, lateness and slips on whole paths against Monte Carlo and enumeration."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.draws import SCENARIOS, ranks
from services.capacity.domain.lateness import undone, waiting_of
from shared.schemas.deal import Line
from tests.unit.capacity.books import by_week, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool
from tests.unit.capacity.simulation import Sold, asked
from tests.unit.capacity.simulation import undone as simulated
from tests.unit.capacity.test_exact_tail import EFFORT, PUSHES, WEEKS, book, close_of

RELEASE = {"pool": "eng", "effort": 150.0, "start": "2026-W14", "due": "2026-W18"}


def frame_of(deals: list[Sold], capacity: float, rho: float = 0.0, cv: float = 0.0, **pool):
    need = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": EFFORT}}
    made = plan(
        {"eng": work_pool(capacity, **pool)},
        {"basic": {"effort_cv": cv, "needs": [need]}},
        uncertainty={"win_correlation": rho},
        horizon_weeks=WEEKS,
        work={"release": RELEASE},
    )
    said = {
        f"crm/{n}": deal(n, Line("basic", quantity=one.units, probability=one.p), stage="pushed", close=close_of(one))
        for n, one in enumerate(deals)
    }
    return projected(made, said)


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("count", "cv"), [(3, 0.4), (12, 0.0), (40, 0.3), (300, 0.3)])
def test_lateness_is_what_monte_carlo_says(count, cv, rho):
    deals = book(count, seed=count + 7, cv=cv)
    demand = asked(deals, WEEKS, 40_000, rho)
    capacity = 1.1 * float(demand.mean(axis=0).max())
    waiting = simulated(demand, np.full(WEEKS, capacity))
    rows = list(by_week(frame_of(deals, capacity, rho, cv, allowed_delay_weeks=0)).values())
    for week, row in enumerate(rows):
        assert row.late == pytest.approx(float((waiting[:, week] > 1e-6 * capacity).mean()), abs=0.03)
        assert row.backlog_mean == pytest.approx(float(waiting[:, week].mean()), abs=0.1 * capacity)
        below = (waiting[:, week] <= row.backlog_p80 + 1e-6).mean(), (waiting[:, week] < row.backlog_p80 - 1e-6).mean()
        assert below[0] >= 0.77
        assert below[1] <= 0.83
    (item,) = frame_of(deals, 2 * capacity, rho, cv).work
    left = np.maximum(
        2 * capacity - demand - np.pad(simulated(demand, np.full(WEEKS, 2 * capacity)), ((0, 0), (1, 0)))[:, :-1], 0
    )
    finish = (np.cumsum(left, axis=1) < 150.0 * (1 - 1e-7)).sum(axis=1)
    slip = np.maximum(finish - 4, 0)
    assert item.late == pytest.approx(float((slip > 0).mean()), abs=0.03)
    assert item.slip_mean == pytest.approx(float(slip.mean()), abs=0.05 + 0.05 * float(slip.mean()))


def test_lateness_of_a_small_book_is_what_enumeration_says():
    deals = [Sold(3.0, 0.5, 0, EFFORT, PUSHES), Sold(4.0, 0.3, 1, EFFORT, PUSHES), Sold(2.0, 0.8, 1, EFFORT, PUSHES)]
    capacity = 14.0
    late = np.zeros(WEEKS)
    each = [[(1 - d.p, None), *((d.p * share, k) for k, share in enumerate(PUSHES))] for d in deals]
    for outcome in itertools.product(*each):
        chance, demand = 1.0, np.zeros(WEEKS)
        for one, (p, k) in zip(deals, outcome, strict=True):
            chance *= p
            if k is not None:
                demand[one.close + k : one.close + k + len(EFFORT)] += one.units * np.array(EFFORT)
        late += chance * (simulated(demand[None], np.full(WEEKS, capacity))[0] > 1e-9)
    found = [row.late for row in by_week(frame_of(deals, capacity)).values()]
    assert found == pytest.approx(late.tolist(), abs=0.03)


def test_a_backlog_is_likely_where_no_single_week_is():
    """Many weeks each barely under their capacity: what waits is likely although hardly any week alone exceeds it."""
    rng = np.random.default_rng(1)
    deals = [Sold(float(rng.uniform(2, 6)), 0.6, int(n) % 8, EFFORT, PUSHES) for n in range(40)]
    rows = list(by_week(frame_of(deals, 105.0)).values())
    last = max(rows, key=lambda row: row.late - row.overload)
    assert last.late > last.overload + 0.1


@pytest.mark.parametrize(("allowed", "late"), [(0, 1.0), (1, 1.0), (2, 0.0)])
def test_late_is_later_than_allowed(allowed, late):
    need = {"pool": "eng", "effort": 10.0}
    made = plan({"eng": work_pool(100.0, allowed_delay_weeks=allowed)}, {"basic": {"needs": [need]}})
    row = by_week(projected(made, {"crm/1": deal(1, Line("basic", quantity=25.0), stage="won")}))["2026-W14"]
    # 150 h wait: a week and a half.
    assert (row.backlog_mean, row.backlog_p80, row.late) == (150.0, 150.0, late)


@given(
    demand=st.lists(st.lists(st.floats(0, 100), min_size=5, max_size=5), min_size=2, max_size=12),
    capacity=st.floats(0, 80),
)
def test_backlog_conserves_work_and_shrinks_with_capacity(demand, capacity):
    asked_of = np.array(demand)
    can = np.full(len(asked_of), capacity)
    waiting = undone(asked_of, can, {})
    before = np.concatenate((np.zeros((1, 5)), waiting[:-1]))
    done = before + asked_of - waiting
    assert (done <= can[:, None] + 1e-9).all()
    assert (done >= -1e-9).all()
    assert done.sum() + waiting[-1].sum() == pytest.approx(asked_of.sum())
    more = waiting_of(undone(asked_of, can + 5.0, {}), can + 5.0, 0)
    assert (more.late <= waiting_of(waiting, can, 0).late + 1e-9).all()


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(12)))
def test_the_order_of_arrival_changes_nothing(order):
    deals = book(12, seed=3, cv=0.4)
    need = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": EFFORT}}
    made = plan({"eng": work_pool(50.0)}, {"basic": {"effort_cv": 0.4, "needs": [need]}}, work={"release": RELEASE})

    def raw(n: int) -> bytes:
        line = Line("basic", quantity=deals[n].units, probability=deals[n].p)
        return deal(n, line, stage="pushed", close=close_of(deals[n]))

    one, other = (projected(made, {f"crm/{n}": raw(n) for n in numbers}) for numbers in (range(12), order))
    assert (one.positions, one.work) == (other.positions, other.work)


def test_what_a_deal_draws_is_the_same_everywhere():
    assert ranks(["crm/17"], "outcome")[0, :3].tolist() == [953, 110, 893]
    assert sorted(ranks(["crm/17"], "push")[0].tolist()) == list(range(SCENARIOS))
