"""The things that are watched whole, as their fields are read, from operations: a pool, its reports, a signal.

Each is made from the table when a rule looks at it; what costs something is computed once, when a condition asks.
"""

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from services.triggers.domain import metrics
from services.triggers.domain.burn import Burn, Slacks
from services.triggers.domain.gap import missing, missing_together
from services.triggers.domain.responsible import last_hire_week, people_needed
from services.triggers.domain.table import Table
from shared.schemas.frame import SignalState
from shared.schemas.plan import Plan
from shared.schemas.plan_fields import NEVER, NO_WEEK
from shared.schemas.plan_pools import Hire
from shared.schemas.position import Position
from shared.schemas.week import weeks_between

_DAY = timedelta(days=1)


@dataclass(frozen=True)
class PoolSight:
    """A pool over the weeks that are watched; ``ahead`` is not empty."""

    plan: Plan
    table: Table
    slacks: Slacks
    pool: str
    ahead: list[Position]

    @cached_property
    def overloaded(self) -> list[Position]:
        """The weeks in which expected demand exceeds capacity."""
        return [position for position in self.ahead if position.headroom < 0]

    @property
    def first_overloaded(self) -> float:
        return float(weeks_between(self.table.week, self.overloaded[0].week)) if self.overloaded else NO_WEEK

    @property
    def overloaded_weeks(self) -> float:
        return float(len(self.overloaded))

    @property
    def missing(self) -> float:
        return missing_together(self.plan, self.pool, self.ahead)

    @cached_property
    def _gap(self) -> dict[str, float]:
        return {position.week: gap for position in self.ahead if (gap := missing(position)) > 0}

    @property
    def _hire(self) -> Hire | None:
        return getattr(self.plan.pools.get(self.pool), "hire", None)  # stocks and budgets do not hire

    @property
    def people(self) -> float | None:
        if self._hire is None:
            return None
        return float(people_needed(self._gap, self._hire)) if self._gap else 0.0

    @property
    def hire_by(self) -> float | None:
        if self._hire is None:
            return None
        week = last_hire_week(self._gap, self._hire, people_needed(self._gap, self._hire)) if self._gap else None
        return NO_WEEK if week is None else float(weeks_between(self.table.week, week))

    @property
    def slack(self) -> float | None:
        return self.slacks.left(self.table, self.pool)

    @cached_property
    def _burn(self) -> Burn:
        return self.slacks.burn(self.table, self.pool)

    @property
    def burn_short(self) -> float | None:
        return self._burn.short

    @property
    def burn_long(self) -> float | None:
        return self._burn.long


@dataclass(frozen=True)
class ReportSight:
    """What a pool states, how long ago it last did, and what is observed of it."""

    plan: Plan
    table: Table
    pool: str

    @property
    def report_age(self) -> float | None:
        if self.pool not in self.table.report_ages:
            return None
        age = self.table.report_ages[self.pool]
        return NEVER if age is None else age / _DAY.total_seconds()

    @property
    def overdue(self) -> float | None:
        declared = self.plan.pools.get(self.pool)
        if self.report_age is None or declared is None or declared.report_every is None:
            return None
        return self.report_age - declared.report_every / _DAY

    @property
    def stated(self) -> float | None:
        position = self.table.positions.get(self.pool, {}).get(self.table.week)
        if position is None:
            return None
        return position.by_plan if position.reported is None else position.reported

    @cached_property
    def _signals(self) -> metrics.Observed:
        done = self.table.signal(metrics.THROUGHPUT, self.pool)
        return metrics.Observed(
            throughput=done.per_week if done is not None and done.mean is not None else None,
            busy=self._mean(metrics.BUSY),
            waiting=self._mean(metrics.WAITING),
            turnaround=self._mean(metrics.TURNAROUND),
        )

    def _mean(self, kind: str) -> float | None:
        state = self.table.signal(kind, self.pool)
        return state.mean if state is not None else None

    @property
    def observed(self) -> float | None:
        return self._signals.capacity

    @property
    def divergence(self) -> float | None:
        return metrics.divergence(self.stated, self._signals)

    @property
    def padding(self) -> float | None:
        return metrics.padding(self.stated, self._signals)

    @property
    def waiting(self) -> float | None:
        return self._signals.in_pool

    @property
    def turnaround(self) -> float | None:
        return self._signals.stay

    @property
    def effort_drift(self) -> float | None:
        effort = self.table.efforts.get(self.pool)
        return effort.reported / effort.planned if effort is not None and effort.planned > 0 else None


@dataclass(frozen=True)
class SignalSight:
    """One kind of signal, of one pool or of all."""

    table: Table
    state: SignalState

    @property
    def change(self) -> float | None:
        return metrics.change(self.state.per_week, self.state.before)

    @property
    def silent_days(self) -> float:
        return max(0.0, (self.table.now - self.state.newest) / _DAY)
