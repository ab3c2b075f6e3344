"""The end of the demo: what came of the story with and without the decision, and whether it shows what it should."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import msgspec

from headroom.demo.facts import (
    Facts,
    bookings,
    discount,
    plan_week,
    quarter_days,
    quarter_of,
    revenue_at_risk,
    stage_class,
    weeks_until,
    yearly_revenue,
)
from headroom.receiver import Receiver
from headroom.story import Story
from shared.schemas.position import WorkState
from shared.schemas.recalibration import Recalibration


@dataclass(frozen=True, slots=True)
class Claim:
    """Something the demo is to show, and whether the running system showed it."""

    claim: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Quarter:
    """One quarter in the end; ``discount`` is that of the quotes opened in it."""

    period: str
    bookings: float
    target: float
    green_throughout: bool
    discount: float | None
    alarms: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """The first recalibration as it was delivered; the distances are weeks from its firing."""

    trigger: str
    recalibration: str
    fired: datetime
    owners: list[str]
    decide_by: datetime | None
    text: str
    cause: list[str]
    open_deals: int
    won_deals: int
    weeks_before_due: float
    overload: str | None
    weeks_before_overload: float | None
    last_responsible: datetime | None
    weeks_before_last_responsible: float | None


@dataclass(frozen=True, slots=True)
class Release:
    """The work item that matters: as it stood when the decision was taken, and in the end."""

    work: str
    due: str
    without: WorkState | None
    with_decision: WorkState | None
    week_without: int | None
    week_with: int | None
    decided: datetime | None
    held_deals: int


@dataclass(frozen=True, slots=True)
class Revenue:
    """Yearly revenue of the customers won before the story, and what is at risk without and with the decision."""

    yearly: float
    at_risk_without: float
    at_risk_with: float


@dataclass(frozen=True, slots=True)
class Deliveries:
    """Messages the receiver took, each with a good signature; refused; got again; and those delivered by the log."""

    verified: int
    refused: int
    repeated: int
    delivered_by_log: int


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything the demo says in the end; ``ok`` when all claims hold."""

    ok: bool
    plan: str
    quarters: list[Quarter]
    alarm: Alarm | None
    release: Release
    revenue: Revenue
    deliveries: Deliveries
    claims: list[Claim]

    def as_json(self) -> str:
        """For ``--json``; moments as ISO 8601."""
        return msgspec.json.encode(self).decode()


def summarise(
    story: Story,
    facts: Facts,
    recalibrations: list[Recalibration],
    log: list[dict[str, Any]],
    receiver: Receiver,
    *,
    decided: bool = True,
) -> Summary:
    """What came of the story. ``recalibrations`` and ``log`` are the system's own lists in the end.

    ``decided`` says whether owners were to answer; if not, nothing is claimed of a decision.
    """
    quarters = [_quarter(facts, period, recalibrations) for period in facts.plan.periods]
    release = _release(story, facts)
    alarm = _alarm(facts, release) if facts.firings else None
    revenue = _revenue(story, facts, release)
    delivered = {entry["event"] for entry in log if entry["state"] == "delivered"}
    deliveries = Deliveries(len(receiver.deliveries), receiver.refused, receiver.repeated, len(delivered))
    arrived = {delivery.id for delivery in receiver.deliveries}
    claims = [
        *_claims_of_the_alarm(story, quarters, alarm, release),
        *(_claims_of_the_decision(story, release, revenue, recalibrations) if decided else []),
        Claim(
            "every delivery arrived, each with a good signature",
            bool(log) and arrived == {entry["event"] for entry in log} == delivered and not receiver.refused,
        ),
    ]
    plan = recalibrations[0].plan if recalibrations else facts.plan.plan
    ok = all(claim.holds for claim in claims)
    return Summary(ok, plan, quarters, alarm, release, revenue, deliveries, claims)


def _quarter(facts: Facts, period: str, recalibrations: list[Recalibration]) -> Quarter:
    first, last = quarter_days(period)
    seen = bookings(facts.plan, facts.deals, last)
    assert seen is not None, "only quarters of the plan are asked for"
    opened = [deal for deal in facts.deals.values() if deal.engaged and first <= deal.engaged <= last]
    alarms = [r for r in recalibrations if quarter_of(r.fired.astimezone(facts.zone).date()) == period]
    green = facts.green.get(period, False)
    return Quarter(period, seen.won, seen.target, green, discount(opened), len(alarms))


