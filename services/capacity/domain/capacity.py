"""What each pool can do by week: by the plan, reported, decided, and what of these counts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.calendar import worked_share
from services.capacity.domain.effects import Reports
from services.capacity.domain.queues import weekly_capacity
from shared.schemas.plan_pools import BudgetPool, Hire, Pool, QueuePool, Stock, StockPool, WorkPool
from shared.schemas.week import week_of

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PoolCapacity:
    """By week of the axis, in the pool's unit; ``reported`` is NaN where nobody reported.

    ``counts`` is the report's figure, else the plan's, plus what is decided. For stocks and budgets all are running
    totals from the table's first week on. ``backlog`` is the undone work that was reported for the start of a week.
    """

    by_plan: Floats
    reported: Floats
    decided: Floats
    backlog: dict[int, float]

    @property
    def counts(self) -> Floats:
        """What the pool can do; never less than nothing."""
        said = np.where(np.isnan(self.reported), self.by_plan, self.reported)
        return np.maximum(said + self.decided, 0.0)

    def same_as(self, other: "PoolCapacity") -> bool:
        """Whether nothing differs."""
        return (
            np.array_equal(self.by_plan, other.by_plan)
            and np.array_equal(self.reported, other.reported, equal_nan=True)
            and np.array_equal(self.decided, other.decided)
            and self.backlog == other.backlog
        )


def capacity_of(name: str, pool: Pool, axis: Axis, reports: Reports, decided: dict[str, float]) -> PoolCapacity:
    """The capacity of pool ``name``, given what was reported and the decided amounts by week."""
    by_plan = _by_plan(pool, axis)
    reported = _reported(name, pool, axis, by_plan, reports)
    extra = np.zeros(axis.count)
    for week, amount in decided.items():
        if 0 <= (place := axis.place(week)) < axis.count:
            extra[place] += amount
    backlog = _last_by_week(reports, name, "backlog", axis)
    if isinstance(pool, StockPool | BudgetPool):
        supply = pool.stock if isinstance(pool, StockPool) else pool.budget
        said = np.where(np.isnan(reported), by_plan, reported)
        total = _running(said, axis) + np.where(np.arange(axis.count) >= axis.start, supply.level, 0.0)
        return PoolCapacity(total, np.full(axis.count, np.nan), _running(extra, axis), {})
    return PoolCapacity(by_plan, reported, extra, backlog)


def _by_plan(pool: Pool, axis: Axis) -> Floats:
    if isinstance(pool, WorkPool):
        where = pool.capacity.holidays
        shares = [worked_share(where, week) if where else 1.0 for week in axis.weeks]
        return pool.capacity.per_week * np.array(shares) * _staying(pool.hire, axis)
    if isinstance(pool, QueuePool):
        return weekly_capacity(pool.queue) * _staying(pool.hire, axis)
    supply: Stock = pool.stock if isinstance(pool, StockPool) else pool.budget
    incoming = np.full(axis.count, supply.per_week)
    for week, amount in supply.receipts.items():
        if 0 <= (place := axis.place(week)) < axis.count:
            incoming[place] += amount
    return incoming


def _staying(hire: Hire | None, axis: Axis) -> Floats:
    """The share of today's people that is still there."""
    leaving = hire.attrition if hire is not None else 0.0
    ahead: Floats = np.maximum(np.arange(axis.count) - axis.now, 0.0)
    staying: Floats = (1.0 - leaving) ** ahead
    return staying


def _reported(name: str, pool: Pool, axis: Axis, by_plan: Floats, reports: Reports) -> Floats:
    """What reports make of the plan's figures, NaN where none says anything; a figure for a week goes over changes."""
    changes = np.zeros(axis.count)
    touched = np.zeros(axis.count, dtype=bool)
    for absence in reports.of(name, "absence"):
        if absence.week is not None and 0 <= (place := axis.place(absence.week)) < axis.count:
            changes[place] -= absence.amount or 0.0
            touched[place] = True
    hire = getattr(pool, "hire", None)
    if isinstance(hire, Hire):
        for start in reports.of(name, "hire"):
            if start.day is not None:
                gained = (start.amount or 0.0) * output_of_hire(hire, axis.place(week_of(start.day)), axis.count)
                changes += gained
                touched |= gained > 0
    reported = np.where(touched, np.maximum(by_plan + changes, 0.0), np.nan)
    for place, amount in _last_by_week(reports, name, "capacity", axis).items():
        reported[place] = amount
    return reported


def output_of_hire(hire: Hire, first_day: int, count: int) -> Floats:
    """What one person whose first day is in week ``first_day`` gives in each of ``count`` weeks."""
    since = np.arange(count) - first_day
    ramp = np.array(hire.ramp)
    share = ramp[np.clip(since, 0, len(ramp) - 1)]
    return np.where(since >= 0, hire.hours * share, 0.0)


def _last_by_week(reports: Reports, name: str, kind: str, axis: Axis) -> dict[int, float]:
    found: dict[int, float] = {}
    for report in reports.of(name, kind):
        if report.week is not None and 0 <= (place := axis.place(report.week)) < axis.count:
            found[place] = max(report.amount or 0.0, 0.0)
    return found


def _running(amounts: Floats, axis: Axis) -> Floats:
    return np.cumsum(np.where(np.arange(axis.count) >= axis.start, amounts, 0.0))
