"""Days that count, triggers in shadow, loads, projections in parts, and the alert budget."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.episodes import beginning, step
from services.triggers.domain.evaluation import Evaluation
from services.triggers.domain.observation import Observation
from services.triggers.domain.rules import compile_rules
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.plan_triggers import Trigger
from shared.schemas.recalibration import Recalibration
from tests.unit.triggers.scenes import MONDAY, at, plan, position, trigger

CALM, BREACHED = position(0, 0.05), position(0, 0.9)


def told(*frames: Frame, plans: dict[str, Plan]) -> tuple[list[Recalibration], Evaluation]:
    books = {name: compile_rules(name, one) for name, one in plans.items()}
    evaluation = Evaluation(books.get)
    found = [
        change.told
        for offset, frame in enumerate(frames)
        for change in evaluation.evaluate(frame, offset)
        if change.told is not None
    ]
    return found, evaluation


def kinds(*frames: Frame, **changes: Any) -> list[str]:
    return [one.kind for one in told(*frames, plans={"p@1": plan(trigger(**changes))})[0]]


# -- `of`


@given(st.lists(st.sampled_from([True, False, None]), max_size=30), st.integers(1, 3), st.integers(0, 3))
def test_of_counts_days_as_counting_them_by_hand_does(days: list[bool | None], held: int, more: int) -> None:
    """One look a day: it fires on the first day on which it holds and has held on enough of the last days."""
    window = held + more
    terms = Trigger.model_validate(trigger(of=f"{held} in {window}"))
    fired = None
    episode = beginning("t", "s")
    for i, breach in enumerate(days):
        moved = step(episode, Observation(breach), MONDAY + timedelta(days=i), terms)
        episode = moved.episode
        if moved.transition and fired is None:
            fired = i
    expected = next(
        (
            i
            for i, breach in enumerate(days)
            if breach and sum(1 for d in days[max(0, i - window + 1) : i + 1] if d) >= held
        ),
        None,
    )
    assert fired == expected


def test_looking_often_on_one_day_counts_once() -> None:
    often = [at(hours, BREACHED, complete=not hours) for hours in range(12)]
    assert kinds(*often, of="2 in 3") == []
    assert kinds(*often, at(24, BREACHED), of="2 in 3") == ["firing"]


def test_days_that_are_over_are_forgotten() -> None:
    frames = [at(0, BREACHED, complete=True), at(1, CALM), at(24 * 3, BREACHED), at(24 * 3 + 1, CALM)]
    assert kinds(*frames, of="2 in 3") == []
    assert kinds(*frames, of="2 in 4") == ["firing", "resolved"]


# -- in shadow


def test_a_trigger_in_shadow_is_recorded_and_asks_nobody() -> None:
    found, evaluation = told(
        at(0, BREACHED, complete=True), at(1, CALM), at(2, BREACHED), plans={"p@1": plan(trigger(shadow=True))}
    )
    assert found == []
    row = evaluation.episodes["overcommitted", "implementation"]
    assert (row.phase, row.number, row.shadow) == ("firing", 2, True)


def test_out_of_the_shadow_what_is_breached_fires_for_all_to_hear() -> None:
    plans = {"p@1": plan(trigger(shadow=True)), "p@2": plan(trigger())}
    later = [at(5, BREACHED, plan="p@2", complete=True), at(6, CALM, plan="p@2")]
    found, _ = told(at(0, BREACHED, complete=True), *later, plans=plans)
    assert [one.kind for one in found] == ["firing", "resolved"]
    assert found[0].decide_by == MONDAY + timedelta(hours=5, days=2), "the time to decide begins when they are asked"
    later[0] = at(5, CALM, plan="p@2", complete=True)
    calm, _ = told(at(0, BREACHED, complete=True), at(1, CALM), *later, plans=plans)
    assert calm == []


def test_who_was_asked_hears_the_end_though_the_trigger_went_into_shadow() -> None:
    plans = {"p@1": plan(trigger()), "p@2": plan(trigger(shadow=True))}
    found, _ = told(
        at(0, BREACHED, complete=True), at(1, BREACHED, plan="p@2", complete=True), at(2, CALM, plan="p@2"), plans=plans
    )
    assert [one.kind for one in found] == ["firing", "resolved"]


@pytest.mark.parametrize(
    "under_the_new_plan",
    [
        pytest.param([at(1, position(3, 0.9), plan="p@2")], id="changes"),
        pytest.param([at(1, CALM, plan="p@2", more=True), at(1, position(3, 0.9), plan="p@2")], id="its later parts"),
    ],
)
def test_a_plan_whose_complete_frame_was_lost_is_judged_from_the_next_complete_one_on(
    under_the_new_plan: list[Frame],
) -> None:
    """What is on the table is of the former plan, so nothing is known under this one."""
    plans = {"p@1": plan(), "p@2": plan(trigger())}
    before = at(0, BREACHED, complete=True)
    found, evaluation = told(before, *under_the_new_plan, plans=plans)
    assert (found, evaluation.episodes) == ([], {})
    found, _ = told(before, *under_the_new_plan, at(2, CALM, complete=True, plan="p@2"), plans=plans)
    assert found == []
    found, _ = told(before, *under_the_new_plan, at(2, BREACHED, complete=True, plan="p@2"), plans=plans)
    assert [one.kind for one in found] == ["firing"]


# -- loads, and projections in parts


@pytest.mark.parametrize("held_back", ["loading", "more"])
def test_what_comes_in_one_sweep_is_judged_once_at_its_end(held_back: str) -> None:
    sweep = [at(0, CALM, complete=True), at(1, BREACHED, **{held_back: True}), at(2, CALM, **{held_back: True})]
    assert kinds(*sweep, at(3)) == []
    assert kinds(*sweep, at(3, position(0, 0.4), position(1, 0.4))) == ["firing"]
    assert kinds(*sweep, at(2.5, BREACHED, **{held_back: True}), at(3)) == ["firing"]


def test_a_pool_cut_by_the_end_of_a_part_does_not_resolve() -> None:
    weeks = [position(ahead, 0.9 if ahead == 5 else 0.05) for ahead in range(6)]
    parts = [at(1, *weeks[:3], complete=True, more=True), at(1, *weeks[3:])]
    assert kinds(at(0, *weeks, complete=True), *parts) == ["firing"]


def test_a_plan_that_comes_during_a_load_withdraws_at_its_end() -> None:
    plans = {"p@1": plan(trigger()), "p@2": plan(trigger(trigger="other", when="overload > 0.99"))}
    loading = at(1, BREACHED, plan="p@2", complete=True, loading=True)
    frames = [at(0, BREACHED, complete=True), loading, at(2, plan="p@2")]
    found, _ = told(*frames, plans=plans)
    assert [(one.kind, one.at) for one in found] == [("firing", MONDAY), ("resolved", MONDAY + timedelta(hours=2))]


# -- the alert budget


SEVERITIES = st.lists(st.sampled_from(["info", "warning", "critical"]), max_size=12)
RANK = {"info": 0, "warning": 1, "critical": 2}


def budgeted(severities: list[str], limit: int, *, at_once: bool) -> list[Recalibration]:
    """Triggers of these severities fire together, or one after another, hour by hour."""
    triggers = [
        trigger(
            trigger=f"t{i}",
            severity=severity,
            when=f"overload > 0.3 and weeks_ahead >= 0 and booked >= {60 if at_once else 61 + i}",
            clear=None,
        )
        for i, severity in enumerate(severities)
    ]
    made = plan(*triggers, alert_budget={"per_owner_week": limit})
    steps = [] if at_once else [at(1 + i, position(0, 0.9, booked=61.0 + i)) for i in range(len(severities))]
    return told(at(0, BREACHED, complete=True), *steps, plans={"p@1": made})[0]


@given(SEVERITIES, st.integers(1, 4), st.booleans())
def test_nothing_is_dropped_and_only_the_least_severe_are_grouped(
    severities: list[str], limit: int, at_once: bool
) -> None:
    found = [one for one in budgeted(severities, limit, at_once=at_once) if one.kind == "firing"]
    assert sorted(one.trigger for one in found) == sorted(f"t{i}" for i in range(len(severities)))
    singly = [one for one in found if not one.grouped]
    for kind in RANK:
        assert sum(one.severity == kind for one in singly) <= limit
    for one in (one for one in found if one.grouped):
        assert sum(RANK[other.severity] >= RANK[one.severity] for other in singly) >= limit
    if at_once:
        assert len(singly) == min(limit, len(severities))


def test_a_new_week_has_a_new_budget() -> None:
    made = plan(trigger(), trigger(trigger="second", for_="2h"), alert_budget={"per_owner_week": 1})
    frames = [at(0, BREACHED, complete=True), at(2), at(3, CALM)]
    week = [at(150, position(1, 0.05), complete=True, week="2026-W15"), at(151, position(1, 0.9), week="2026-W15")]
    found, _ = told(*frames, *week, plans={"p@1": made})
    fired = [(one.trigger, one.grouped) for one in found if one.kind == "firing"]
    assert fired == [("overcommitted", False), ("second", True), ("overcommitted", False)]


def test_the_end_of_a_grouped_one_is_grouped_too() -> None:
    made = plan(trigger(), trigger(trigger="second", severity="info"), alert_budget={"per_owner_week": 1})
    found, _ = told(at(0, BREACHED, complete=True), at(1, CALM), plans={"p@1": made})
    assert [(one.kind, one.trigger, one.grouped) for one in found] == [
        ("firing", "overcommitted", False),
        ("firing", "second", True),
        ("resolved", "overcommitted", False),
        ("resolved", "second", True),
    ]


def test_asking_two_owners_is_single_while_one_of_them_has_budget_left() -> None:
    both = {"owners": ["ana", "eve"], "decide_within": "2d"}
    made = plan(
        trigger(),
        trigger(trigger="second", severity="info", ask=both),
        trigger(trigger="third", severity="info"),
        alert_budget={"per_owner_week": 1},
    )
    found, _ = told(at(0, BREACHED, complete=True), plans={"p@1": made})
    assert [(one.trigger, one.grouped) for one in found] == [
        ("overcommitted", False), ("second", False), ("third", True),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("limit", "others", "before", "after", "expected"),
    [
        # limit, others asked for before it, its severity when it fires and after, how it is told both times
        pytest.param(1, ["warning"], "info", "critical", [True, False], id="what matters most is asked for singly"),
        pytest.param(1, ["critical"], "info", "critical", [True, True], id="the budget holds for it too"),
        pytest.param(1, ["critical"], "info", "warning", [True, True], id="more, but not enough"),
        pytest.param(2, ["critical"], "info", "warning", [False, False], id="asked for singly, asked again singly"),
        pytest.param(2, ["critical", "info"], "info", "warning", [True, False], id="past one of two"),
        pytest.param(1, [], "warning", "critical", [False, False], id="its own asking does not stand in its way"),
    ],
)
def test_a_raised_severity_is_told_again_and_weighed_anew(
    limit: int, others: list[str], before: str, after: str, expected: list[bool]
) -> None:
    def budgeted_plan(severity: str) -> Plan:
        earlier = [trigger(trigger=f"other{i}", severity=other) for i, other in enumerate(others)]
        ours = trigger(trigger="ours", severity=severity, when="overload > 0.3 and booked > 60")
        return plan(*earlier, ours, alert_budget={"per_owner_week": limit})

    plans = {"p@1": budgeted_plan(before), "p@2": budgeted_plan(after)}
    more = position(0, 0.9, booked=61.0)
    later = [at(2, more, plan="p@2", complete=True), at(3, CALM, plan="p@2")]
    frames = [at(0, BREACHED, complete=True), at(1, more), *later]
    found, evaluation = told(*frames, plans=plans)
    ours = [one for one in found if one.trigger == "ours"]
    assert [one.kind for one in ours] == ["firing", "updated", *["resolved"] * (len(ours) - 2)]
    assert [one.grouped for one in ours[:2]] == expected
    assert f"its severity rose to {after}" in ours[1].summary
    singly = evaluation.episodes["ours", "implementation"].singly
    asked = [severity for severity, together in zip((before, after), expected, strict=True) if not together]
    assert [one.severity for one in singly] == asked


def test_asking_again_more_pressingly_takes_from_the_budget_of_others() -> None:
    def budgeted_plan(severity: str) -> Plan:
        late = trigger(trigger="late", severity="info", when="overload > 0.3 and booked > 60")
        return plan(trigger(trigger="ours", severity=severity), late, alert_budget={"per_owner_week": 2})

    later = [at(1, BREACHED, plan="p@2", complete=True), at(2, position(0, 0.9, booked=61.0), plan="p@2")]
    frames = [at(0, BREACHED, complete=True), *later]
    for raised, together in (("warning", True), ("info", False)):
        found, _ = told(*frames, plans={"p@1": budgeted_plan("info"), "p@2": budgeted_plan(raised)})
        assert [one.grouped for one in found if one.trigger == "late"] == [together]
