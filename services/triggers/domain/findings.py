"""The facts of an episode, read off the table: its size by week, the causing deals, until when it can be helped."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime

from services.triggers.domain.gap import demand, missing, missing_together, need, with_planned, without_decided
from services.triggers.domain.metrics import stressed
from services.triggers.domain.observation import Scene, row_of, values_of
from services.triggers.domain.responsible import end_of, last_hire_week, last_stop_week, people_needed
from services.triggers.domain.rules import BOOK, Rule
from services.triggers.domain.table import Table
from shared.schemas.episode import Episode
from shared.schemas.position import Position, TopDeal
from shared.schemas.recalibration import Stress, Week
from shared.schemas.week import week_of, weeks_between

PLANNED = "planned"
"""Of a condition: it speaks of ``planned`` or ``overload_planned``."""
_WEEKS_OF_A_QUARTER = 13

NAMED = 10
"""How many causing deals are named at most; the rest are ``others``."""


@dataclass(frozen=True, slots=True)
class Findings:
    """``size`` is missing effort in ``unit``; ``others`` the share of demand that no named deal explains.

    ``undecided`` is what would be missing had nothing been decided.
    """

    pool: str | None
    unit: str = ""
    from_week: str | None = None
    to_week: str | None = None
    size: float = 0.0
    undecided: float = 0.0
    slip_weeks: float | None = None
    weeks: list[Week] = field(default_factory=list)
    cause: list[TopDeal] = field(default_factory=list)
    others: float = 0.0
    last_responsible: datetime | None = None
    help_until: str = ""
    """A clause on what still helps until when, empty when nothing is known."""
    values: dict[str, float | str] = field(default_factory=dict)
    """The fields that the conditions speak of, where it is not about weeks or slips."""
    stressed: list[Stress] = field(default_factory=list)


def find(rule: Rule, scope: str, episode: Episode, scene: Scene) -> Findings:
    """The facts about ``episode`` as the table has them now."""
    match rule.trigger.watch:
        case "work":
            return _of_work(rule, scope, scene.table)
        case "position":
            return _of_pool(rule, scope, episode, scene.table)
        case "pool":
            return replace(_of_pool(rule, scope, episode, scene.table), values=_values(rule, scope, scene))
    pool = rule.pool_of(scope)
    return Findings(
        pool=pool,
        unit=_unit(rule, pool) if pool else "",
        values=_values(rule, scope, scene),
        stressed=_stressed(rule, scope, scene.table),
    )


def _values(rule: Rule, scope: str, scene: Scene) -> dict[str, float | str]:
    row = row_of(rule, scope, scene)
    return values_of(rule, row) if row is not None else {}


def _stressed(rule: Rule, scope: str, table: Table) -> list[Stress]:
    """The pools pressed on by what enters the book beyond its trend, by what a milestone still wants, or a forecast."""
    if rule.trigger.watch == "forecast":
        return _asked_by(scope, table)
    if rule.trigger.watch == "deal" and table.bookings is not None:
        states = [state for product, state in table.bookings.items() if product and scope in (BOOK, product)]
        extra = {state.product: state.units - state.units_trend for state in states}
    elif rule.trigger.watch == "milestone" and scope in table.milestones:
        state = table.milestones[scope]
        left = max(1, weeks_between(table.week, week_of(date.fromisoformat(state.due))) + 1)
        extra = {state.product: max(0.0, state.quantity - state.won) / left}
    else:
        return []
    capacity = {pool: weeks[table.week].capacity for pool, weeks in table.positions.items() if table.week in weeks}
    return stressed(rule.plan, extra, capacity)


def _asked_by(scope: str, table: Table) -> list[Stress]:
    """What makes up for discounts that drift, else what the period's deals ask, of each pool in a week of a quarter."""
    forecast = table.forecasts.get(scope)
    pools = forecast.pools if forecast is not None else []
    shock = any(pool.break_even for pool in pools)
    found = []
    for pool in pools:
        effort = (pool.break_even if shock else pool.effort) / _WEEKS_OF_A_QUARTER
        week = table.positions.get(pool.pool, {}).get(table.week)
        share = effort / week.capacity if week is not None and week.capacity > 0 else None
        if effort > 0:
            found.append(Stress(pool.pool, effort, pool.unit, share))
    return sorted(found, key=lambda stress: (-(stress.share or 0.0), -stress.effort, stress.pool))


