"""What the owners of the story do once they are asked, and when."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from headroom.demo.answers import effects_of, is_time, to_hold
from headroom.demo.facts import Facts
from headroom.story import read_story
from shared.schemas.deal import Deal, Line
from shared.schemas.plan_file import parse_plan
from shared.schemas.position import TopDeal, WorkState
from shared.schemas.recalibration import AskedPerson, Recalibration

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
FIRED = datetime(2026, 5, 9, tzinfo=UTC)
RELEASE, IMPLEMENTATION = STORY.answers["release-slipping"], STORY.answers["implementation-late"]


def asked(trigger: str, pool: str, work: str | None = None) -> Recalibration:
    return Recalibration(
        id="r",
        event_id="e",
        kind="firing",
        transition=1,
        trigger=trigger,
        scope=work or pool,
        watch="work" if work else "position",
        severity="critical",
        at=FIRED,
        fired=FIRED,
        plan="margin-volume-trap@1",
        summary="",
        pool=pool,
        work=work,
        cause=[TopDeal("crm/E-00", 30.0, 0.04, 0.5, "enterprise")],
        owners=[AskedPerson("head-of-engineering")],
        decide_by=FIRED + timedelta(days=16),
    )


def facts_at(now: datetime, slip: float = 3.0) -> Facts:
    facts = Facts(PLAN, now)
    state = WorkState(
        work="core-release", pool="engineering", effort=3840, due="2026-W25", finish=None, slip_weeks=slip
    )
    facts.see_work([state])
    return facts


def deal(id: str, amount: float, *, custom: bool = True, stage: str = "commit", product: str = "enterprise") -> Deal:
    return Deal(
        id=id,
        source="crm",
        object=id,
        version=1,
        stage=stage,
        close=date(2026, 6, 1),
        amount=amount,
        custom=custom,
        lines=[Line(product=product, amount=amount)],
    )


@pytest.mark.parametrize(
    ("days", "slip", "decides"),
    [(1, 3, False), (1, 6, True), (9, 5, False), (14.9, 3, False), (15, 3, True)],
    ids=["too early", "six weeks", "not yet six", "not yet the deadline", "a day before the deadline"],
)
def test_the_release_is_decided_at_six_weeks_or_before_the_deadline(days: float, slip: float, decides: bool) -> None:
    recalibration = asked("release-slipping", "engineering", "core-release")
    assert is_time(RELEASE, recalibration, facts_at(FIRED + timedelta(days=days), slip)) is decides


@pytest.mark.parametrize(("days", "decides"), [(9.9, False), (10, True)])
def test_implementation_is_decided_some_days_after_the_alarm(days: float, decides: bool) -> None:
    recalibration = asked("implementation-late", "implementation")
    assert is_time(IMPLEMENTATION, recalibration, facts_at(FIRED + timedelta(days=days))) is decides


def test_all_but_the_largest_open_custom_deals_of_the_causing_product_are_held() -> None:
    facts = facts_at(FIRED)
    known = [deal(f"crm/E-{n:02}", 50_000 - n) for n in range(8)]
    others = [
        deal("crm/E-90", 10, custom=False),
        deal("crm/E-91", 10, stage="won"),
        deal("crm/B-00", 10, product="business"),
    ]
    facts.deals = {d.id: d for d in [*others, *known]}
    held = to_hold(asked("release-slipping", "engineering", "core-release"), RELEASE, facts)
    assert held == ["crm/E-05", "crm/E-06", "crm/E-07"]


def test_effects_are_what_the_api_takes() -> None:
    release = asked("release-slipping", "engineering", "core-release")
    assert effects_of(release, RELEASE, ["crm/E-05"], "2026-W21") == [{"pool": "engineering", "deals": ["crm/E-05"]}]
    (effect,) = effects_of(asked("implementation-late", "implementation"), IMPLEMENTATION, [], "2026-W21")
    assert (effect["pool"], effect["amount"], len(effect["weeks"])) == ("implementation", 240, 8)
    assert (effect["weeks"][0], effect["weeks"][-1]) == ("2026-W23", "2026-W30")
    again = asked("implementation-overcommitted", "implementation")
    assert effects_of(again, STORY.answers["implementation-overcommitted"], [], "2026-W21") == []
