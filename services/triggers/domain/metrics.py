"""What follows from reports and signals: observed capacity by two laws of operations, and where reports differ from it.

Utilisation law, U = X / C: a pool that does X a week while busy the share U of its time can do C = X / U. Little's law,
L = X · W: work in the pool is what passes through it times how long it stays. Both hold whatever the distributions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from shared.schemas.plan import Milestone, Plan
from shared.schemas.recalibration import Stress
from shared.schemas.week import monday

THROUGHPUT = "throughput"
"""Kind of signal: work done, in the pool's unit."""
BUSY = "busy-share"
"""Kind of signal: share of the time in which the pool was busy, 0 … 1."""
WAITING = "waiting"
"""Kind of signal: work in the pool at a moment, in its unit."""
TURNAROUND = "turnaround-weeks"
"""Kind of signal: how long work stayed, in weeks."""

_LEAST_BUSY = 0.05
"""Below this share of time busy, dividing by it says nothing."""


@dataclass(frozen=True, slots=True)
class Observed:
    """What signals say of a pool in the last 7 days; None where there were none. Amounts in its unit, per week."""

    throughput: float | None = None
    busy: float | None = None
    waiting: float | None = None
    turnaround: float | None = None

    @property
    def in_pool(self) -> float | None:
        """Work in the pool: as observed, else by Little's law."""
        if self.waiting is not None:
            return self.waiting
        if self.throughput is None or self.turnaround is None:
            return None
        return self.throughput * self.turnaround

    @property
    def stay(self) -> float | None:
        """Weeks that work stays: as observed, else by Little's law."""
        if self.turnaround is not None:
            return self.turnaround
        if self.waiting is None or not self.throughput:
            return None
        return self.waiting / self.throughput

    @property
    def capacity(self) -> float | None:
        """What the pool can do a week: X / U; while more than a week's work waits it is saturated, then X itself."""
        if self.throughput is None:
            return None
        if self.busy is not None:
            return self.throughput / min(self.busy, 1.0) if self.busy >= _LEAST_BUSY else None
        saturated = self.in_pool is not None and self.in_pool > self.throughput
        return self.throughput if saturated else None


def divergence(stated: float | None, observed: Observed) -> float | None:
    """How far what is stated lies above (a hidden bottleneck) or below what is observed, as a share of the latter."""
    capacity = observed.capacity
    if stated is None or not capacity:
        return None
    return stated / capacity - 1


def padding(stated: float | None, observed: Observed) -> float | None:
    """What the pool is observed to do beyond what it states it can, as a share of that; work done needs no law."""
    if not stated or observed.throughput is None:
        return None
    return max(0.0, observed.throughput / stated - 1)


def change(now: float | None, before: float | None) -> float | None:
    """By which share a rate changed; None without anything before."""
    return None if now is None or not before or before < 0 else now / before - 1


def pace(plan: Plan, week: str, product: str | None = None) -> float | None:
    """Units a week that the milestones ask for in ``week``, by their linearity; None when none asks for any.

    Each milestone counts on its days alone. In a week of which only some days are a milestone's it is the rate of those
    days, so that it compares with a booking rate at the beginning and end of a milestone too.
    """
    days = [monday(week) + timedelta(days=number) for number in range(7)]
    asked = 0.0
    of_any: set[date] = set()
    for milestone in plan.milestones.values():
        if product not in (None, milestone.product):
            continue
        inside = [day for day in days if milestone.from_ <= day <= milestone.due]
        of_any.update(inside)
        asked += sum(_units_on(day, milestone) for day in inside)
    return asked * 7 / len(of_any) if asked else None


def _units_on(day: date, milestone: Milestone) -> float:
    """What the part of the linearity that the day begins in asks for a day."""
    part = ((milestone.due - milestone.from_).days + 1) / len(milestone.linearity)
    at = min(int((day - milestone.from_).days / part), len(milestone.linearity) - 1)
    return milestone.quantity * milestone.linearity[at] / part


def stressed(plan: Plan, extra: Mapping[str, float], capacity: Mapping[str, float]) -> list[Stress]:
    """The pools that ``extra`` units a week of products press on, hardest first: effort, and its share of a week."""
    effort: dict[str, float] = {}
    for name, units in extra.items():
        product = plan.products.get(name)
        for need in product.needs if product and units > 0 else ():
            effort[need.pool] = effort.get(need.pool, 0.0) + units * need.effort * (need.weeks or 1)
    found = [
        Stress(pool, asked, plan.pools[pool].unit, asked / capacity[pool] if capacity.get(pool) else None)
        for pool, asked in effort.items()
        if asked > 0 and pool in plan.pools
    ]
    return sorted(found, key=lambda stress: (-(stress.share or 0.0), -stress.effort, stress.pool))
