"""Causes of positions and what deals stress, against enumeration of small books and Monte Carlo of larger ones."""

import itertools
from datetime import date, timedelta
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.causes import Causes, causes_of, stresses_of
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line
from shared.schemas.plan import Plan
from tests.unit.capacity import oracle
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool
from tests.unit.capacity.simulation import Sold

PUSHES = [0.5, 0.3, 0.2]
"""Of the stage ``pushed``."""
EFFORT = [3.0, 5.0, 2.0]
WEEKS = ("2026-W14", "2026-W15", "2026-W16", "2026-W17", "2026-W18", "2026-W19")


def projector_of(made: Plan, deals: dict[str, bytes | None]) -> Projector:
    projector = Projector()
    projector.cells_changed(Partition(projector.book).put(deals))
    assert projector.project(NOW, PlanInForce("small@1", made)) is not None
    return projector


def selling(capacity: float, *, rho: float = 0.0, cv: float = 0.0, base: float = 0.0, **more: object) -> Plan:
    need = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": EFFORT}}
    products = {"basic": {"needs": [need], "effort_cv": cv}}
    return plan(
        {"eng": work_pool(capacity, base_load=base)}, products, uncertainty={"win_correlation": rho}, **more
    )  # fmt: skip


def raw(sold: list[Sold]) -> dict[str, bytes | None]:
    """Deals in the stage ``pushed``, that close so many weeks after 2026-W14's Wednesday; those of p = 1 are won."""
    found: dict[str, bytes | None] = {}
    for number, one in enumerate(sold):
        line = Line("basic", quantity=one.units, probability=one.p)
        close = (date(2026, 4, 1) + timedelta(weeks=one.close)).isoformat()
        stage = "won" if one.pushes == [1.0] else "pushed"
        found[f"crm/{number}"] = deal(number, line, close=close, stage=stage)
    return found


def enumerated(
    sold: list[Sold], week: int, base: float, capacity: float
) -> tuple[float, float, list, list, list, float]:
    """P(over), E[demand | over], each deal's part of it, P(over) without each; and how much lies close to capacity
    without each, and with all: the model's amounts lie on a grid."""
    over, whole, near = 0.0, 0.0, 0.0
    parts, without, close = [0.0] * len(sold), [0.0] * len(sold), [0.0] * len(sold)
    deals = [(one.units, one.p, one.close, one.effort, one.pushes) for one in sold]
    for outcome in itertools.product(*(oracle.outcomes_of(one, week) for one in deals)):
        chance = float(np.prod([p for p, _ in outcome]))
        total = base + sum(amount for _, amount in outcome)
        near += chance * (abs(total - capacity) < capacity / 500 + 1e-9)
        if oracle.chance(total, capacity):
            over += chance
            whole += chance * total
            parts = [part + chance * amount for part, (_, amount) in zip(parts, outcome, strict=True)]
        for number, (_, amount) in enumerate(outcome):
            without[number] += chance * oracle.chance(total - amount, capacity)
            close[number] += chance * (abs(total - amount - capacity) < capacity / 500 + 1e-9)
    return over, whole, parts, without, close, near


