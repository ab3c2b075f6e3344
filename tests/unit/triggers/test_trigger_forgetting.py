"""Recalibrations leave the log 90 days after they were resolved; the numbers of episodes never begin anew."""

from datetime import timedelta
from typing import Any

import pytest

from services.triggers.domain.identity import recalibration_id
from shared.schemas.frame import Frame
from tests.unit.triggers.scenes import MONDAY, Log, at, plan_json, plans, position, trigger, undisturbed

CALM, BREACHED = position(0, 0.05), position(0, 0.9)
DAY = 24.0


def ids(*numbers: int) -> list[str]:
    return [recalibration_id("overcommitted", "implementation", number) for number in numbers]


def run(*frames: Frame, **changes: Any) -> Log:
    known = plans(plan_json(trigger(**changes)), plan_json())
    return undisturbed([at(0, BREACHED, complete=True), *frames], known)


@pytest.mark.parametrize(
    ("frames", "forgotten", "still"),
    [
        pytest.param([at(DAY, CALM), at(90 * DAY)], [], [1], id="not yet"),
        pytest.param([at(DAY, CALM), at(91 * DAY)], [1], [], id="on the day"),
        pytest.param([at(DAY, CALM), at(91 * DAY), at(200 * DAY)], [1], [], id="once"),
        pytest.param([at(91 * DAY), at(200 * DAY)], [], [], id="not while it fires"),
        pytest.param(
            [at(DAY, CALM), at(2 * DAY, BREACHED), at(91 * DAY)], [1], [], id="the former one while another fires"
        ),
        pytest.param(
            [at(DAY, CALM), at(2 * DAY, BREACHED), at(3 * DAY, CALM), at(92 * DAY)], [1], [2], id="each in its time"
        ),
        pytest.param(
            [at(DAY, CALM), at(2 * DAY, BREACHED), at(3 * DAY, CALM), at(300 * DAY)], [1, 2], [], id="all at last"
        ),
        pytest.param([at(DAY, plan="p@2"), at(91 * DAY, plan="p@2")], [1], [], id="of a trigger that is gone"),
        pytest.param([at(DAY, CALM), at(91 * DAY, loading=True)], [], [1], id="not in the middle of a load"),
    ],
)
def test_what_was_resolved_long_ago_is_forgotten(frames: list[Frame], forgotten: list[int], still: list[int]) -> None:
    log = run(*frames)
    assert log.forgotten == ids(*forgotten)
    (row,) = log.rows().values()
    assert [ended.number for ended in row.ended] == still


def test_an_episode_after_a_forgotten_one_has_a_new_id() -> None:
    log = run(at(DAY, CALM), at(91 * DAY), at(92 * DAY, BREACHED))
    assert [one.id for one in log.told if one.kind == "firing"] == ids(1, 2)
    assert log.forgotten == ids(1)


def test_what_was_told_to_nobody_leaves_nothing_to_forget() -> None:
    log = run(at(DAY, CALM), at(91 * DAY), shadow=True)
    assert (log.told, log.forgotten) == ([], [])


def test_it_is_counted_from_the_frame_that_resolved_it() -> None:
    log = run(at(DAY, CALM), keep="2h")
    (row,) = log.rows().values()
    assert row.ended == []
    log = run(at(DAY, CALM), at(DAY + 5), keep="2h")
    (row,) = log.rows().values()
    assert [ended.at for ended in row.ended] == [MONDAY + timedelta(hours=DAY + 5)]
