"""Weeks whose answers are remembered: the same as from nothing, and only those computed that changed."""

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.capacity.domain.exact_weeks import Weeks
from services.capacity.domain.projector import PlanInForce, Projector
from services.capacity.domain.remembered import Remembered
from shared.schemas.deal import Line
from tests.unit.capacity.books import NOW, Partition, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool
from tests.unit.capacity.test_exact_tail import EFFORT, WEEKS, book, close_of

NEED = {"pool": "eng", "effort": 10.0, "curve": {"shape": "list", "amounts": EFFORT}}


def test_only_what_was_not_asked_last_time_is_computed():
    computed: list[list[int]] = []

    def compute(new):
        computed.append(new.tolist())
        return np.outer(new + 1.0, [1.0, 10.0])

    remembered = Remembered()
    assert remembered.answers([b"a", b"b"], compute).tolist() == [[1.0, 10.0], [2.0, 20.0]]
    assert remembered.answers([b"b", b"a"], compute).tolist() == [[2.0, 20.0], [1.0, 10.0]]
    assert remembered.answers([b"b", b"c"], compute).tolist() == [[2.0, 20.0], [2.0, 20.0]]
    remembered.answers([b"a"], compute)
    assert computed == [[0, 1], [1], [0]], "what was not asked again is forgotten"


@settings(max_examples=15, deadline=None)
@given(
    count=st.integers(2, 40),
    changed=st.lists(st.tuples(st.integers(0, 39), st.sampled_from([0.5, 3.0, 6.5])), min_size=1, max_size=4),
    rho=st.sampled_from([0.0, 0.1, 0.4]),
    cv=st.sampled_from([0.0, 0.4]),
    wanted=st.sampled_from([0, 60]),
)
@example(count=16, changed=[(1, 0.5)], rho=0.1, cv=0.4, wanted=0)  # once a week hung on the deals of its neighbours
def test_what_is_remembered_is_what_a_projection_from_nothing_computes(count, changed, rho, cv, wanted):
    milestone = {"product": "basic", "from": "2026-04-01", "due": "2026-06-25", "quantity": wanted}
    made = plan(
        {"eng": work_pool(4.0 * count)},
        {"basic": {"effort_cv": cv, "needs": [NEED]}},
        uncertainty={"win_correlation": rho},
        horizon_weeks=WEEKS,
        **({"milestones": {"spring": milestone}} if wanted else {}),
    )

    def raw(number: int, units: float, sold) -> bytes:
        return deal(number, Line("basic", quantity=units, probability=sold.p), stage="pushed", close=close_of(sold))

    deals = book(count, seed=count, cv=cv)
    now = {f"crm/{n}": raw(n, sold.units, sold) for n, sold in enumerate(deals)}
    force, projector = PlanInForce("small@1", made), Projector()
    partition = Partition(projector.book)
    projector.cells_changed(partition.put(now))
    projector.project(NOW, force)
    for number, units in changed:
        at = number % count
        now[f"crm/{at}"] = raw(at, units, deals[at])
        projector.cells_changed(partition.put({f"crm/{at}": now[f"crm/{at}"]}))
        projector.project(NOW, force)
    whole = projected(made, now)
    assert projector.positions == {(row.pool, row.week): row for row in whole.positions}


def test_a_changed_deal_asks_anew_only_for_the_weeks_it_asks_of(monkeypatch):
    asked: list[int] = []
    answers = Weeks.answers
    monkeypatch.setattr(Weeks, "answers", lambda pool, weeks: asked.append(len(weeks)) or answers(pool, weeks))
    made = plan(
        {"eng": work_pool(100.0)},
        {"basic": {"effort_cv": 0.4, "needs": [NEED]}},
        uncertainty={"win_correlation": 0.1},
        horizon_weeks=WEEKS,
    )
    force, projector = PlanInForce("small@1", made), Projector()
    partition = Partition(projector.book)
    for units in (2.0, 5.0):
        said = {
            f"crm/{n}": deal(
                n,
                Line("basic", quantity=units if n == 0 else sold.units, probability=sold.p),
                stage="pushed",
                close=close_of(sold),
            )
            for n, sold in enumerate(book(30, seed=4))
        }
        projector.cells_changed(partition.put(said))
        projector.project(NOW, force)
    # Three weeks of effort, closing up to two weeks late.
    assert asked[0] == WEEKS
    assert 1 <= asked[1] <= len(EFFORT) + 2