BOOKS = st.lists(
    st.builds(
        Sold,
        units=st.sampled_from([0.5, 1.0, 2.0, 3.7]),
        p=st.sampled_from([0.1, 0.5, 0.9]),
        close=st.integers(0, 3),
        effort=st.just(EFFORT),
        pushes=st.just(PUSHES),
    )
    | st.builds(
        Sold, units=st.sampled_from([0.5, 2.0]), p=st.just(1.0), close=st.integers(0, 3),
        effort=st.just(EFFORT), pushes=st.just([1.0]),
    ),
    min_size=1,
    max_size=5,
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(sold=BOOKS, share=st.floats(0.05, 0.95), base=st.sampled_from([0.0, 4.0]))
def test_small_books_give_what_enumeration_gives(sold, share, base):
    capacity = round(base + share * sum(one.units * 5 for one in sold), 3) + 0.0005
    projector = projector_of(selling(capacity, base=base), raw(sold))
    for week, name in enumerate(WEEKS):
        over, whole, parts, without, close, near = enumerated(sold, week, base, capacity)
        found = causes_of(projector, "eng", name)
        sums_to_one(found)
        if found.tail_demand is None or near > 1e-9:
            assert found.position.overload < 0.001 or near > 1e-9
            continue
        assert found.tail_demand == pytest.approx(whole / over, rel=0.02)
        for cause in found.deals:
            number = int(cause.deal.removeprefix("crm/"))
            assert cause.tail_effort == pytest.approx(parts[number] / over, abs=0.02 * whole / over)
            assert cause.tail_share == pytest.approx(parts[number] / whole, abs=0.01)
            # The bar of the model is 0.01.
            assert cause.overload_without == pytest.approx(without[number], abs=0.01 + close[number])


def sums_to_one(found: Causes) -> None:
    expected = sum(cause.share for cause in found.deals) + found.others.share
    assert expected == pytest.approx(1.0, abs=1e-7)
    assert 0.0 <= found.others.base <= found.others.share + 1e-7
    if found.tail_demand is not None:
        assert sum(cause.tail_share for cause in found.deals) + found.others.tail_share == pytest.approx(1.0, abs=1e-7)
        assert 0.0 <= found.others.tail_base <= found.others.tail_share + 0.01
        assert found.tail_demand >= found.position.capacity * (1 - 1e-6)
        for cause in found.deals:
            assert 0.0 <= cause.overload_without <= found.position.overload


@settings(max_examples=25, deadline=None)
@given(
    count=st.integers(0, 90),
    rho=st.sampled_from([0.0, 0.3]),
    cv=st.sampled_from([0.0, 0.5]),
    share=st.floats(0.1, 1.5),
    base=st.sampled_from([0.0, 30.0]),
    named=st.integers(0, 12),
)
def test_each_set_of_shares_sums_to_one(count, rho, cv, share, base, named):
    sold = [Sold(1.0 + number % 7, 0.05 + number % 9 / 10, number % 4, EFFORT, PUSHES, cv) for number in range(count)]
    capacity = base + share * sum(one.units * one.p * 4 for one in sold)
    projector = projector_of(selling(capacity, rho=rho, cv=cv, base=base), raw(sold))
    for name in WEEKS:
        found = causes_of(projector, "eng", name, named)
        assert len(found.deals) <= named
        sums_to_one(found)


@pytest.mark.parametrize("rho", [0.0, 0.1, 0.4])
@pytest.mark.parametrize(("count", "cv"), [(4, 0.4), (12, 0.0), (40, 0.3), (100, 0.3)])
def test_larger_books_give_what_monte_carlo_gives(count, cv, rho):
    rng = np.random.default_rng(count)
    sold = [
        Sold(float(rng.lognormal(0, 0.8)), float(rng.uniform(0.05, 0.8)), int(rng.integers(0, 4)), EFFORT, PUSHES, cv)
        for _ in range(count)
    ]
    week, runs = 4, 200_000
    by_deal = contributions(sold, week, runs, rho)
    total = by_deal.sum(axis=0)
    capacity = float(np.quantile(total, 0.8)) * 1.0137
    over = total > capacity
    found = causes_of(projector_of(selling(capacity, rho=rho, cv=cv), raw(sold)), "eng", WEEKS[week], 5)
    assert found.tail_demand == pytest.approx(total[over].mean(), rel=0.02)
    assert len(found.deals) == min(count, 5)
    for cause in found.deals:
        own = by_deal[int(cause.deal.removeprefix("crm/"))]
        assert cause.tail_share == pytest.approx(own[over].mean() / total[over].mean(), abs=0.012)
        assert cause.overload_without == pytest.approx((total - own > capacity).mean(), abs=0.02)
    best = max(own[over].mean() for own in by_deal)
    assert found.deals[0].tail_effort == pytest.approx(best, rel=0.05)


def contributions(sold: list[Sold], week: int, runs: int, rho: float) -> np.ndarray:
    """What each deal asks of ``week`` in each run; all of them in the same times, good or bad."""
    rng = np.random.default_rng(7)
    good = rng.standard_normal(runs)
    found = []
    for one in sold:
        own = np.sqrt(rho) * good + np.sqrt(1 - rho) * rng.standard_normal(runs)
        won = own > NormalDist().inv_cdf(1 - one.p)
        late = rng.choice(len(one.pushes), size=runs, p=one.pushes)
        factor = rng.gamma(1 / one.cv**2, one.cv**2, runs) if one.cv else np.ones(runs)
        since = week - one.close - late
        effort = np.array([*one.effort, 0.0])[np.where((since >= 0) & (since < len(one.effort)), since, -1)]
        found.append(np.where(won, one.units * effort * factor, 0.0))
    return np.array(found)


def test_what_just_fills_a_week_is_nobodys_overload():
    sold = [Sold(2.0, 0.5, 0, EFFORT, [1.0, 0.0]), Sold(3.0, 0.5, 0, EFFORT, [1.0, 0.0])]
    deals = {key: value.replace(b'"pushed"', b'"qualified"') for key, value in raw(sold).items()}
    at, above = (causes_of(projector_of(selling(c), deals), "eng", WEEKS[0]) for c in (15.0, 14.999))
    assert at.tail_demand is None
    assert all(cause.tail_share is None and cause.overload_without is None for cause in at.deals)
    assert above.tail_demand == pytest.approx(15.0)
    assert [cause.tail_share for cause in above.deals] == pytest.approx([0.6, 0.4])
    assert [cause.overload_without for cause in above.deals] == [0.0, 0.0]
    assert above.position.overload == pytest.approx(0.25)


def test_the_lines_of_a_deal_with_chances_of_their_own_are_named_as_one():
    lines = [Line("basic", quantity=2.0, probability=0.5), Line("basic", quantity=4.0, probability=0.2)]
    projector = projector_of(selling(5.0), {"crm/1": deal(1, *lines, close="2026-04-01")})
    found = causes_of(projector, "eng", WEEKS[0])
    (cause,) = found.deals
    assert (cause.deal, cause.overload_without) == ("crm/1", 0.0)
    assert cause.share == pytest.approx(1.0)
    assert cause.tail_share == pytest.approx(1.0)


def test_a_deal_says_what_it_stresses():
    pools = {"eng": work_pool(20.0), "ops": work_pool(100.0), "idle": work_pool(10.0)}
    needs = [{"pool": "eng", "effort": 10.0}, {"pool": "ops", "effort": 5.0, "after_weeks": 1}]
    work = {"release": {"pool": "eng", "effort": 30.0, "start": WEEKS[0], "due": WEEKS[1]}}
    made = plan(pools, {"basic": {"needs": needs}}, work=work)
    deals = {
        "crm/1": deal(1, Line("basic", quantity=1.5, probability=0.9), close="2026-04-01"),
        "crm/2": deal(2, Line("basic", quantity=1.0, probability=0.5), close="2026-04-01"),
    }
    projector = projector_of(made, deals)
    found = stresses_of(projector, "crm/1")
    assert [(one.pool, one.week) for one in found.positions] == [("eng", WEEKS[0]), ("ops", WEEKS[1])]
    eng = found.positions[0]
    assert eng.effort == pytest.approx(13.5)
    assert eng.share == pytest.approx(13.5 / 18.5)
    assert eng.overload == pytest.approx(0.45)
    assert eng.tail_share == pytest.approx(15 / 25)
    assert eng.overload_without == 0.0
    (item,) = found.work
    assert (item.work, item.due) == ("release", WEEKS[1])
    assert item.effort == pytest.approx(13.5)
    # 20 - 18.5 in the first week and 20 in the second are not enough; without the deal 15 + 20 are.
    assert (item.slip_weeks, item.slip_without) == (1.0, 0.0)
    assert stresses_of(projector, "crm/9") == type(found)([], [])


def test_there_is_no_cause_of_a_position_that_is_not():
    projector = projector_of(selling(5.0), {})
    with pytest.raises(KeyError):
        causes_of(projector, "eng", "1999-W01")
    found = causes_of(projector, "eng", WEEKS[0])
    assert (found.deals, found.others.share, found.demand) == ([], 1.0, 0.0)