def _release(story: Story, facts: Facts) -> Release:
    name = story.expected.work
    start = facts.plan.work[name].start
    decision = next((d for d in facts.decisions if d.recalibration.work == name), None)
    without = decision.work.get(name) if decision else facts.worst.get(name)
    ended = facts.work.get(name)
    week_without, week_with = (plan_week(start, s.finish) if s and s.finish else None for s in (without, ended))
    return Release(
        work=name,
        due=facts.plan.work[name].due,
        without=without,
        with_decision=ended,
        week_without=week_without,
        week_with=week_with,
        decided=decision.at if decision else None,
        held_deals=len(decision.held) if decision else 0,
    )


def _alarm(facts: Facts, release: Release) -> Alarm:
    first = facts.firings[0]
    fired = first.fired.astimezone(facts.zone)
    overload = facts.foreseen
    last = min((r.last_responsible for r in facts.firings if r.last_responsible is not None), default=None)
    return Alarm(
        trigger=first.trigger,
        recalibration=first.id,
        fired=fired,
        owners=[person.name or person.id for person in first.owners],
        decide_by=first.decide_by,
        text=first.summary,
        cause=[deal.deal for deal in first.cause],
        open_deals=facts.open_at_alarm,
        won_deals=facts.won_at_alarm,
        weeks_before_due=weeks_until(fired, release.due),
        overload=f"{overload.pool} in {overload.week}" if overload else None,
        weeks_before_overload=weeks_until(fired, overload.week) if overload else None,
        last_responsible=last,
        weeks_before_last_responsible=(last - fired) / timedelta(weeks=1) if last else None,
    )


def _revenue(story: Story, facts: Facts, release: Release) -> Revenue:
    customers = [
        deal
        for deal in facts.deals.values()
        if deal.close and deal.close < story.begins and stage_class(facts.plan, deal) == "won"
    ]
    yearly = yearly_revenue(customers)
    without, with_decision = (
        revenue_at_risk(facts.plan, yearly, state.slip_weeks) if state else 0.0
        for state in (release.without, release.with_decision)
    )
    return Revenue(yearly, without, with_decision)


def _claims_of_the_alarm(story: Story, quarters: list[Quarter], alarm: Alarm | None, release: Release) -> list[Claim]:
    quiet = next((quarter for quarter in quarters if quarter.period == story.expected.quiet), None)
    before_due = alarm.weeks_before_due if alarm else None
    before_overload = alarm.weeks_before_overload if alarm else None
    before_last = alarm.weeks_before_last_responsible if alarm else None
    still_open = alarm is not None and bool(alarm.cause) and alarm.open_deals > 0 and alarm.won_deals == 0
    return [
        Claim(f"no alarm in the control quarter {story.expected.quiet}", quiet is not None and quiet.alarms == 0),
        Claim("bookings were green all the while", all(quarter.green_throughout for quarter in quarters)),
        Claim("the first alarm came while all of the deals that cause it were open", still_open),
        Claim(f"it came before {release.due}, in which {release.work} is due", _ahead(before_due)),
        Claim("it came before the first overloaded week", _ahead(before_overload)),
        Claim("it came before the last responsible moment", _ahead(before_last)),
    ]


def _claims_of_the_decision(
    story: Story, release: Release, revenue: Revenue, recalibrations: list[Recalibration]
) -> list[Claim]:
    expected = story.expected
    slips = [state.slip_weeks if state else None for state in (release.without, release.with_decision)]
    episodes = [r for r in recalibrations if r.work == expected.work]
    settled = bool(episodes) and all(r.kind == "resolved" for r in episodes)
    return [
        Claim(f"{release.work} slips {in_weeks(expected.slip_without)} without it", slips[0] == expected.slip_without),
        Claim(f"{release.work} slips {in_weeks(expected.slip_with)} with it", slips[1] == expected.slip_with),
        Claim(f"the episode of {release.work} ended when its metric cleared", settled),
        Claim("less revenue is at risk with it", revenue.at_risk_with < revenue.at_risk_without),
    ]


def in_weeks(weeks: float) -> str:
    """A number of weeks in words."""
    return f"{weeks:.3g} week{'' if weeks == 1 else 's'}"


def _ahead(weeks: float | None) -> bool:
    return weeks is not None and weeks > 0
