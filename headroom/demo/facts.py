"""What the demo has seen of the running system, and what may be said of it in the end.

Everything here comes from the system's APIs, the plan and the receiver's count; nothing is known beforehand.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from shared.schemas.deal import Deal
from shared.schemas.plan import Milestone, Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.recalibration import Recalibration
from shared.schemas.week import monday, week_of, weeks_between

ROUND = 1e-9


@dataclass(frozen=True, slots=True)
class Bookings:
    """Money of one quarter: won so far, expected of open deals, the target, and what of it is due by now."""

    period: str
    won: float
    expected: float
    target: float
    due: float

    @property
    def green(self) -> bool:
        """Whether won and expected bookings are at least what is due: what a pipeline review looks at."""
        return self.won + self.expected >= self.due - ROUND


@dataclass(slots=True)
class Answered:
    """What an owner decided about a recalibration, and how the work stood just before."""

    recalibration: Recalibration
    at: datetime
    by: str
    why: str
    held: list[str]
    work: dict[str, WorkState]


@dataclass(slots=True)
class Facts:
    """The state as last seen, and what of its past matters."""

    plan: Plan
    now: datetime
    as_of: datetime | None = None
    """The moment of the projection that was last seen; what the system knows lags a little behind ``now``."""
    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    work: dict[str, WorkState] = field(default_factory=dict)
    deals: dict[str, Deal] = field(default_factory=dict)
    recalibrations: dict[str, Recalibration] = field(default_factory=dict)
    slips: dict[str, list[tuple[datetime, float]]] = field(default_factory=dict)
    worst: dict[str, WorkState] = field(default_factory=dict)
    green: dict[str, bool] = field(default_factory=dict)
    firings: list[Recalibration] = field(default_factory=list)
    open_at_alarm: int = 0
    won_at_alarm: int = 0
    decisions: list[Answered] = field(default_factory=list)
    foreseen: Position | None = None
    """The earliest overload that was seen coming before anything was decided."""

    @property
    def zone(self) -> ZoneInfo:
        """The plan's time zone."""
        return ZoneInfo(self.plan.timezone)

    @property
    def today(self) -> date:
        """The day of ``now`` in the plan's time zone."""
        return self.now.astimezone(self.zone).date()

    @property
    def week(self) -> str:
        """The ISO week of ``now``."""
        return week_of(self.today)

    def see_work(self, states: list[WorkState]) -> None:
        """Take in the work items; the worst each has been is kept."""
        for state in states:
            known = self.work.get(state.work)
            if known is None or known.slip_weeks != state.slip_weeks:
                self.slips.setdefault(state.work, []).append((self.now, state.slip_weeks))
            self.work[state.work] = state
            worst = self.worst.get(state.work)
            if worst is None or state.slip_weeks > worst.slip_weeks:
                self.worst[state.work] = state

    def hear(self, recalibration: Recalibration) -> None:
        """Take in a recalibration as it was delivered; with the first, how many deals like its causes are open.

        The first is the one that fired first: of two within a moment the later one may be delivered before it.
        """
        self.recalibrations[recalibration.id] = recalibration
        if recalibration.kind != "firing":
            return
        self.firings.append(recalibration)
        self.firings.sort(key=lambda firing: firing.fired)
        if self.firings[0] is recalibration:
            products = {deal.product for deal in recalibration.cause}
            alike = [deal for deal in self.deals.values() if products & {line.product for line in deal.lines}]
            classes = [stage_class(self.plan, deal) for deal in alike if deal.custom]
            self.open_at_alarm, self.won_at_alarm = classes.count("open"), classes.count("won")

    def see_bookings(self) -> Bookings | None:
        """The bookings of the present quarter, noted as green or not; None outside the plan's periods."""
        seen = bookings(self.plan, self.deals, self.today)
        if seen is not None:
            self.green[seen.period] = self.green.get(seen.period, True) and seen.green
        return seen

    def see_overload(self) -> None:
        """Note the first overload ahead; once something is decided, what was foreseen without it stays."""
        first = self.first_overloaded()
        if first is not None and not self.decisions and (self.foreseen is None or first.week < self.foreseen.week):
            self.foreseen = first

    def first_overloaded(self) -> Position | None:
        """The first week from now on in which a pool has more expected demand than capacity."""
        ahead = [p for p in self.positions.values() if p.week >= self.week and (p.utilisation or 0.0) > 1.0]
        return min(ahead, key=lambda p: (p.week, -(p.utilisation or 0.0)), default=None)

    def open_deals(self, *, product: str | None = None) -> list[Deal]:
        """Deals in an open stage, of one product if it is named, the largest first."""
        found = [
            deal
            for deal in self.deals.values()
            if stage_class(self.plan, deal) == "open" and product in (None, *(line.product for line in deal.lines))
        ]
        return sorted(found, key=lambda deal: (-(deal.amount or 0.0), deal.id))


