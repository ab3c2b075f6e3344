"""The summary claims only what was seen, and each claim can fail."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from headroom.demo.facts import Answered, Facts
from headroom.demo.screen import print_summary
from headroom.demo.summary import Summary, summarise
from headroom.receiver import Delivery, Receiver
from headroom.story import read_story
from shared.schemas.deal import Deal, Line
from shared.schemas.plan_file import parse_plan
from shared.schemas.position import Position, WorkState
from shared.schemas.recalibration import Recalibration
from tests.unit.demo.alarms import slipping

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
FIRED = datetime(2026, 5, 10, 22, tzinfo=UTC)  # Monday of 2026-W20 begins in Berlin


def state(slip: float, finish: str) -> WorkState:
    return WorkState(
        work="core-release", pool="engineering", effort=3840, due="2026-W25", finish=finish, slip_weeks=slip
    )


def firing(fired: datetime = FIRED) -> Recalibration:
    return slipping(fired, work="core-release", last_responsible=datetime(2026, 5, 17, 22, tzinfo=UTC))


def resolved(fired: datetime = FIRED) -> Recalibration:
    return msgspec.structs.replace(firing(fired), kind="resolved")


def deal(id: str, stage: str, close: date, *, custom: bool, product: str) -> Deal:
    lines = [Line(product=product, amount=50_000, list_amount=60_000, arr=50_000)]
    return Deal(
        id=id, source="crm", object=id, version=1, stage=stage, close=close, amount=50_000, custom=custom, lines=lines
    )


def some_facts(*, decide: bool = True, won: bool = False) -> Facts:
    facts = Facts(PLAN, FIRED)
    facts.deals["crm/C-00"] = deal("crm/C-00", "won", date(2025, 3, 1), custom=False, product="business")
    facts.deals["crm/E-00"] = deal("crm/E-00", "proposal", date(2026, 6, 1), custom=True, product="enterprise")
    if won:
        facts.deals["crm/E-01"] = deal("crm/E-01", "won", date(2026, 5, 1), custom=True, product="enterprise")
    facts.green = {"2026-Q1": True, "2026-Q2": True}
    facts.hear(firing())
    facts.see_work([state(6.0, "2026-W31")])
    facts.positions["implementation", "2026-W23"] = Position(
        pool="implementation", week="2026-W23", unit="hours", capacity=480, by_plan=480, utilisation=1.2
    )
    facts.see_overload()
    if decide:
        facts.decisions.append(Answered(firing(), FIRED, "o", "why", ["crm/E-00"], dict(facts.work)))
        facts.see_work([state(1.0, "2026-W26")])
    return facts


def summary_of(facts: Facts, *, listed: list[Recalibration] | None = None, **log: Any) -> Summary:
    receiver = Receiver()
    receiver.deliveries.append(Delivery("e", "recalibration.firing", "", {}))
    entries = [{"event": "e", "state": "delivered"} | log]
    return summarise(STORY, facts, [resolved()] if listed is None else listed, entries, receiver)


def failed(summary: Summary) -> set[str]:
    return {claim.claim for claim in summary.claims if not claim.holds}


def test_all_claims_hold_when_the_story_came_out() -> None:
    summary = summary_of(some_facts())
    assert failed(summary) == set()
    assert summary.ok
    assert summary.alarm is not None
    assert (summary.alarm.weeks_before_due, summary.alarm.weeks_before_overload) == (5.0, 3.0)
    assert summary.alarm.weeks_before_last_responsible == 1.0
    assert (summary.release.week_without, summary.release.week_with, summary.release.held_deals) == (18, 13, 1)
    assert summary.revenue.at_risk_without == pytest.approx(50_000 * 0.15)
    assert summary.revenue.at_risk_with == 0


@pytest.mark.parametrize(
    ("summary", "claim"),
    [
        (summary_of(some_facts(), listed=[resolved(datetime(2026, 2, 1, tzinfo=UTC))]), "control quarter"),
        (summary_of(some_facts(won=True)), "were open"),
        (summary_of(some_facts(decide=False)), "1 week with it"),
        (summary_of(some_facts(), listed=[firing()]), "metric cleared"),
        (summary_of(some_facts(), state="given-up"), "good signature"),
        (summary_of(some_facts(), event="e2"), "good signature"),
    ],
    ids=["early alarm", "won already", "nobody decided", "not resolved", "given up", "not arrived"],
)
def test_a_claim_fails_when_it_was_not_so(summary: Summary, claim: str) -> None:
    assert not summary.ok
    assert any(claim in text for text in failed(summary)), failed(summary)


def test_without_an_alarm_everything_about_it_fails_and_it_can_still_be_shown() -> None:
    facts = some_facts()
    facts.firings.clear()
    facts.green["2026-Q2"] = False
    summary = summary_of(facts, listed=[])
    assert len(failed(summary)) == 6
    print_summary(summary, Console(quiet=True))
    assert msgspec.json.decode(summary.as_json())["alarm"] is None
