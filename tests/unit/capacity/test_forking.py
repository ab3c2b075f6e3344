"""A fork of the projector: changing it changes nothing of the original, and it goes on as the original would."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain import contribution
from services.capacity.domain.cell_lines import lines_of, put_in, take_out, unnamed
from services.capacity.domain.forking import fork
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Deal, Line, encode
from tests.unit.capacity.books import NOW, Partition
from tests.unit.capacity.deals import DEALS, deal
from tests.unit.capacity.plans import plan, work_pool

NEED = {"pool": "eng", "effort": 10.0, "curve": {"shape": "flat", "weeks": 3}}
PLAN = plan(
    {"eng": work_pool(40.0), "ops": work_pool(15.0)},
    {"basic": {"needs": [NEED]}, "enterprise": {"needs": [NEED, {"pool": "ops", "effort": 4.0}]}},
)
IN_FORCE = PlanInForce("small@1", PLAN)


def projected(deals: list[Deal]) -> Projector:
    projector = Projector()
    projector.cells_changed(Partition(projector.book).put({one.id: encode(one) for one in deals}))
    projector.project(NOW, IN_FORCE)
    return projector


def shown(projector: Projector) -> tuple:
    return dict(projector.positions), dict(projector.work)


@settings(max_examples=30, deadline=None)
@given(before=st.lists(DEALS, max_size=6), after=st.lists(DEALS, min_size=1, max_size=3))
def test_what_is_done_to_a_fork_the_original_does_not_notice(before, after):
    original = projected(before)
    said = shown(original)
    copy = fork(original)
    lines = [line for one in after for line in lines_of(f"new/{one.id}", contribution.decode(encode(one)))]
    copy.cells_changed(put_in(copy.book, lines))
    copy.project(NOW, IN_FORCE)
    assert shown(original) == said
    # Neither does it when it goes on itself: a projection from nothing says the same.
    original.cells_changed(list(original.book))
    original.project(NOW, IN_FORCE)
    assert shown(original) == said
    assert shown(projected(before)) == said


@settings(max_examples=30, deadline=None)
@given(deals=st.lists(DEALS, min_size=1, max_size=6, unique_by=lambda one: one.id))
def test_a_deal_taken_out_leaves_what_there_is_without_it(deals):
    original, gone = projected(deals), deals[0]
    copy = fork(original)
    lines = lines_of(gone.id, contribution.decode(encode(gone)))
    copy.cells_changed(take_out(copy.book, lines))
    copy.project(NOW, IN_FORCE)
    rest = projected(deals[1:])
    assert set(copy.book) == set(rest.book)
    for one, other in zip(copy.positions.values(), rest.positions.values(), strict=True):
        assert abs(one.expected - other.expected) <= 1e-6 * max(1.0, other.expected)
        assert abs(one.overload - other.overload) <= 0.01
    # And put in again, everything is as it was.
    copy.cells_changed(put_in(copy.book, lines))
    assert set(copy.book) == set(original.book)
    for key in original.book:
        now, then = copy.book.cell(key), original.book.cell(key)
        assert (now.members, now.own.count, now.stage.count) == (then.members, then.own.count, then.stage.count)


def test_small_lines_of_a_large_cell_are_not_named():
    deals = {f"crm/{number}": deal(number, Line("basic", quantity=float(number))) for number in range(1, 41)}
    projector = Projector()
    Partition(projector.book).put(deals)
    lines = [line for name in ("crm/1", "crm/40") for line in lines_of(name, contribution.decode(deals[name]))]
    assert unnamed(projector.book, lines) == lines[:1]