def used(facts: Facts, pool: str, week: str) -> float | None:
    """The pool's utilisation in the week on expected demand; None where it is not known."""
    position = facts.positions.get((pool, week))
    return None if position is None else position.utilisation


def used_with_work(facts: Facts, pool: str, week: str) -> float | None:
    """Utilisation with what the pool's work items need that week to be done when due; None without any that week.

    A work item takes what deals leave. So that it is done in time they must leave its effort, spread over its weeks.
    """
    position = facts.positions.get((pool, week))
    here = [work for work in facts.plan.work.values() if work.pool == pool and work.start <= week <= work.due]
    if position is None or position.utilisation is None or not position.capacity or not here:
        return None
    needed = sum(work.effort / (weeks_between(work.start, work.due) + 1) for work in here)
    return position.utilisation + needed / position.capacity


def stage_class(plan: Plan, deal: Deal) -> str:
    """``open``, ``won`` or ``lost``; empty for a deal whose stage the plan does not have."""
    stage = plan.stages.get(deal.stage or "")
    return stage.class_ if stage and not deal.deleted else ""


def quarter_of(day: date) -> str:
    """The plan's name for the quarter of a day: ``2026-Q2``."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


def quarter_days(period: str) -> tuple[date, date]:
    """First and last day of a quarter."""
    year, quarter = int(period[:4]), int(period[-1])
    following = date(year + quarter // 4, quarter % 4 * 3 + 1, 1)
    return date(year, quarter * 3 - 2, 1), following - timedelta(days=1)


def bookings(plan: Plan, deals: dict[str, Deal], today: date) -> Bookings | None:
    """Won and expected bookings of the quarter that ``today`` is in, against its target; None without one."""
    period = quarter_of(today)
    if period not in plan.periods:
        return None
    first, last = quarter_days(period)
    won = expected = 0.0
    for deal in deals.values():
        if deal.close is None or not first <= deal.close <= last:
            continue
        stage = plan.stages.get(deal.stage or "")
        if stage is not None and stage.class_ == "won":
            won += deal.amount or 0.0
        elif stage is not None:
            expected += (deal.amount or 0.0) * stage.win_probability
    target = plan.periods[period].bookings
    return Bookings(period, won, expected, target, target * due_share(plan, first, last, today))


def due_share(plan: Plan, first: date, last: date, today: date) -> float:
    """The share of a quarter's target that is due when ``today`` begins: that of its milestones by list value.

    Without milestones in the quarter it is the share of its days.
    """
    within = [m for m in plan.milestones.values() if first <= m.from_ and m.due <= last]
    value = {id(m): m.quantity * (plan.products[m.product].list_price or 0.0) for m in within}
    whole = sum(value.values())
    if whole <= 0:
        return (today - first).days / ((last - first).days + 1)
    return sum(value[id(m)] * _progress(m, today) for m in within) / whole


def _progress(milestone: Milestone, today: date) -> float:
    days = (milestone.due - milestone.from_).days + 1
    parts = milestone.linearity
    place = min(max((today - milestone.from_).days / days, 0.0), 1.0) * len(parts)
    whole = int(place)
    return sum(parts[:whole]) + (parts[whole] * (place - whole) if whole < len(parts) else 0.0)


def discount(deals: list[Deal]) -> float | None:
    """1 - net / list over the lines that bring a list price; None when there are none."""
    lines = [line for deal in deals for line in deal.lines if line.list_amount and line.amount is not None]
    listed = sum(line.list_amount or 0.0 for line in lines)
    return 1 - sum(line.amount or 0.0 for line in lines) / listed if listed else None


def yearly_revenue(deals: list[Deal]) -> float:
    """Annual recurring revenue of deals."""
    return sum(line.arr or 0.0 for deal in deals for line in deal.lines)


def revenue_at_risk(plan: Plan, revenue: float, slip_weeks: float) -> float:
    """What of ``revenue`` is lost under the plan's assumption when what customers wait for slips so much."""
    risk = plan.revenue_at_risk
    return 0.0 if risk is None else revenue * min(1.0, risk.kappa * max(0.0, slip_weeks - risk.grace_weeks))


def weeks_until(moment: datetime, week: str) -> float:
    """Weeks from a moment to the beginning of an ISO week."""
    begins = datetime.combine(monday(week), datetime.min.time(), moment.tzinfo)
    return (begins - moment) / timedelta(weeks=1)


def plan_week(work_start: str, week: str) -> int:
    """Which week of a work item (from 1) an ISO week is."""
    return weeks_between(work_start, week) + 1
