"""Frames and rows that cannot be read: each has one letter, whenever it is met, and the stream goes on."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import pytest
from msgspec.structs import replace as replace_row

from services.triggers.agents import Begin, TriggersShard
from services.triggers.domain.identity import recalibration_id
from services.triggers.plans import Plans
from shared.schemas import dead_letter, episode, frame, recalibration
from shared.schemas.frame import Frame
from shared.streams.dead_letters import TooManyBroken
from shared.streams.shards import Batch, Outgoing
from shared.topics import DEAD_LETTERS, EPISODES, FRAMES, RECALIBRATIONS
from tests.unit.triggers.scenes import MONDAY, Log, Written, at, feed, plan_json, plans, position, trigger, undisturbed

KNOWN = plans(plan_json(trigger()))
KEY = episode.record_key("overcommitted", "implementation")
QUIET, LOUD = at(0, position(0, 0.05), complete=True), at(1, position(0, 0.9))
BROKEN = [b"", b"no json", b'{"now": 1}', b'{"now": "\xff"}']


def values(*frames: Frame | bytes) -> list[bytes]:
    return [one if isinstance(one, bytes) else frame.encode(one) for one in frames]


def letters(outgoing: Sequence[Outgoing]) -> list[tuple[str, int]]:
    found = [dead_letter.decode(one.value or b"") for one in outgoing if one.topic == DEAD_LETTERS]
    return [(letter.reason, letter.offset) for letter in found]


def fired(outgoing: Sequence[Outgoing]) -> list[recalibration.Recalibration]:
    return [recalibration.decode(one.value or b"") for one in outgoing if one.topic == RECALIBRATIONS]


def keep(log: Log, outgoing: Sequence[Outgoing]) -> None:
    log.keep([one for one in outgoing if one.topic != DEAD_LETTERS])


def restored(log: Log, upto: int, lost: Sequence[Written] = (), known: Plans = KNOWN) -> TriggersShard:
    """A shard over the frames up to ``upto`` and the log's rows, behind which the ``lost`` ones lie."""
    shard = TriggersShard(known.book)
    records = sorted([*log.episodes.values(), *lost], key=lambda record: record.offset)
    if records:
        shard.apply(Batch(EPISODES, 0, records, records[-1].offset + 1, restoring=True))
    feed(shard, log.frames[:upto], 0, restoring=True)
    shard.restored({FRAMES: upto})
    return shard


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_frame_has_a_letter_and_the_next_ones_are_evaluated(broken: bytes) -> None:
    log = Log(values(QUIET, broken, LOUD))
    shard = restored(log, 0)
    feed(shard, log.frames, 0)
    outgoing = shard.flush(MONDAY)
    assert letters(outgoing) == [("broken-frames.v1", 1)]
    assert [one.kind for one in fired(outgoing)] == ["firing"]
    assert shard.flush(MONDAY) == []


@pytest.mark.parametrize("met_restoring", [True, False])
@pytest.mark.parametrize("written", [True, False])
def test_a_broken_frame_has_its_letter_once_wherever_a_restart_falls(met_restoring: bool, written: bool) -> None:
    """Whoever ended before the letter was written has not said either that the frame is evaluated."""
    log = Log(values(QUIET, b"broken"))
    shard = restored(log, 2 if met_restoring else 0)
    if not met_restoring:
        feed(shard, log.frames, 0)
    outgoing = shard.flush(MONDAY)
    assert letters(outgoing) == [("broken-frames.v1", 1)]
    if written:
        keep(log, outgoing)
    again = restored(log, 2)
    assert letters(again.flush(MONDAY)) == ([] if written else [("broken-frames.v1", 1)])
    feed(again, values(LOUD), 2)
    assert [one.kind for one in fired(again.flush(MONDAY))] == ["firing"]


def test_a_broken_frame_among_those_evaluated_before_is_passed_over() -> None:
    log = Log(values(QUIET, b"broken", LOUD))
    shard = restored(log, 0)
    feed(shard, log.frames, 0)
    keep(log, shard.flush(MONDAY))
    again = restored(log, 3)
    assert again.flush(MONDAY) == []
    feed(again, values(at(2, position(0, 0.05))), 3)
    (resolved,) = fired(again.flush(MONDAY))
    assert (resolved.kind, resolved.id) == ("resolved", recalibration_id("overcommitted", "implementation", 1))


