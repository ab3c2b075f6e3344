"""What an episode asks of whom by when, and why: the record the owners get."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from services.triggers.domain.episodes import Step
from services.triggers.domain.findings import Findings, find
from services.triggers.domain.identity import event_id, recalibration_id
from services.triggers.domain.observation import Scene
from services.triggers.domain.rules import Rule
from services.triggers.domain.summary import summarise
from services.triggers.domain.table import Table
from shared.schemas.plan import Plan
from shared.schemas.plan_triggers import DEALS_POOLS_OWNERS
from shared.schemas.recalibration import AskedPerson, Recalibration


def recalibration(rule: Rule, step: Step, scene: Scene, offset: int) -> Recalibration:
    """The whole request as it stands after ``step``, which must have a transition; ``offset`` is its frame's.

    Deadlines run from when the owners were last asked: news about an episode gives nobody more time.
    """
    assert step.transition is not None, "only a transition is told"
    episode, trigger, table = step.episode, rule.trigger, scene.table
    found = find(rule, episode.scope, episode, scene)
    asked = episode.asked or table.now
    owners = _people(rule.plan, trigger.ask.owners, found)
    return Recalibration(
        id=episode.recalibration or recalibration_id(episode.trigger, episode.scope, episode.number),
        event_id=event_id(episode.trigger, episode.scope, episode.number, episode.transition),
        kind=step.transition,
        transition=episode.transition,
        trigger=episode.trigger,
        scope=episode.scope,
        watch=trigger.watch,
        severity=episode.severity,
        at=table.now,
        fired=episode.fired or table.now,
        plan=table.plan,
        summary=summarise(trigger, step, found),
        pool=found.pool,
        work=episode.scope if trigger.watch == "work" else None,
        unit=found.unit,
        from_week=found.from_week,
        to_week=found.to_week,
        size=found.size,
        slip_weeks=found.slip_weeks,
        weeks=found.weeks,
        cause=found.cause,
        others=found.others,
        owners=_asked(rule.plan, owners),
        inform=_asked(rule.plan, (p for p in _people(rule.plan, trigger.ask.inform, found) if p not in owners)),
        escalation=_asked(rule.plan, _people(rule.plan, trigger.ask.escalate, found)),
        acknowledge_by=_after(asked, trigger.ask.acknowledge_within),
        decide_by=_after(asked, trigger.ask.decide_within),
        last_responsible=found.last_responsible,
        default_action=trigger.default_action,
        actions=list(trigger.actions),
        frame=offset,
        values=found.values,
        stressed=found.stressed,
        grouped=episode.grouped,
    )


def farewell(step: Step, table: Table, offset: int) -> Recalibration:
    """The end of an episode whose trigger no plan known here has: what can be said without its rule."""
    episode = step.episode
    work = episode.scope if episode.scope in table.work else None
    return Recalibration(
        id=episode.recalibration or recalibration_id(episode.trigger, episode.scope, episode.number),
        event_id=event_id(episode.trigger, episode.scope, episode.number, episode.transition),
        kind="resolved",
        transition=episode.transition,
        trigger=episode.trigger,
        scope=episode.scope,
        watch="work" if work else "position",
        severity=episode.severity,
        at=table.now,
        fired=episode.fired or table.now,
        plan=table.plan,
        summary=f"{episode.scope} is settled: {step.reason}.",
        pool=None if work else episode.scope,
        work=work,
        frame=offset,
    )


def _after(asked: datetime, within: timedelta | None) -> datetime | None:
    return None if within is None else asked + within


def _people(plan: Plan, recipients: Iterable[str], found: Findings) -> list[str]:
    """The persons behind names and roles, each once, in the order given."""
    people: dict[str, None] = {}
    for recipient in recipients:
        pools = _pools_of(plan, found) if recipient == DEALS_POOLS_OWNERS else None
        behind = plan.people_for([recipient], found.pool) if pools is None else [plan.owner_of(pool) for pool in pools]
        people.update(dict.fromkeys(behind))
    return list(people)


def _pools_of(plan: Plan, found: Findings) -> list[str]:
    """Every pool that the products of the causing deals ask something of, or that is stressed, in the plan's order."""
    products = {deal.product for deal in found.cause}
    needed = {stress.pool for stress in found.stressed}
    needed |= {need.pool for name, product in plan.products.items() if name in products for need in product.needs}
    return [pool for pool in plan.pools if pool in needed]


def _asked(plan: Plan, people: Iterable[str]) -> list[AskedPerson]:
    return [AskedPerson(person, plan.people[person].name, plan.people[person].email) for person in people]
