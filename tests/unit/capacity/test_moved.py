"""How far what is asked of a pool may have moved, told from the changed cells alone: never less than it did."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.actuals import Actual
from services.capacity.domain.axis import axis_of
from services.capacity.domain.book import Book
from services.capacity.domain.demand import Demand
from shared.schemas.deal import Deal, Line, encode
from shared.schemas.plan import Plan
from tests.unit.capacity import plans
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.deals import DEALS, deal

PLAN: Plan = plans.plan(
    {
        "eng": plans.work_pool(40),
        "licences": {"kind": "stock", "unit": "seats", "owner": "ana", "stock": {"level": 100}},
    },
    {
        "basic": {
            "needs": [
                {"pool": "eng", "effort": 12, "curve": {"shape": "flat", "weeks": 3}},
                {"pool": "licences", "effort": 1},
            ]
        },
        "enterprise": {"needs": [{"pool": "eng", "effort": 80, "curve": {"shape": "front", "weeks": 5}}]},
    },
)


class Followed:
    """Demand that follows a partition of deals."""

    def __init__(self) -> None:
        self.book = Book()
        self.partition = Partition(self.book)
        self.demand = Demand(PLAN, axis_of(PLAN, NOW))

    def sell(self, deals: dict[str, bytes | None]) -> None:
        for key in self.partition.put(deals):
            self.demand.put(key, self.book.cell(key))
        self.demand.refresh()

    def asked(self, pool: str) -> np.ndarray:
        of_deals = self.demand.on(pool)
        return of_deals.booked + of_deals.expected


@settings(deadline=None)
@given(st.lists(st.lists(DEALS, max_size=4), min_size=1, max_size=5), st.data())
def test_it_is_never_less_than_what_moved(steps: list[list[Deal]], data: st.DataObject) -> None:
    followed, before = Followed(), {}
    for step in steps:
        followed.sell({each.id: encode(each) for each in step})
        for pool in PLAN.pools:
            asked = followed.asked(pool)
            if pool in before:
                rounding = 1e-9 * max(np.abs(asked).max(), np.abs(before[pool]).max(), 1.0)
                assert np.abs(asked - before[pool]).max() <= followed.demand.moved(pool) + rounding
            if pool not in before or data.draw(st.booleans(), label=f"{pool} is told"):
                followed.demand.settled(pool)
                before[pool] = asked


def test_one_deal_moves_a_pool_by_what_it_asks_in_its_busiest_week() -> None:
    followed = Followed()
    assert followed.demand.moved("eng") == math.inf, "nothing was told yet"
    for pool in PLAN.pools:
        followed.demand.settled(pool)
    followed.sell({"crm/1": deal(1, Line("basic", quantity=2.0))})
    assert followed.demand.moved("eng") == pytest.approx(0.4 * 2 * 12 / 3)
    assert followed.demand.moved("licences") == pytest.approx(0.4 * 2)
    followed.sell({"crm/1": deal(1, Line("basic", quantity=2.0))})
    assert followed.demand.moved("eng") == pytest.approx(0.4 * 2 * 12 / 3), "said again it changes nothing"


def test_where_a_decision_withholds_a_deal_it_is_not_known() -> None:
    followed = Followed()
    followed.sell({"crm/1": deal(1, Line("basic", quantity=2.0)), "crm/2": deal(2, Line("basic", quantity=1.0))})
    for pool in PLAN.pools:
        followed.demand.settled(pool)
    followed.demand.withhold({"eng": frozenset({"crm/1"})})
    assert followed.demand.moved("eng") == math.inf
    assert followed.demand.moved("licences") == 0.0
    followed.demand.withhold({})
    assert followed.demand.moved("eng") == math.inf, "it asks again, which no changed cell says"


def test_where_a_report_stands_for_a_deal_or_did_so_it_is_not_known() -> None:
    """A deal that goes takes with it what was reported of it, of which its cell says nothing."""
    followed = Followed()
    followed.sell({"crm/1": deal(1, Line("basic", quantity=2.0))})
    followed.demand.replace({"crm/1": Actual(left={"eng": ("2026-W16", 500.0)})})
    followed.demand.refresh()
    for pool in PLAN.pools:
        followed.demand.settled(pool)
    before = followed.asked("eng")
    assert followed.demand.moved("eng") == math.inf
    followed.sell({"crm/1": None})
    followed.demand.replace({})
    followed.demand.refresh()
    assert np.abs(followed.asked("eng") - before).max() > 30, "hours of the report"
    assert followed.demand.moved("eng") == math.inf