def test_too_many_broken_frames_end_it() -> None:
    shard = restored(Log(), 0)
    feed(shard, [b"broken"] * 11, 0)
    with pytest.raises(TooManyBroken, match="11 of the last 11"):
        shard.flush(MONDAY)


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_row_has_one_letter_and_is_written_anew(broken: bytes) -> None:
    log = Log(values(QUIET))
    lost = Written(7, KEY, broken)
    shard = restored(log, 1, [lost])
    outgoing = shard.flush(MONDAY)
    assert letters(outgoing) == [("broken-episodes.v1", 7)]
    (row,) = [episode.decode(one.value or b"") for one in outgoing if one.key == KEY and one.topic == EPISODES]
    assert (row.phase, row.number) == ("clear", 8)
    log.episodes[KEY] = Written(8, KEY, episode.encode(row))
    assert letters(restored(log, 1, [lost]).flush(MONDAY)) == []


@pytest.mark.parametrize("earlier", [True, False], ids=["an-earlier-row-is-there", "it-was-compacted"])
def test_after_a_broken_row_no_id_is_used_twice(earlier: bool) -> None:
    log = Log(values(QUIET, LOUD))
    shard = restored(log, 0)
    feed(shard, log.frames, 0)
    outgoing = shard.flush(MONDAY)
    (before,) = fired(outgoing)
    keep(log, outgoing)
    good = log.episodes.pop(KEY)
    if earlier:
        log.episodes[KEY] = good
    lost = Written(good.offset + 5, KEY, b"broken")
    outgoing = restored(log, 2, [lost]).flush(MONDAY)
    assert letters(outgoing) == [("broken-episodes.v1", lost.offset)]
    # Evaluated up to the frame that its row was applied to, it fires with the next one; with that one, if none was.
    again = restored(log, 2, [lost])
    feed(again, values(at(2, position(0, 0.9))), 2)
    found = [*fired(outgoing), *fired(again.flush(MONDAY))]
    ends = [one for one in found if one.id == before.id]
    assert [one.kind for one in ends] == (["resolved"] * 2 if earlier else [])
    found = [one for one in found if one.id != before.id]
    assert found
    assert all((one.kind, one.transition) == ("firing", 1) for one in found)
    assert len({one.id for one in found}) == 1


MITIGATED = (at(2, position(0, 0.05, decided=50.0)),)


@pytest.mark.parametrize("more", [(), MITIGATED], ids=["firing", "mitigated"])
@pytest.mark.parametrize("known", [KNOWN, plans(plan_json(), plan_json())], ids=["watched", "watched-no-longer"])
def test_what_was_open_before_a_broken_row_is_ended_with_the_letter_and_forgotten_in_time(
    more: tuple[Frame, ...], known: Plans
) -> None:
    log = undisturbed([QUIET, LOUD, *more], KNOWN)
    row = log.rows()["overcommitted", "implementation"]
    assert row.phase == ("mitigated" if more else "firing")
    lost = Written(log.episodes[KEY].offset + 5, KEY, b"broken")
    shard = restored(log, len(log.frames), [lost], known)
    outgoing = shard.flush(MONDAY)
    assert letters(outgoing) == [("broken-episodes.v1", lost.offset)]
    (end,) = fired(outgoing)
    assert (end.kind, end.id, end.at) == ("resolved", row.recalibration, shard_now(log))
    assert end.transition > lost.offset  # newer than whatever the lost row told
    assert bool(end.owners) == (known is KNOWN)
    del log.episodes[KEY]
    log.ends[EPISODES] = lost.offset
    keep(log, outgoing)
    assert [(ended.number, ended.at) for ended in log.rows()["overcommitted", "implementation"].ended] == [(1, end.at)]
    again = restored(log, len(log.frames))
    feed(again, values(at(24 * 91, complete=True)), len(log.frames))
    keep(log, again.flush(MONDAY))
    assert log.forgotten == [row.recalibration]


def shard_now(log: Log) -> datetime:
    return frame.decode(log.frames[-1]).now


def test_what_was_tried_only_ends_unsaid_at_a_broken_row() -> None:
    known = plans(plan_json(trigger(shadow=True)))
    log = undisturbed([QUIET, LOUD], known)
    lost = Written(log.episodes[KEY].offset + 5, KEY, b"broken")
    outgoing = restored(log, 2, [lost], known).flush(MONDAY)
    assert fired(outgoing) == []
    assert letters(outgoing) == [("broken-episodes.v1", lost.offset)]


