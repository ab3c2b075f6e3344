"""The shard as the runtime uses it: restores from the log alone, and then goes on as if nothing had happened."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.triggers import agents
from services.triggers.domain import episodes, evaluation
from services.triggers.domain.evaluation import Evaluation
from services.triggers.domain.identity import recalibration_id
from services.triggers.plans import Plans
from shared.errors import LogRewound
from shared.schemas import episode, frame
from shared.schemas.frame import Frame
from shared.streams.shards import Batch
from shared.topics import EPISODES, RECALIBRATIONS
from tests.unit.triggers.scenes import (
    MONDAY,
    Log,
    Written,
    at,
    feed,
    plan_json,
    plans,
    position,
    published,
    undisturbed,
)
from tests.unit.triggers.story import FIRST, FORGETFUL, KNOWN, SECOND, story


def told(log: Log) -> dict[str, bytes]:
    """Everything told, by event id; telling one id twice must say the same."""
    found: dict[str, bytes] = {}
    for one in log.told:
        content = episode.encode(one)
        assert found.setdefault(one.event_id, content) == content
    return found


def test_a_story_has_something_to_tell() -> None:
    everything = [one for seed in range(30) for one in undisturbed(story(seed, 60), KNOWN).told]
    assert {one.kind for one in everything} == {"firing", "updated", "mitigated", "reopened", "resolved"}
    triggers = {one["trigger"] for plan in (FIRST, SECOND) for one in plan["triggers"]}
    assert {one.trigger for one in everything} == triggers
    assert {one.grouped for one in everything} == {True, False}


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), max_size=4))
def test_restarts_anywhere_change_nothing(seed: int, restarts: Sequence[tuple[int, bool, bool]]) -> None:
    """The same transitions with the same content, whatever was flushed when it stopped, in either order of reading."""
    restart(story(seed, 60), KNOWN, restarts)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), max_size=4))
def test_restarts_that_begin_at_a_complete_frame_change_nothing(
    seed: int, restarts: Sequence[tuple[int, bool, bool]]
) -> None:
    restart(story(seed, 60), FORGETFUL, restarts)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), max_size=4))
def test_restarts_anywhere_forget_the_same(seed: int, restarts: Sequence[tuple[int, bool, bool]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for module in (episodes, evaluation):
            patch.setattr(module, "FORGET_AFTER", timedelta(days=1))
        restart(story(seed, 60), FORGETFUL, restarts)


def restart(frames: list[Frame], known: Plans, restarts: Sequence[tuple[int, bool, bool]]) -> None:
    expected = undisturbed(frames, known)
    log = Log(expected.frames)
    ends = [*sorted(set(restarts)), (len(frames), False, False)]
    done = 0
    shard = log.restored(known, 0)
    for stop, lose, frames_first in ends:
        feed(shard, log.frames[done:stop], done)
        outgoing = shard.flush(MONDAY)
        if not lose:
            log.keep(outgoing)
        done = max(done, stop)
        shard = log.restored(known, done, frames_first=frames_first)
        log.keep(shard.flush(MONDAY))
    assert told(log) == told(expected)
    assert log.rows() == expected.rows()
    # What a lost flush forgot is forgotten again; of nothing else a tombstone is written twice.
    assert set(log.forgotten) == set(expected.forgotten)
    assert len(set(expected.forgotten)) == len(expected.forgotten)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_replaying_the_log_from_its_beginning_tells_the_same(seed: int) -> None:
    frames = story(seed, 60)
    expected = undisturbed(frames, KNOWN)
    log = Log(expected.frames)
    shard = log.restored(KNOWN, 0)
    feed(shard, log.frames, 0)
    while outgoing := shard.flush(MONDAY):
        log.keep(outgoing)
    assert told(log) == told(expected)
    assert log.rows() == expected.rows()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_looking_only_at_what_changed_sees_all(seed: int) -> None:
    """Against looking at every scope on every frame."""
    few, all_ = Evaluation(KNOWN.book), Evaluation(KNOWN.book)
    for offset, one in enumerate(story(seed, 60)):
        all_._look_at_all = True
        seen = few.evaluate(one, offset)
        expected = all_.evaluate(one, offset)
        assert seen == expected


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 59))
def test_only_what_is_missing_keeps_it_from_resolving(seed: int, dark: int) -> None:
    """From some frame on nothing is known of any pool: nothing is told but what the plan withdraws."""
    frames = [one for one in story(seed, 60) if one.plan == "p@1"]
    silent = [at(2000.0 + i, complete=True) for i in range(5)]
    log = undisturbed([*frames[:dark], *silent], KNOWN)
    assert [one.kind for one in log.told if one.at >= silent[0].now] == []


def test_frames_wait_for_their_plan_and_keep_their_order() -> None:
    frames = story(3, 40)
    expected = undisturbed(frames, KNOWN)
    late = plans(FIRST)
    log = Log(expected.frames)
    shard = log.restored(late, 0)
    feed(shard, log.frames, 0)
    log.keep(shard.flush(MONDAY))
    held = [one.plan for one in frames].index("p@2")
    assert all(one.frame < held for one in log.told)
    assert log.told
    late.add(Written(2, b"p@2", published(SECOND, 2)))
    log.keep(shard.flush(MONDAY))
    assert told(log) == told(expected)


def test_a_trigger_that_leaves_the_plan_is_resolved_and_its_owners_learn_it() -> None:
    breached = [position(i, 0.9) for i in range(6)]
    log = undisturbed(
        [at(0, *breached, complete=True), at(1, *breached, complete=True, plan="p@2")], plans(FIRST, plan_json())
    )
    fired, resolved = [one for one in log.told if one.trigger == "overcommitted"]
    assert (resolved.kind, resolved.id) == ("resolved", fired.id)
    assert resolved.owners == fired.owners
    assert "plan p@2 has no trigger overcommitted" in resolved.summary


def test_a_kept_trigger_goes_on_under_the_new_plan() -> None:
    breached = [position(i, 0.9) for i in range(6)]
    frames = [
        at(0, *breached, complete=True),
        at(1, *breached, complete=True, plan="p@2"),
        at(2, position(0, 0.01), plan="p@2"),
    ]
    log = undisturbed(frames, plans(FIRST, FIRST))
    assert [one.kind for one in log.told if one.trigger == "overcommitted"] == ["firing"]


def test_an_episode_and_what_it_tells_go_out_together() -> None:
    log = Log([frame.encode(at(0, position(0, 0.9), complete=True))])
    shard = log.restored(KNOWN, 0)
    feed(shard, log.frames, 0)
    outgoing = shard.flush(MONDAY)
    written = [(one.topic, one.key) for one in outgoing]
    assert written == [
        (EPISODES, episode.record_key("overcommitted", "implementation")),
        (RECALIBRATIONS, recalibration_id("overcommitted", "implementation", 1).encode()),
        (EPISODES, episode.record_key("held", "implementation")),
        (EPISODES, episode.record_key("tried", "implementation")),
    ]
    assert all(dict(one.headers)["ce_specversion"] == b"1.0" for one in outgoing)


def test_frames_before_the_first_complete_one_are_passed_over() -> None:
    log = undisturbed([at(0, position(0, 0.9)), at(1, position(0, 0.1), complete=True)], KNOWN)
    assert log.told == []


def test_nothing_is_evaluated_before_it_is_restored() -> None:
    shard = agents.TriggersShard(KNOWN.book)
    feed(shard, [frame.encode(at(0, position(0, 0.9), complete=True))], 0, restoring=True)
    assert shard.flush(MONDAY) == []


def test_a_restore_begins_at_the_last_complete_frame_that_was_judged() -> None:
    frames = [
        at(0, position(0, 0.05), complete=True),
        at(1, position(0, 0.9)),
        at(2, position(0, 0.9), complete=True),
        at(3, position(0, 0.1), complete=True, more=True),
        at(3, position(1, 0.1), more=True),
        at(3, position(2, 0.1)),
        at(4, position(0, 0.05)),
    ]
    begins = [undisturbed(frames[: length + 1], FORGETFUL).begin for length in range(len(frames))]
    assert begins == [0, 0, 2, 2, 2, 3, 3]


def test_a_restore_reaches_back_as_far_as_days_are_looked_back_on() -> None:
    frames = [at(24 * day, position(0, 0.05), complete=True) for day in range(40)]
    # On day 39 the slack of 29 days before it is kept; without anybody watching it, of none.
    assert undisturbed(frames, KNOWN).begin == 10
    assert undisturbed(frames, FORGETFUL).begin == 39
    restart(frames, KNOWN, [(35, False, False), (38, False, True)])


def test_how_far_it_is_gets_told_when_nothing_else_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "SAY_HOW_FAR_AFTER", 10)
    quiet = [at(i, position(0, 0.01), complete=i == 0) for i in range(25)]
    log = undisturbed(quiet, KNOWN)
    assert episode.decode_evaluated(log.episodes[episode.EVALUATED_KEY].value or b"").frame == 19
    again = log.restored(KNOWN, 25)
    assert len(again._waiting) == 5


def test_our_own_rows_coming_back_change_nothing() -> None:
    log = undisturbed([at(0, position(0, 0.9), complete=True)], KNOWN)
    shard = log.restored(KNOWN, 1)
    old = episode.Episode(trigger="overcommitted", scope="implementation", number=9, phase="clear", applied=0)
    key = episode.record_key(old.trigger, old.scope)
    shard.apply(Batch(EPISODES, 0, [Written(9, key, episode.encode(old))], 10))
    assert shard._evaluation.episodes["overcommitted", "implementation"].number == 1


def test_frames_that_end_below_what_was_evaluated_stop_it() -> None:
    log = undisturbed([at(i, position(0, 0.9), complete=True) for i in range(3)], KNOWN)
    row = next(iter(log.rows().values()))
    row.applied = 50
    log.episodes[b"further"] = Written(9, b"further", episode.encode(row))
    with pytest.raises(LogRewound, match="headroom rebuild all"):
        log.restored(KNOWN, 3)


def test_a_plan_is_known_once_it_was_read() -> None:
    assert KNOWN.book("p@1") is KNOWN.book("p@1")
    assert KNOWN.book("p@9") is None
