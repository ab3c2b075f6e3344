"""Pools that wait their turn: what moved most comes first, nothing waits for ever, and in the end all is told."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.pace import Pace
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Line
from shared.schemas.plan import Plan
from shared.schemas.position import Position
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.deals import deal

POOLS = 6


def many(pools: int = POOLS) -> PlanInForce:
    """As many pools as products, each with a product of its own."""
    names = [f"pool-{number}" for number in range(pools)]
    capacity = {
        "kind": "work", "unit": "hours", "owner": "ana", "capacity": {"per_week": 100}, "cost_per_unit": 50,
        "overtime": {"max_share": 0.5, "cost": 95},
    }  # fmt: skip
    said = {
        "plan": "many",
        "currency": "EUR",
        "people": {"ana": {"name": "Ana"}},
        "stages": {"open": {"class": "open", "probability": 0.5}},
        "pools": dict.fromkeys(names, capacity),
        "products": {name: {"needs": [{"pool": name, "effort": 10}]} for name in names},
    }
    return PlanInForce("many@1", Plan.model_validate(said))


class Book:
    """A projector that takes few pools at once, and the partition that feeds it."""

    def __init__(self, at_once: int = 2, pools: int = POOLS, others: float = 0.0) -> None:
        self.plan, self.projector = many(pools), Projector(pace=Pace(pools=at_once, others=others))
        self.partition = Partition(self.projector.book)

    def sell(self, quantities: dict[str, float]) -> None:
        """Deals that close in two weeks, one for each pool."""
        close = (NOW + dt.timedelta(weeks=2)).date().isoformat()
        deals = {}
        for pool, quantity in quantities.items():
            number = int(pool.removeprefix("pool-"))
            deals[f"crm/{number}"] = deal(number, Line(pool, quantity=quantity), close=close, stage="open")
        self.projector.cells_changed(self.partition.put(deals))

    def told(self, second: float | None = None) -> set[str]:
        """The pools that the next frame speaks of."""
        frame = self.projector.project(NOW, self.plan, second)
        return {row.pool for row in frame.positions} if frame is not None else set()

    def figures(self) -> dict[tuple[str, str], Position]:
        return dict(self.projector.positions)


@pytest.fixture
def book() -> Book:
    made = Book()
    assert len(made.told()) == POOLS, "a complete frame waits for nothing"
    return made


def test_what_moved_most_comes_first_and_everything_in_the_end(book: Book) -> None:
    book.sell({"pool-0": 1.0, "pool-1": 2.0, "pool-2": 30.0, "pool-3": 3.0, "pool-4": 20.0})
    assert book.told() == {"pool-2", "pool-4"}
    assert book.told() == {"pool-3", "pool-1"}
    assert book.told() == {"pool-0"}
    assert book.told() == set()


def test_beside_what_moved_far_little_goes_that_moved_less(book: Book) -> None:
    book.sell({"pool-0": 0.2, "pool-1": 0.3, "pool-2": 30.0, "pool-3": 0.4})
    assert book.told() == {"pool-2", "pool-3"}
    assert book.told() == {"pool-0", "pool-1"}
    assert book.told() == set()
    book.sell({"pool-0": 0.1})
    assert book.told() == {"pool-0"}, "alone it waits for nothing"


def test_what_waits_is_not_overtaken_for_ever(book: Book) -> None:
    book.sell({"pool-0": 1.0, "pool-1": 10.0, "pool-2": 10.0})
    waited = 0
    while "pool-0" not in book.told():
        waited += 1
        book.sell({"pool-1": 10.0 + waited, "pool-2": 10.0 + waited, "pool-3": 5.0 + waited})
        assert waited < 20, "pool-0 waits for ever"


def test_what_waits_long_beside_what_moves_far_all_the_time_has_half_of_the_places() -> None:
    book = Book(at_once=4, pools=60)
    book.told()
    book.sell({f"pool-{number}": 0.01 for number in range(1, 60)})
    first: dict[str, int] = {}
    for turn in range(1, 60):
        book.sell({"pool-0": 20.0 + turn})
        told = book.told()
        assert "pool-0" in told
        first |= {name: turn for name in told if name not in first}
        if len(first) == 60:
            break
    assert sorted(first.values())[:41] == [1, *range(1, 41)], "one in each frame"
    assert turn == 50, "then two"


def test_between_their_turns_what_moved_little_goes_beside_nothing() -> None:
    book = Book(at_once=2, others=0.2)
    book.told(0.0)
    book.sell({"pool-0": 0.2, "pool-1": 0.3, "pool-2": 30.0})
    assert book.told(0.1) == {"pool-2"}
    assert book.told(0.19) == set()
    book.sell({"pool-3": 30.0})
    assert book.told(0.2) == {"pool-3", "pool-1"}, "a turn"
    book.sell({"pool-4": 30.0})
    assert book.told(0.3) == {"pool-4"}


def test_while_others_move_far_a_turn_is_short_also_when_none_waits() -> None:
    book = Book(at_once=6, others=0.2)
    book.told(0.0)
    book.sell({"pool-0": 0.2, "pool-1": 0.3, "pool-2": 30.0})
    assert book.told(0.1) == {"pool-2"}
    assert book.told(0.2) == {"pool-1"}, "one, for something moved far since the last turn"
    book.sell({"pool-3": 0.1})
    assert book.told(0.4) == {"pool-0", "pool-3"}, "all, for nothing did"


def test_a_pool_that_changes_while_it_waits_is_told_as_it_stands(book: Book) -> None:
    book.sell({"pool-0": 1.0, "pool-1": 20.0, "pool-2": 30.0})
    book.told()
    book.sell({"pool-0": 40.0})
    while book.told():
        pass
    assert max(row.exposure for (pool, _), row in book.figures().items() if pool == "pool-0") == pytest.approx(400.0)


quantities = st.dictionaries(
    st.sampled_from([f"pool-{number}" for number in range(POOLS)]), st.floats(0.5, 50), max_size=6
)


@settings(max_examples=30, deadline=None)
@given(st.lists(quantities, max_size=4))
def test_in_the_end_it_is_what_a_projection_of_all_at_once_says(steps: list[dict[str, float]]) -> None:
    book, whole = Book(), Book()
    book.told()
    for step in steps:
        book.sell(step)
        whole.sell(step)
        book.told()
    # A frame of pools that are again as they were told says nothing, and others may still wait.
    for _ in range(POOLS):
        book.told()
    whole.told()
    assert book.figures() == whole.figures()


def test_a_new_day_waits_for_no_pool_because_forecasts_are_made_of_all() -> None:
    book, whole = Book(), Book()
    whole.projector = Projector()
    whole.partition = Partition(whole.projector.book)
    sold = {f"pool-{number}": 60.0 for number in range(POOLS)}
    for each in (book, whole):
        each.told()
        each.sell(sold)
        while each.told():
            pass
    tomorrow = NOW + dt.timedelta(days=1)
    mine, of_all = (each.projector.project(tomorrow, each.plan) for each in (book, whole))
    assert book.told() == set(), "nothing waits"
    assert book.figures() == whole.figures()
    assert any(told.overload_cost > 0 for told in whole.projector.told.forecasts.values())
    assert book.projector.told.forecasts.keys() == whole.projector.told.forecasts.keys()
    for key, told in whole.projector.told.forecasts.items():
        assert book.projector.told.forecasts[key].overload_cost == pytest.approx(told.overload_cost)
    assert (mine.forecasts if mine else None) == (of_all.forecasts if of_all else None)