def test_an_end_is_told_although_no_frame_is_there_any_more() -> None:
    log = undisturbed([QUIET, LOUD], KNOWN)
    lost = Written(log.episodes[KEY].offset + 5, KEY, b"broken")
    rewound = episode.encode(replace_row(log.rows()["overcommitted", "implementation"], applied=-1))
    log.episodes = {KEY: replace(log.episodes[KEY], value=rewound)}
    (end,) = fired(restored(log, 0, [lost]).flush(MONDAY))
    assert (end.kind, end.at) == ("resolved", frame.decode(log.frames[1]).now)


def test_too_many_broken_rows_end_it_until_they_have_a_tombstone() -> None:
    lost = [Written(i, episode.record_key("overcommitted", str(i)), b"broken") for i in range(11)]
    with pytest.raises(TooManyBroken, match="11 of the last 11"):
        restored(Log(), 0, lost)
    shard = restored(Log(), 0, [*lost, Written(11, lost[0].key, None)])
    outgoing = shard.flush(MONDAY)
    assert [place for _, place in letters(outgoing)] == list(range(1, 11))
    (row,) = [episode.decode(one.value or b"") for one in outgoing if one.topic == EPISODES and one.key == lost[0].key]
    assert (row.phase, row.number) == ("clear", 12)


def test_a_row_that_was_taken_out_by_a_tombstone_ends_what_was_open_and_uses_no_id_twice() -> None:
    log = undisturbed([QUIET, LOUD], KNOWN)
    first = log.rows()["overcommitted", "implementation"].recalibration
    shard = restored(log, 2, [Written(9, KEY, None), Written(10, b"nobody", None)])
    outgoing = shard.flush(MONDAY)
    assert letters(outgoing) == []
    assert b"nobody" not in {one.key for one in outgoing}
    feed(shard, values(LOUD), 2)
    told = [*fired(outgoing), *fired(shard.flush(MONDAY))]
    assert [(one.kind, one.id == first) for one in told] == [("resolved", True), ("firing", False)]


def test_a_row_written_anew_stands_before_what_moves_it_on() -> None:
    log = Log(values(at(0, position(0, 0.9), complete=True)))
    outgoing = restored(log, 1, [Written(7, KEY, b"broken")]).flush(MONDAY)
    rows = [episode.decode(one.value or b"") for one in outgoing if one.topic == EPISODES and one.key == KEY]
    assert [(row.phase, row.number) for row in rows] == [("clear", 8), ("firing", 9)]


def test_a_broken_row_of_nobody_leaves_the_topic() -> None:
    outgoing = restored(Log(), 0, [Written(7, b"nobody", b"broken")]).flush(MONDAY)
    assert letters(outgoing) == [("broken-episodes.v1", 7)]
    assert [one.value for one in outgoing if one.key == b"nobody" and one.topic == EPISODES] == [None]


@pytest.mark.parametrize("said", [b"yesterday", b"\xff", b"", b"2026-03-30T08:00:00"])
def test_a_good_row_whose_headers_say_no_moment_is_taken_over(said: bytes) -> None:
    log = Log(values(QUIET, LOUD))
    shard = restored(log, 0)
    feed(shard, log.frames, 0)
    keep(log, shard.flush(MONDAY))
    row = log.episodes[KEY]
    log.episodes[KEY] = replace(row, headers=[("ce_time", said)])
    again = restored(log, 2)
    assert again.flush(MONDAY) == []
    feed(again, values(at(2, position(0, 0.05))), 2)
    (told,) = fired(again.flush(MONDAY))
    assert (told.kind, told.id) == ("resolved", recalibration_id("overcommitted", "implementation", 1))


def test_a_broken_word_of_how_far_it_is_is_as_none_and_said_anew() -> None:
    log = Log(values(QUIET))
    lost = Written(7, episode.EVALUATED_KEY, b"broken")
    begin = Begin()
    begin.add(Written(6, episode.EVALUATED_KEY, episode.encode(episode.Evaluated(9, 5))))
    begin.add(lost)
    assert begin.frame == 0
    outgoing = restored(log, 1, [lost]).flush(MONDAY)
    assert letters(outgoing) == [("broken-episodes.v1", 7)]
    (said,) = [one.value or b"" for one in outgoing if one.key == episode.EVALUATED_KEY and one.topic == EPISODES]
    assert episode.decode_evaluated(said).frame == 0
