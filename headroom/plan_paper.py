"""Is a plan feasible on paper: its milestones by their linearity, through the same projection, without any deal."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

from headroom.tables import print_table
from services.capacity.domain.pool import Depth
from services.capacity.domain.projector import PlanInForce, Projector
from shared.numbers import amount
from shared.schemas.plan import Plan
from shared.schemas.position import Position
from shared.schemas.week import monday, week_of, weeks_between

LONGEST = 260
"""Weeks looked at, at most."""
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Shortage:
    """Weeks in which milestones and base load ask more of a pool than it can do; amounts in its unit.

    ``missing`` is of all these weeks; of a stock or budget, whose figures are running totals, of the worst.
    """

    pool: str
    owner: str
    unit: str
    weeks: list[str]
    missing: float
    worst_week: str
    worst_missing: float
    worst_capacity: float


@dataclass(frozen=True)
class Loose:
    """A milestone that asks nothing of anybody, and why."""

    milestone: str
    product: str
    why: str


@dataclass(frozen=True)
class OnPaper:
    """What a plan comes to on paper from the day ``as_of`` on."""

    as_of: date
    shortages: list[Shortage]
    loose: list[Loose]
    positions: dict[tuple[str, str], Position] = field(repr=False)

    @property
    def feasible(self) -> bool:
        """Nobody is asked more than they can do, and every milestone asks somebody."""
        return not self.shortages and not self.loose

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "as_of": self.as_of.isoformat(),
            "feasible": self.feasible,
            "shortages": [
                {"pool": one.pool, "owner": one.owner, "unit": one.unit, "weeks": one.weeks, "missing": one.missing,
                 "worst_week": one.worst_week, "worst_missing": one.worst_missing}
                for one in self.shortages
            ],
            "tethered_to_nothing": [
                {"milestone": one.milestone, "product": one.product, "why": one.why} for one in self.loose
            ],
        }  # fmt: skip


def on_paper(plan: Plan, as_of: date | None = None) -> OnPaper:
    """The answer from the day ``as_of`` on; None: from the beginning of the plan's first milestone or of its table.

    Positions are ``base`` and ``planned`` against capacity by the plan, up to the last effect of the last milestone.
    """
    day = as_of or _beginning(plan)
    whole = plan.model_copy(update={"start": None, "horizon_weeks": _length(plan, day)})
    projector = Projector(Depth(tails=False, paths=False))
    moment = datetime.combine(day, time(12), ZoneInfo(plan.timezone))
    projector.project(moment, PlanInForce(plan.plan, whole))
    positions = dict(projector.positions)
    return OnPaper(day, list(_shortages(plan, positions.values())), list(_loose(plan)), positions)


def _beginning(plan: Plan) -> date:
    days = [milestone.from_ for milestone in plan.milestones.values()]
    if plan.start is not None:
        days.append(monday(plan.start))
    return min(days, default=datetime.now(ZoneInfo(plan.timezone)).date())


def _length(plan: Plan, day: date) -> int:
    efforts = [
        need.after_weeks + (need.weeks or need.curve.length)
        for product in plan.products.values()
        for need in product.needs
    ]
    last = max((milestone.due for milestone in plan.milestones.values()), default=day)
    weeks = weeks_between(week_of(day), week_of(max(last, day))) + max(efforts, default=1)
    return min(max(weeks, plan.horizon_weeks), LONGEST)


def _shortages(plan: Plan, positions: Iterable[Position]) -> Iterable[Shortage]:
    by_pool: dict[str, list[tuple[float, Position]]] = {}
    for position in positions:
        missing = position.base + position.planned - position.capacity
        if missing > _ROUNDING * max(position.capacity, 1.0):
            by_pool.setdefault(position.pool, []).append((missing, position))
    for pool, short in sorted(by_pool.items()):
        worst, at = max(short, key=lambda one: (one[0], one[1].week))
        running = plan.pools[pool].kind in ("stock", "budget")
        yield Shortage(
            pool=pool,
            owner=plan.owner_of(pool),
            unit=plan.pools[pool].unit,
            weeks=[position.week for _, position in short],
            missing=worst if running else sum(missing for missing, _ in short),
            worst_week=at.week,
            worst_missing=worst,
            worst_capacity=at.capacity,
        )


def _loose(plan: Plan) -> Iterable[Loose]:
    for name, milestone in plan.milestones.items():
        product = plan.products.get(milestone.product)
        if product is None:
            yield Loose(name, milestone.product, "the plan has no such product")
        elif not product.needs:
            yield Loose(name, milestone.product, "the product has no needs")
        elif not any("new" in need.for_ and need.effort > 0 for need in product.needs):
            yield Loose(name, milestone.product, "no need of the product is for new deals")


def spans(weeks: list[str]) -> str:
    """Weeks in words: ``2026-W20…W23, 2026-W27``."""
    runs: list[list[str]] = []
    for week in sorted(weeks):
        if runs and monday(week) - monday(runs[-1][-1]) == timedelta(weeks=1):
            runs[-1].append(week)
        else:
            runs.append([week])
    return ", ".join(run[0] if len(run) == 1 else f"{run[0]}…{_short(run[0], run[-1])}" for run in runs)


def _short(first: str, last: str) -> str:
    return last[5:] if last[:4] == first[:4] else last


def show(console: Console, plan: Plan, found: OnPaper) -> None:
    """What was found, for people."""
    if not plan.milestones:
        console.print("It has no milestones, so on paper nothing but base load is asked of anybody.")
    for one in found.loose:
        console.print(f"milestone {escape(one.milestone)} is tethered to nothing: {one.why} ({escape(one.product)})")
    if not found.shortages:
        if plan.milestones:
            console.print(f"On paper, from {found.as_of} on, no pool is asked more than it can do.")
        return
    console.print(f"On paper, from {found.as_of} on, milestones and base load ask more than these pools can do:")
    rows = []
    for short in found.shortages:
        cells = (
            short.pool,
            spans(short.weeks),
            amount(short.missing, short.unit),
            f"{short.worst_week}: {amount(short.worst_missing, short.unit)} missing",
            amount(short.worst_capacity, short.unit),
            plan.people[short.owner].name,
        )
        rows.append([escape(cell) for cell in cells])
    print_table(console, ("pool", "weeks", "missing", "worst week", "can do then", "owner"), rows)
