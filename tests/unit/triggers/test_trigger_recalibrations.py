"""What an episode asks of whom by when, and why."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.triggers.domain.evaluation import Evaluation
from services.triggers.domain.rules import compile_rules
from shared.schemas.position import Position, TopDeal
from shared.schemas.recalibration import AskedPerson, Recalibration
from tests.unit.triggers.scenes import MONDAY, at, plan, position, slipping, trigger

ANA = AskedPerson("ana", "Ana Costa", "ana@example.com")
BEN = AskedPerson("ben", "Ben")
EVE = AskedPerson("eve", "Eve")


def told(*frames: Any, **changes: Any) -> list[Recalibration]:
    """What is told over these frames under one trigger."""
    book = compile_rules("p@1", plan(trigger(**changes)))
    evaluation = Evaluation(lambda name: book)
    return [
        change.told
        for offset, frame in enumerate(frames)
        for change in evaluation.evaluate(frame, offset)
        if change.told is not None
    ]


def firing(*positions: Position, **changes: Any) -> Recalibration:
    (only,) = told(at(0, *positions, complete=True), **changes)
    return only


BREACHED = (position(0, 0.1), position(1, 0.4), position(2, 0.8), position(3, 0.1))


def test_says_what_is_short_and_when() -> None:
    made = firing(*BREACHED)
    assert (made.kind, made.transition, made.at, made.fired) == ("firing", 1, MONDAY, MONDAY)
    assert (made.pool, made.work, made.unit, made.plan, made.frame) == ("implementation", None, "hours", "p@1", 0)
    assert (made.from_week, made.to_week) == ("2026-W15", "2026-W16")
    assert made.size == pytest.approx(40.0 + 80.0)
    assert [(w.week, w.capacity, w.demand) for w in made.weeks] == [("2026-W15", 100, 140), ("2026-W16", 100, 180)]
    assert [w.missing for w in made.weeks] == pytest.approx([40.0, 80.0])


def test_names_the_deals_with_shares_that_add_up() -> None:
    small = position(1, 0.4, expected=0.0, booked=40.0, top=[TopDeal("crm/1", 10.0, 0.25, 0.9, "enterprise")])
    made = firing(position(0, 0.1), small, position(2, 0.8))
    assert [(deal.deal, deal.effort) for deal in made.cause] == [("crm/1", 50.0), ("crm/2", 8.0)]
    assert made.cause[0].share == pytest.approx((0.25 * 40 + 0.5 * 80) / 120)
    assert sum(deal.share for deal in made.cause) + made.others == pytest.approx(1.0)


def test_asks_owners_and_informs_those_whose_pools_the_deals_need() -> None:
    made = firing(*BREACHED)
    assert (made.owners, made.inform, made.escalation) == ([ANA], [EVE], [BEN])


def test_people_may_be_named() -> None:
    ask = {"owners": ["eve", "pool.owner"], "inform": "ben", "decide_within": "1d", "escalate": ["ana"]}
    made = firing(*BREACHED, ask=ask)
    assert (made.owners, made.inform, made.escalation) == ([EVE, ANA], [BEN], [ANA])
    assert made.acknowledge_by is None


def test_deadlines_run_from_the_firing_and_news_gives_no_more_time() -> None:
    first, second = told(at(0, *BREACHED, complete=True), at(5, position(4, 0.9)))
    assert (first.acknowledge_by, first.decide_by) == (MONDAY + timedelta(hours=4), MONDAY + timedelta(days=2))
    assert (second.kind, second.id, second.transition) == ("updated", first.id, 2)
    assert (second.acknowledge_by, second.decide_by) == (first.acknowledge_by, first.decide_by)
    assert second.event_id != first.event_id
    assert second.to_week == "2026-W18"
    assert "it now reaches from 2026-W15 to 2026-W18" in second.summary


def test_reopening_gives_time_anew() -> None:
    frames = [
        at(0, *BREACHED, complete=True),
        at(1, position(1, 0.1, decided=50.0), position(2, 0.1, decided=90.0)),
        at(30, *BREACHED),
    ]
    made = told(*frames)
    assert [one.kind for one in made] == ["firing", "mitigated", "reopened"]
    assert made[2].decide_by == MONDAY + timedelta(hours=30, days=2)
    assert made[2].fired == MONDAY


def test_resolved_says_so() -> None:
    made = told(at(0, *BREACHED, complete=True), at(9, position(1, 0.1), position(2, 0.1)))
    assert [one.kind for one in made] == ["firing", "resolved"]
    assert made[1].id == made[0].id
    assert made[1].summary.startswith("implementation is settled")


def test_a_large_number_is_written_out() -> None:
    watched = {"watch": "report", "where": {}, "when": "report_age < 20000", "clear": None}
    frames = [
        at(hour, complete=True, report_ages={"implementation": age * 86_400.0}) for hour, age in ((0, 5), (9, 23456))
    ]
    assert [one.summary.partition(";")[0] for one in told(*frames, **watched)] == [
        "implementation: report age is 5 days.",
        "implementation is settled: report_age is 23,456.",
    ]


def test_the_last_responsible_moment_is_when_the_last_useful_hiring_week_ends() -> None:
    # 40 h in W18, 80 h in W19: three people, at 0.7 they make 73.5 h, so W19 must be their fifth week.
    later = [position(i, {4: 0.4, 5: 0.8}.get(i, 0.1)) for i in range(8)]
    made = firing(*later)
    assert made.last_responsible == datetime(2026, 4, 5, 22, tzinfo=UTC) - timedelta(weeks=1)
    assert "would have had to be decided by the end of 2026-W13" in made.summary


def test_hiring_still_in_time_is_offered() -> None:
    ahead = [position(i, {6: 0.4, 7: 0.4}.get(i, 0.1)) for i in range(8)]
    made = firing(*ahead)
    assert made.last_responsible == datetime(2026, 4, 19, 22, tzinfo=UTC)
    assert "hiring 2 helps if decided by the end of 2026-W16" in made.summary


def test_who_is_asked_for_what_is_planned_hears_what_is_missing_for_that() -> None:
    most = {"planned": 60.0, "overload_planned": 0.8}
    ahead = [position(i, 0.0, **(most if i in (6, 7) else {})) for i in range(8)]
    made = firing(*ahead, when="overload_planned > 0.5", clear=None)
    assert (made.from_week, made.to_week, made.size) == ("2026-W20", "2026-W21", pytest.approx(2 * 60.0))
    assert [(week.demand, week.missing, week.overload) for week in made.weeks] == [(160.0, 60.0, 0.8)] * 2
    assert "overloaded with a chance of up to 80%" in made.summary
    assert made.last_responsible is not None
    assert firing(*ahead, when="planned > 50.0", clear=None).size == made.size


def test_a_pool_that_does_not_hire_has_no_such_moment() -> None:
    weeks = [position(i, 0.9, pool="engineering") for i in range(3)]
    made = firing(*weeks, where={"pool": "engineering"})
    assert made.last_responsible is None
    assert made.owners == [EVE]


def test_a_breach_without_missing_effort_speaks_of_chance() -> None:
    made = firing(position(0, 0.4, p80=0.0))
    assert made.size == 0.0
    assert "overloaded in 2026-W14 with a chance of up to 40%" in made.summary


COVERED = "what was decided covers it, as soon as a report confirms that"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        pytest.param(
            [position(n, 0.0, p80=140.0, capacity=180.0, decided=80.0) for n in (1, 2)],
            f"{COVERED}; without it 80 hours would be missing to be safe.",
            id="wholly",
        ),
        pytest.param(
            [position(1, 0.004, p80=90.0, decided=5.0), position(2, 0.0, p80=90.0)], f"{COVERED}.", id="nothing missing"
        ),
        pytest.param(
            [position(1, 0.07, p80=130.0, capacity=150.0, decided=50.0), position(2, 0.0, p80=90.0)],
            f"{COVERED}; without it 30 hours would be missing to be safe; "
            "a chance of overload of up to 7% is left (2026-W15).",
            id="a chance is left",
        ),
        pytest.param(
            [position(1, 0.1, p80=170.0, capacity=150.0, decided=50.0), position(2, 0.0, p80=90.0)],
            f"{COVERED}; without it 70 hours would be missing to be safe; 20 hours are still missing to be safe; "
            "a chance of overload of up to 10% is left (2026-W15).",
            id="in part",
        ),
    ],
)
def test_a_mitigated_one_says_what_the_decision_covers(after: list[Position], said: str) -> None:
    made = told(at(0, *BREACHED, complete=True), at(1, *after))[1]
    assert made.kind == "mitigated"
    assert made.summary == f"implementation from 2026-W15 to 2026-W16: {said}"


LATE = {"trigger": "late", "watch": "work", "where": {}, "when": "slip_weeks > 2", "clear": "slip_weeks <= 1"}


def test_a_late_release() -> None:
    weeks = [position(i, 0.1, pool="engineering", booked=60.0, expected=20.0) for i in range(10)]
    made = told(at(0, *weeks, complete=True, work=[slipping(3.0)]), **LATE)[0]
    assert (made.work, made.pool, made.watch, made.slip_weeks) == ("release", "engineering", "work", 3.0)
    assert (made.from_week, made.to_week) == ("2026-W18", "2026-W21")
    # Three weeks after due leave 20 h each; deals ask 80 h a week until then, so the due week alone frees them.
    assert made.size == pytest.approx(60.0)
    assert made.last_responsible == datetime(2026, 5, 3, 22, tzinfo=UTC)
    assert made.owners == [EVE]
    assert made.inform == [ANA]
    assert "release slips 3 weeks: due 2026-W18, done in 2026-W21" in made.summary
    assert "crm/1 (60%)" in made.summary


def test_a_release_beyond_the_horizon() -> None:
    made = told(at(0, complete=True, work=[slipping(7.0, finish=None)]), **LATE)[0]
    assert (made.to_week, made.slip_weeks, made.last_responsible) == (None, 7.0, None)
    assert "not within the plan's horizon" in made.summary


def test_every_record_carries_the_trigger_and_its_terms() -> None:
    made = firing(*BREACHED, default_action="review-new-promises", actions=["propose-moves"])
    assert (made.trigger, made.scope, made.severity, made.watch) == (
        "overcommitted", "implementation", "critical", "position",
    )  # fmt: skip
    assert (made.default_action, made.actions) == ("review-new-promises", ["propose-moves"])
