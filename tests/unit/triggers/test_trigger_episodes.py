"""The life of an episode, frame by frame."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.episodes import beginning, due, step, withdraw
from services.triggers.domain.identity import event_id, recalibration_id
from services.triggers.domain.observation import Observation
from shared.schemas.episode import Episode
from shared.schemas.plan_triggers import Trigger
from tests.unit.triggers.scenes import MONDAY, trigger

BREACH = Observation(True, False, ("2026-W16",), size=10.0, noise=5.0)
BETWEEN = Observation(False, False, (), size=10.0, noise=5.0)
CLEAR = Observation(False, True, ())
UNKNOWN = Observation(None, None, ())
DECIDED = replace(CLEAR, decided=True)
BETWEEN_DECIDED = replace(BETWEEN, decided=True)


def rule(**changes: Any) -> Trigger:
    return Trigger.model_validate(trigger(**changes))


def walk(seen: list[Observation], terms: Trigger, hours: float = 1.0) -> list[tuple[str, str | None]]:
    """Phase and transition after each observation, one every so many hours."""
    episode = beginning("t", "s")
    path: list[tuple[str, str | None]] = []
    for i, observation in enumerate(seen):
        moved = step(episode, observation, MONDAY + i * timedelta(hours=hours), terms)
        episode = moved.episode
        path.append((episode.phase, moved.transition))
    return path


@pytest.mark.parametrize(
    ("seen", "terms", "path"),
    [
        pytest.param([BREACH], {}, [("firing", "firing")], id="at once"),
        pytest.param(
            [BREACH, BREACH, BREACH],
            {"for_": "2h"},
            [("pending", None), ("pending", None), ("firing", "firing")],
            id="only after for",
        ),
        pytest.param(
            [BREACH, BETWEEN, BREACH, BREACH],
            {"for_": "2h"},
            [("pending", None), ("clear", None), ("pending", None), ("pending", None)],
            id="a break starts for again",
        ),
        pytest.param(
            [BREACH, UNKNOWN, BREACH],
            {"for_": "2h"},
            [("pending", None), ("pending", None), ("firing", "firing")],
            id="unknown neither fires nor sends back",
        ),
        pytest.param(
            [BREACH, BETWEEN, CLEAR, BREACH],
            {},
            [("firing", "firing"), ("firing", None), ("clear", "resolved"), ("firing", "firing")],
            id="hysteresis",
        ),
        pytest.param(
            [BREACH, UNKNOWN, UNKNOWN, CLEAR],
            {},
            [("firing", "firing"), ("firing", None), ("firing", None), ("clear", "resolved")],
            id="unknown does not resolve",
        ),
        pytest.param(
            [BREACH, CLEAR, CLEAR, CLEAR],
            {"keep": "2h"},
            [("firing", "firing"), ("firing", None), ("firing", None), ("clear", "resolved")],
            id="clear must be kept",
        ),
        pytest.param(
            [BREACH, CLEAR, UNKNOWN, CLEAR, CLEAR],
            {"keep": "2h"},
            [("firing", "firing"), ("firing", None), ("firing", None), ("firing", None), ("firing", None)],
            id="unknown interrupts what must be kept",
        ),
        pytest.param(
            [BREACH, DECIDED, DECIDED, CLEAR],
            {},
            [("firing", "firing"), ("mitigated", "mitigated"), ("mitigated", None), ("clear", "resolved")],
            id="mitigated until confirmed",
        ),
        pytest.param(
            [BREACH, DECIDED, BETWEEN_DECIDED, BETWEEN],
            {},
            [("firing", "firing"), ("mitigated", "mitigated"), ("mitigated", None), ("firing", "reopened")],
            id="reopened when what was decided lapses",
        ),
        pytest.param(
            [BREACH, DECIDED, BREACH],
            {},
            [("firing", "firing"), ("mitigated", "mitigated"), ("firing", "reopened")],
            id="reopened by a breach in spite of it",
        ),
        pytest.param(
            [BREACH, DECIDED, UNKNOWN],
            {},
            [("firing", "firing"), ("mitigated", "mitigated"), ("mitigated", None)],
            id="unknown does not reopen",
        ),
    ],
)
def test_paths(seen: list[Observation], terms: dict[str, str], path: list[tuple[str, str | None]]) -> None:
    assert walk(seen, rule(**terms)) == path


@pytest.mark.parametrize(
    ("seen", "transition", "words"),
    [
        pytest.param(replace(BREACH, weeks=("2026-W16", "2026-W17")), "updated", "2026-W16 to 2026-W17", id="further"),
        pytest.param(replace(BREACH, size=16.0), "updated", "from 10 to 16", id="bigger"),
        pytest.param(replace(BREACH, size=11.9), None, "", id="bigger by little"),
        pytest.param(replace(BREACH, size=14.0), None, "", id="bigger by less than noise"),
        pytest.param(replace(BREACH, size=5.0), None, "", id="smaller"),
        pytest.param(replace(BREACH, weeks=()), None, "", id="fewer weeks"),
    ],
)
def test_only_clear_worsening_is_told(seen: Observation, transition: str | None, words: str) -> None:
    firing = step(beginning("t", "s"), BREACH, MONDAY, rule()).episode
    moved = step(firing, seen, MONDAY + timedelta(hours=1), rule())
    assert moved.transition == transition
    assert words in moved.reason
    assert moved.episode.number == 1
    assert moved.episode.recalibration == firing.recalibration


def test_a_gap_between_breached_weeks_fills_silently() -> None:
    wide = replace(BREACH, weeks=("2026-W16", "2026-W20"))
    firing = step(beginning("t", "s"), wide, MONDAY, rule()).episode
    moved = step(firing, replace(BREACH, weeks=("2026-W18",)), MONDAY, rule())
    assert moved.transition is None
    assert moved.episode.weeks == ["2026-W16", "2026-W18", "2026-W20"]


def test_a_rise_in_severity_is_told_and_a_fall_is_not() -> None:
    warning = step(beginning("t", "s"), BREACH, MONDAY, rule(severity="warning")).episode
    assert step(warning, BREACH, MONDAY, rule(severity="critical")).transition == "updated"
    critical = step(beginning("t", "s"), BREACH, MONDAY, rule(severity="critical")).episode
    fallen = step(critical, BREACH, MONDAY, rule(severity="warning"))
    assert (fallen.transition, fallen.episode.severity) == (None, "warning")


def test_reopening_asks_anew() -> None:
    later = MONDAY + timedelta(days=1)
    fired = step(beginning("t", "s"), BREACH, MONDAY, rule()).episode
    mitigated = step(fired, DECIDED, MONDAY, rule()).episode
    reopened = step(mitigated, BREACH, later, rule()).episode
    assert (reopened.fired, reopened.asked, reopened.number) == (MONDAY, later, 1)


def test_a_withdrawn_trigger_resolves_what_it_asked_and_forgets_what_it_did_not() -> None:
    fired = step(beginning("t", "s"), BREACH, MONDAY, rule()).episode
    assert withdraw(fired, "gone", MONDAY).transition == "resolved"
    pending = step(beginning("t", "s"), BREACH, MONDAY, rule(for_="1h")).episode
    forgotten = withdraw(pending, "gone", MONDAY)
    assert (forgotten.transition, forgotten.episode.phase) == (None, "clear")


def test_ids_name_the_episode_and_its_transition() -> None:
    assert recalibration_id("t", "s", 1) == recalibration_id("t", "s", 1)
    ids = {event_id("t", "s", number, transition) for number in (1, 2) for transition in (1, 2)}
    assert len(ids | {recalibration_id("t", "s", 1), recalibration_id("s", "t", 1), event_id("t", "s2", 1, 1)}) == 7


_SEEN = st.sampled_from([BREACH, BETWEEN, CLEAR, UNKNOWN, DECIDED, BETWEEN_DECIDED])
_TERMS = st.sampled_from([{}, {"for_": "2h"}, {"keep": "2h"}, {"for_": "1h", "keep": "1h"}])


@given(st.lists(_SEEN, max_size=30), _TERMS)
def test_what_is_told_is_always_a_story(seen: list[Observation], terms: dict[str, str]) -> None:
    """Each episode begins with firing, ends with resolved, and counts its transitions without a gap."""
    told: list[tuple[int, int, str]] = []
    episode, trigger_ = beginning("t", "s"), rule(**terms)
    for i, observation in enumerate(seen):
        moved = step(episode, observation, MONDAY + timedelta(hours=i), trigger_)
        episode = moved.episode
        if moved.transition:
            told.append((episode.number, episode.transition, moved.transition))
    for i, (number, transition, kind) in enumerate(told):
        before = told[i - 1] if i else (0, 0, "resolved")
        if before[2] == "resolved":
            assert (number, transition, kind) == (before[0] + 1, 1, "firing")
        else:
            assert (number, transition) == (before[0], before[1] + 1)
            assert kind != "firing"
            assert kind != "reopened" or before[2] == "mitigated"


@given(st.lists(st.sampled_from([BREACH, BETWEEN]), max_size=40))
def test_oscillation_around_the_threshold_fires_once_and_resolves_once(seen: list[Observation]) -> None:
    told = [kind for _, kind in walk([BREACH, *seen, CLEAR, BETWEEN], rule()) if kind]
    assert told == ["firing", "resolved"]


@given(st.lists(st.sampled_from([BREACH, CLEAR]), max_size=40))
def test_oscillation_without_a_clear_condition_fires_once_while_clear_is_not_kept(seen: list[Observation]) -> None:
    terms = rule(clear=None, keep="30h")
    told = [kind for _, kind in walk([BREACH, *seen, BREACH], terms, hours=0.5) if kind]
    assert told == ["firing"]


@given(st.lists(_SEEN, max_size=12), st.integers(1, 30))
def test_unknown_never_resolves(seen: list[Observation], silence: int) -> None:
    path = walk([*seen, *[UNKNOWN] * silence], rule())
    assert {kind for _, kind in path[len(seen) :]} <= {None}
    if seen:
        assert {phase for phase, _ in path[len(seen) :]} == {path[len(seen) - 1][0]}


@given(st.lists(_SEEN, max_size=20), _TERMS, st.floats(0, 5))
def test_between_what_is_seen_only_the_due_time_moves(
    seen: list[Observation], terms: dict[str, str], wait: float
) -> None:
    """Seeing the same again changes nothing before then, which is why only touched scopes are looked at."""
    episode, trigger_, now = beginning("t", "s"), rule(severity="warning", **terms), MONDAY
    last: Observation = CLEAR
    for i, observation in enumerate(seen):
        now, last = MONDAY + timedelta(hours=i), observation
        if i == len(seen) // 2:
            trigger_ = trigger_.model_copy(update={"severity": "critical"})
        episode = step(episode, last, now, trigger_).episode
    settled: Episode = step(episode, last, now, trigger_).episode
    assert settled == episode
    at = due(episode, trigger_)
    later = now + timedelta(hours=wait)
    if at is None or later < at:
        assert step(episode, last, later, trigger_).episode == episode
