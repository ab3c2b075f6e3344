"""The story in the real fold, projection and triggers: quiet, then six weeks late without the decision, one with it."""

from datetime import date, timedelta
from pathlib import Path

import pytest

from headroom.story import read_story
from shared.schemas.decision import Decision, Effect
from shared.schemas.plan_file import parse_plan
from shared.schemas.recalibration import Recalibration
from tests.unit.demo.model import Model

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
DECIDED = date(2026, 5, 18)
HELD = [f"crm/E-{n:02}" for n in range(5, 32)]


def play(*, decide: bool) -> tuple[Model, dict[date, float]]:
    """Play it, a week at a time while nothing happens and a day at a time from the launch on: model, slip by day."""
    model, slips = Model(PLAN), {}
    moments = iter(STORY.moments)
    waiting = next(moments, None)
    day = STORY.begins
    while day <= STORY.ends + timedelta(days=1):
        now = STORY.start_of(day)
        due = []
        while waiting is not None and waiting.at <= now:
            due.append(waiting)
            waiting = next(moments, None)
        model.tell(due)
        if decide and day == DECIDED:
            effect = Effect(pool="engineering", deals=HELD)
            model.decide(Decision(id="d", recalibration="r", kind="decided", at=now, by="o", effects=[effect]))
        if decide and day == DECIDED + timedelta(days=4):
            model.tell(STORY.requote(deal, now) for deal in HELD)
        model.look(now)
        slips[day] = model.work["core-release"].slip_weeks
        day += timedelta(days=7 if day < STORY.launch - timedelta(days=7) else 1)
    return model, slips


def of(model: Model, trigger: str) -> list[Recalibration]:
    return [told for told in model.told if told.trigger == trigger]


@pytest.fixture(scope="module")
def undecided() -> tuple[Model, dict[date, float]]:
    return play(decide=False)


@pytest.fixture(scope="module")
def decided() -> tuple[Model, dict[date, float]]:
    return play(decide=True)


def test_nothing_fires_before_the_launch(undecided: tuple[Model, dict[date, float]]) -> None:
    model, slips = undecided
    assert min(told.at for told in model.told) > STORY.start_of(STORY.launch)
    assert {slip for day, slip in slips.items() if day <= STORY.launch} == {0.0}
    assert model.work["winter-release"].slip_weeks == 0


def test_the_first_alarm_is_the_release_while_all_deals_are_open(undecided: tuple[Model, dict[date, float]]) -> None:
    first = undecided[0].told[0]
    assert (first.trigger, first.kind, first.slip_weeks) == ("release-slipping", "firing", 3.0)
    assert date(2026, 5, 6) <= first.at.date() <= date(2026, 5, 11)
    assert {deal.product for deal in first.cause} == {"enterprise"}
    assert all(deal.probability < 1 for deal in first.cause)
    assert [person.name for person in first.owners] == ["Head of Engineering"]


def test_undecided_the_release_slips_six_weeks(undecided: tuple[Model, dict[date, float]]) -> None:
    model, slips = undecided
    assert slips[DECIDED] == 6.0
    assert model.work["core-release"].slip_weeks == 6.0
    assert model.work["core-release"].finish == "2026-W31"
    assert not [told for told in model.told if told.kind == "resolved"]


def test_undecided_implementation_is_asked_for_far_more_than_it_has(undecided: tuple[Model, dict[date, float]]) -> None:
    model, _ = undecided
    (fired,) = [told for told in of(model, "implementation-overcommitted") if told.kind == "firing"]
    assert fired.last_responsible is not None
    assert fired.last_responsible > of(model, "release-slipping")[0].at
    assert max(p.utilisation or 0 for (pool, _), p in model.positions.items() if pool == "implementation") > 2


def test_the_decision_brings_it_to_one_week_and_the_metric_ends_the_episode(
    decided: tuple[Model, dict[date, float]],
) -> None:
    model, slips = decided
    assert slips[DECIDED - timedelta(days=1)] >= 5.0
    assert {slip for day, slip in slips.items() if day >= DECIDED} == {1.0}
    assert model.work["core-release"].finish == "2026-W26"
    assert of(model, "release-slipping")[-1].kind == "resolved"


def test_support_is_never_asked_for_more_than_its_trigger_allows(undecided: tuple[Model, dict[date, float]]) -> None:
    assert of(undecided[0], "support-overcommitted") == []
