"""What travels beside the figures: from deals to the mark, from marks to the frame, once."""

from collections.abc import Callable
from datetime import timedelta
from time import monotonic

import pytest

from services.capacity.agents.fold import FoldShard
from services.capacity.agents.project import PACE, ProjectShard
from services.capacity.metrics import POSITIONS_OVERLOADED
from shared.schemas.deal import Line
from shared.schemas.envelope import headers
from shared.schemas.frame import decode
from shared.schemas.trace import NOWHERE, Passage, passage_in
from shared.topics import CELLS, DEALS
from tests.unit.capacity.books import NOW
from tests.unit.capacity.deals import deal
from tests.unit.capacity.records import Log
from tests.unit.capacity.test_project_shard import plans

FIRST, SECOND, THIRD = (f"00-{digit * 32}-{digit * 16}-01".encode() for digit in "123")


def write(log: Log, number: int, trace: bytes | None, arrived: int, quantity: float = 1.0) -> None:
    log.write(f"crm/{number}", deal(number, Line("basic", quantity=quantity), stage="won", time=arrived))
    log.records[-1].headers = headers("t", str(number), "crm", None, trace, arrived)


def flushed(shard: FoldShard | ProjectShard, log: Log | None = None) -> Passage:
    """What the last record of a flush carries: the mark's or the frame's."""
    outgoing = shard.flush(NOW + timedelta(seconds=1))
    for out in outgoing if log is not None else ():
        log.write(out.key, out.value)
        log.records[-1].headers = out.headers
    return passage_in(outgoing[-1].headers)


def restored_fold(deals: Log) -> FoldShard:
    shard = FoldShard(0)
    shard.apply(deals.batch(restoring=True))
    shard.restored({DEALS: deals.end})
    return shard


def restored_project(cells: Log, clock: Callable[[], float] = monotonic) -> ProjectShard:
    made = plans(1)
    shard = ProjectShard(lambda: made.in_force, seconds=clock)
    shard.apply(cells.batch(restoring=True))
    shard.restored({CELLS: cells.end})
    return shard


def test_a_mark_carries_the_newest_trace_and_the_oldest_arrival_of_its_flush() -> None:
    deals = Log(DEALS)
    write(deals, 1, FIRST, 10)
    shard = restored_fold(deals)
    assert flushed(shard) == NOWHERE, "what is restored arrived long ago"
    write(deals, 2, SECOND, 20)
    write(deals, 3, THIRD, 30)
    shard.apply(deals.batch(1, 2))
    shard.apply(deals.batch(2))
    assert flushed(shard) == Passage(THIRD, 20)
    write(deals, 4, None, 40)
    shard.apply(deals.batch(3))
    assert flushed(shard) == Passage(None, 40)


class Seconds:
    """A clock that goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_frame_carries_what_its_marks_do_and_only_once() -> None:
    deals, cells, clock = Log(DEALS), Log(CELLS), Seconds()
    write(deals, 1, FIRST, 10)
    fold = restored_fold(deals)
    flushed(fold, cells)
    project = restored_project(cells, clock)
    assert flushed(project) == NOWHERE
    for number, trace in ((2, SECOND), (3, THIRD)):
        seen, before = cells.end, deals.end
        write(deals, number, trace, number * 10)
        fold.apply(deals.batch(before))
        flushed(fold, cells)
        project.apply(cells.batch(seen))
    assert flushed(project) == Passage(THIRD, 20)
    clock.now = PACE.others
    assert project.flush(NOW + timedelta(seconds=2)) == []
    clock.now = PACE.forecasts
    (forecasts,) = project.flush(NOW + timedelta(seconds=2))[-1:]
    assert not decode(forecasts.value or b"").positions
    assert passage_in(forecasts.headers) == NOWHERE
    assert project.flush(NOW + timedelta(seconds=3)) == []
    (beat,) = project.flush(NOW + timedelta(hours=2))[-1:]
    assert passage_in(beat.headers) == NOWHERE


@pytest.mark.parametrize("minutes", [0, 1, -10])
def test_what_moved_little_waits_for_its_frame_and_its_trace_with_it(minutes: int) -> None:
    """By the machine's seconds: the system's clock may stand still or be set back."""
    deals, cells, clock = Log(DEALS), Log(CELLS), Seconds()
    write(deals, 1, FIRST, 10)
    fold = restored_fold(deals)
    flushed(fold, cells)
    project = restored_project(cells, clock)
    project.flush(NOW)
    seen = cells.end
    write(deals, 2, SECOND, 20, quantity=0.01)
    fold.apply(deals.batch(1))
    flushed(fold, cells)
    project.apply(cells.batch(seen))
    clock.now = PACE.others / 2
    assert project.flush(NOW + timedelta(minutes=minutes)) == []
    clock.now = PACE.others
    assert passage_in(project.flush(NOW + timedelta(minutes=minutes))[-1].headers) == Passage(SECOND, 20)


def test_what_came_without_a_plan_leaves_no_trace_to_its_first_frame() -> None:
    deals, cells, made = Log(DEALS), Log(CELLS), plans()
    write(deals, 1, FIRST, 10)
    fold = restored_fold(deals)
    flushed(fold, cells)
    project = ProjectShard(lambda: made.in_force)
    project.restored({CELLS: 0})
    project.apply(cells.batch())
    assert project.flush(NOW) == []
    made = plans(1)
    assert flushed(project) == NOWHERE


def test_overloaded_weeks_are_counted_by_pool() -> None:
    def counted() -> dict[str, float]:
        return {s.labels["pool"]: s.value for family in POSITIONS_OVERLOADED.collect() for s in family.samples}

    deals, cells = Log(DEALS), Log(CELLS)
    write(deals, 1, None, 10)
    fold = restored_fold(deals)
    flushed(fold, cells)
    project = restored_project(cells)
    project.flush(NOW)
    (pool,) = counted()
    before = counted()[pool]
    seen, start = cells.end, deals.end
    deals.write("crm/2", deal(2, Line("basic", quantity=1000.0), stage="won", time=20))
    fold.apply(deals.batch(start))
    flushed(fold, cells)
    project.apply(cells.batch(seen))
    project.flush(NOW + timedelta(seconds=1))
    assert counted()[pool] > before