def _of_pool(rule: Rule, pool: str, episode: Episode, table: Table) -> Findings:
    known = table.positions.get(pool, {})
    breached = [known[week] for week in episode.weeks if week in known]
    if PLANNED in rule.trigger.when:
        # Who is asked because of what is planned is told what is missing for that, and until when hiring helps.
        breached = [with_planned(position) for position in breached]
    ahead = [position for position in breached if position.week >= table.week]
    gap = {position.week: missing(position) for position in ahead}
    cause, others = _causes(breached)
    last, clause = _hiring(rule, pool, gap, table.week)
    return Findings(
        pool=pool,
        unit=_unit(rule, pool),
        from_week=episode.weeks[0] if episode.weeks else None,
        to_week=episode.weeks[-1] if episode.weeks else None,
        size=missing_together(rule.plan, pool, ahead),
        undecided=missing_together(rule.plan, pool, map(without_decided, ahead)),
        weeks=[_week(position) for position in breached],
        cause=cause,
        others=others,
        last_responsible=last,
        help_until=clause,
    )


def _week(position: Position) -> Week:
    return Week(
        week=position.week,
        capacity=position.capacity,
        demand=need(position),
        missing=missing(position),
        overload=position.overload,
        utilisation=position.utilisation,
    )


def _causes(positions: Sequence[Position]) -> tuple[list[TopDeal], float]:
    """The deals that ask most over all these weeks: effort summed, shares weighted by each week's demand."""
    weights = {position.week: demand(position) for position in positions}
    whole = sum(weights.values())
    effort: dict[str, float] = {}
    share: dict[str, float] = {}
    newest: dict[str, TopDeal] = {}
    for position in positions:
        for deal in position.top:
            newest[deal.deal] = deal
            effort[deal.deal] = effort.get(deal.deal, 0.0) + deal.effort
            part = deal.share * weights[position.week] / whole if whole > 0 else 0.0
            share[deal.deal] = share.get(deal.deal, 0.0) + part
    largest = sorted(effort, key=lambda deal: (-effort[deal], deal))[:NAMED]
    named = [
        TopDeal(deal, effort[deal], share[deal], newest[deal].probability, newest[deal].product) for deal in largest
    ]
    return named, _rest(named)


def _rest(named: Iterable[TopDeal]) -> float:
    return max(0.0, 1.0 - sum(deal.share for deal in named))


def _hiring(rule: Rule, pool: str, gap: dict[str, float], present: str) -> tuple[datetime | None, str]:
    hire = getattr(rule.plan.pools.get(pool), "hire", None)  # stocks and budgets do not hire
    if hire is None or not any(gap.values()):
        return None, ""
    people = people_needed(gap, hire)
    week = last_hire_week(gap, hire, people)
    if week is None:
        return None, ""
    clause = f"hiring {people} helps if decided by the end of {week}"
    if week < present:
        clause = f"hiring {people} would have had to be decided by the end of {week}"
    return end_of(week, rule.plan.timezone), clause


def _of_work(rule: Rule, work: str, table: Table) -> Findings:
    state = table.work.get(work)
    if state is None:
        return Findings(rule.pool_of(work))
    known = table.positions.get(state.pool, {})
    late = [
        p for week, p in sorted(known.items()) if week > state.due and (state.finish is None or week <= state.finish)
    ]
    size = sum(_left_over(rule, work, position) for position in late)
    deals = {week: p.booked + p.expected for week, p in known.items() if table.week <= week <= state.due}
    stop = last_stop_week(size, deals) if size > 0 else None
    return Findings(
        pool=state.pool,
        unit=_unit(rule, state.pool),
        from_week=state.due,
        to_week=state.finish,
        size=size,
        slip_weeks=state.slip_weeks,
        cause=state.top[:NAMED],
        others=_rest(state.top[:NAMED]),
        last_responsible=end_of(stop, rule.plan.timezone) if stop else None,
        help_until=f"holding back what deals ask of {state.pool} helps until the end of {stop}" if stop else "",
    )


def _left_over(rule: Rule, work: str, position: Position) -> float:
    """What a week has for a work item that comes after deals; one that comes before is not in deals' way at all."""
    item = rule.plan.work.get(work)
    if item is None or item.priority == "before-deals":
        return 0.0
    return max(0.0, position.capacity - demand(position))


def _unit(rule: Rule, pool: str) -> str:
    return rule.plan.pools[pool].unit if pool in rule.plan.pools else ""
