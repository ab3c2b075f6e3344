"""When it happened: which recalibrations carry the source's own time of the deal that brought them about."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from services.triggers.agents import TriggersShard
from shared.schemas import frame
from shared.schemas.frame import Frame
from shared.schemas.trace import happened_in
from shared.topics import RECALIBRATIONS
from tests.unit.triggers.scenes import MONDAY, Log, at, feed, plan_json, plans, position, trigger

KNOWN = plans(plan_json(trigger(for_=None), trigger(trigger="slow", for_="2h")))
CALM, TIPPED = position(1, 0.1), position(1, 0.9)


def carried(frames: Sequence[Frame], *, passed_over: int = 0) -> list[int]:
    """What the recalibrations carry that these frames bring about, one flush each; some were evaluated before."""
    log = Log([frame.encode(one) for one in frames])
    if passed_over:
        first = log.restored(KNOWN, 0)
        feed(first, log.frames[:passed_over], 0)
        log.keep(first.flush(MONDAY))
    shard = log.restored(KNOWN, passed_over)
    return [moment for n in range(passed_over, len(frames)) for moment in evaluated(shard, log.frames[n], n)]


def evaluated(shard: TriggersShard, value: bytes, offset: int) -> list[int]:
    feed(shard, [value], offset)
    told = [one for one in shard.flush(MONDAY + timedelta(days=1)) if one.topic == RECALIBRATIONS]
    return [happened_in(one.headers) for one in told]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param(
            [at(0, CALM, complete=True, book_time=100), at(1, TIPPED, book_time=200)], [200], id="a newer deal"
        ),
        pytest.param([at(0, TIPPED, complete=True, book_time=100)], [0], id="the first is as old as it likes"),
        pytest.param(
            [at(0, CALM, complete=True), at(1, TIPPED, book_time=200)], [0], id="the first deal is as old as it likes"
        ),
        pytest.param(
            [at(0, CALM, complete=True, book_time=100), at(1, TIPPED, book_time=100)], [0], id="a deal of long ago"
        ),
        pytest.param(
            [at(0, CALM, complete=True, book_time=100), at(1, TIPPED, book_time=50)], [0], id="the newest is deleted"
        ),
        pytest.param(
            [at(0, CALM, complete=True, book_time=100), at(1, TIPPED, book_time=200), at(3.5, book_time=200)],
            [200, 0],
            id="time that passes",
        ),
        pytest.param(
            [
                at(0, CALM, complete=True, book_time=100),
                at(1, TIPPED, book_time=200, more=True),
                at(1, book_time=200),
            ],
            [200],
            id="a projection in several frames",
        ),
    ],
)
def test_what_a_recalibration_carries(frames: Sequence[Frame], expected: list[int]) -> None:
    assert carried(frames) == expected


def test_a_restart_knows_the_newest_deal_of_before() -> None:
    frames = [at(0, CALM, complete=True, book_time=100), at(1, TIPPED, book_time=200)]
    assert carried(frames, passed_over=1) == [200]
    assert carried([frames[0], at(1, TIPPED, book_time=100)], passed_over=1) == [0]
