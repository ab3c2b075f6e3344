"""What a day of a back-test keeps of its projection."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date

from headroom.replay_forecasts import ForecastDay
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState


@dataclass(frozen=True, slots=True)
class PoolDay:
    """A pool as it was projected on a day: this week's use, the worst of the weeks shown, the first overloaded week."""

    pool: str
    utilisation: float | None
    overload: float
    late: float
    backlog: float
    backlog_mean: float
    first_overloaded: str | None


@dataclass(frozen=True, slots=True)
class WorkDay:
    """A work item as it was projected on a day."""

    work: str
    finish: str | None
    slip_weeks: float
    slip_mean: float
    late: float


@dataclass(frozen=True, slots=True)
class Day:
    """One projection, at the start of ``day``; ``events`` were taken in since the one before."""

    day: date
    events: int
    pools: list[PoolDay]
    work: list[WorkDay]
    forecasts: list[ForecastDay] = field(default_factory=list)


def pool_days(plan: Plan, positions: Iterable[Position], week: str | None) -> Iterator[PoolDay]:
    """The pools of the plan as ``positions`` have them; ``week`` is the present one, if there was a projection."""
    by_pool: dict[str, list[Position]] = {name: [] for name in plan.pools}
    for row in positions:
        by_pool[row.pool].append(row)
    for pool, rows in by_pool.items():
        present = next((row for row in rows if row.week == week), None)
        over = sorted(row.week for row in rows if row.headroom < 0)
        yield PoolDay(
            pool=pool,
            utilisation=present.utilisation if present is not None else None,
            overload=max((row.overload for row in rows), default=0.0),
            late=max((row.late for row in rows), default=0.0),
            backlog=max((row.backlog for row in rows), default=0.0),
            backlog_mean=max((row.backlog_mean for row in rows), default=0.0),
            first_overloaded=over[0] if over else None,
        )


def work_days(states: Iterable[WorkState]) -> Iterator[WorkDay]:
    """The work items of the plan as ``states`` have them."""
    for item in states:
        yield WorkDay(item.work, item.finish, item.slip_weeks, item.slip_mean, item.late)
