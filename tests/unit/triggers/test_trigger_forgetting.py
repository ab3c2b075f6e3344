"""Recalibrations leave the log 90 days after they were resolved; the numbers of episodes never begin anew."""

from datetime import timedelta
from typing import Any

import pytest

from services.triggers.domain.episodes import with_all_ended
from services.triggers.domain.identity import recalibration_id
from shared.schemas import episode
from shared.schemas.envelope import headers
from shared.schemas.episode import Ended, Episode
from shared.schemas.frame import Frame, encode
from tests.unit.triggers.scenes import MONDAY, Log, Written, at, feed, plan_json, plans, position, trigger, undisturbed

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
        pytest.param(
            [at(DAY, plan="p@2", complete=True), at(91 * DAY, plan="p@2")], [1], [], id="of a trigger that is gone"
        ),
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


EARLIER = MONDAY - timedelta(days=5)
WRITTEN = MONDAY - timedelta(days=1)


def row(number: int, phase: Any, *ended: Ended, **more: Any) -> Episode:
    """A row as an earlier version wrote it."""
    named = {"trigger": "overcommitted", "scope": "implementation"}
    return Episode(**named, number=number, phase=phase, applied=-1, ended=list(ended), **more)


@pytest.mark.parametrize(
    ("before", "ended"),
    [
        pytest.param(row(0, "clear"), [], id="never fired"),
        pytest.param(row(1, "clear", fired=EARLIER), [(1, WRITTEN)], id="when it was last written, at the latest"),
        pytest.param(row(2, "pending", fired=EARLIER), [(1, WRITTEN), (2, WRITTEN)], id="another may come"),
        pytest.param(row(3, "firing", fired=EARLIER), [(1, EARLIER), (2, EARLIER)], id="before the next one fired"),
        pytest.param(row(1, "mitigated", fired=EARLIER), [], id="the first is under way"),
        pytest.param(
            row(3, "clear", Ended(3, EARLIER)), [(1, EARLIER), (2, EARLIER), (3, EARLIER)], id="before a noted one"
        ),
        pytest.param(row(2, "clear", shadow=True), [(1, WRITTEN)], id="told to nobody"),
        pytest.param(row(2, "clear", ended_known=True), [], id="forgotten long ago"),
    ],
)  # fmt: skip
def test_what_an_earlier_version_did_not_note_counts_as_ended(before: Episode, ended: list[tuple[int, Any]]) -> None:
    after = with_all_ended(before, WRITTEN)
    assert [(one.number, one.at) for one in after.ended] == ended
    assert after.ended_known
    assert with_all_ended(after, MONDAY) is after


def test_a_recalibration_resolved_under_an_earlier_version_leaves_the_log() -> None:
    known = plans(plan_json(trigger()))
    log, key = Log(), episode.record_key("overcommitted", "implementation")
    told = headers(episode.TYPE, "overcommitted/implementation/0", "headroom/triggers", WRITTEN)
    log.episodes[key] = Written(0, key, episode.encode(row(2, "clear", fired=EARLIER)), told)
    frames = [at(0, CALM, complete=True), at(88 * DAY), at(90 * DAY), at(190 * DAY)]
    for place, one in enumerate(frames):  # a new process for each frame: what is noted stays noted
        shard = log.restored(known, place)
        log.frames.append(encode(one))
        feed(shard, log.frames[-1:], place)
        log.keep(shard.flush(MONDAY))
        assert log.forgotten == (ids(1, 2) if place >= 2 else [])
    assert log.rows()["overcommitted", "implementation"].ended_known
