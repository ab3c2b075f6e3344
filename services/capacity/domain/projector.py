"""The projection: the book, the plan in force, reports and decisions, as positions and work items at a moment.

A projection computes what changed since the last one and gives the figures a projection from nothing would give. It is
made anew when the plan changes or the plan's local day does, for then every deal's timing may.
"""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from services.capacity.domain.actuals import actuals_of
from services.capacity.domain.axis import Axis, axis_of
from services.capacity.domain.book import Book
from services.capacity.domain.bookings import Bookings
from services.capacity.domain.bulk import Bulk
from services.capacity.domain.capacity import PoolCapacity, capacity_of
from services.capacity.domain.demand import Demand
from services.capacity.domain.effects import Decisions, Reports
from services.capacity.domain.forecasts import Forecasts, Told
from services.capacity.domain.hiring import hirers_of, openings_of
from services.capacity.domain.listing import Listing
from services.capacity.domain.pace import EVERYTHING_AT_ONCE, Pace
from services.capacity.domain.pool import WHOLE, Asked, Depth, asked_of, project_pool
from services.capacity.domain.pool_queue import PoolQueue
from services.capacity.domain.remembered import Remembered
from services.capacity.domain.revenue import Retention
from services.capacity.domain.signals import Signals
from shared.schemas.cell import CellKey
from shared.schemas.frame import BookingState, EffortState, Frame, ListedCount, ListedDeal, MilestoneState, SignalState
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.signal import Signal

HEARTBEAT: Final = timedelta(hours=1)
"""A frame at least this often, so that durations, deadlines and report ages go on for its readers."""


@dataclass(frozen=True)
class PlanInForce:
    """A plan and its name, ``id@version``."""

    name: str
    plan: Plan


@dataclass
class _Sent:
    """What readers of frames know, so that only changes are told."""

    positions: dict[tuple[str, str], Position] = field(default_factory=dict)
    work: dict[str, WorkState] = field(default_factory=dict)
    listed: list[ListedDeal] = field(default_factory=list)
    counts: list[ListedCount] = field(default_factory=list)
    signals: list[SignalState] = field(default_factory=list)
    bookings: list[BookingState] = field(default_factory=list)
    milestones: list[MilestoneState] = field(default_factory=list)
    efforts: list[EffortState] = field(default_factory=list)
    loading: bool = False


class Projector:
    """Takes in what happened and answers with frames."""

    def __init__(self, depth: Depth = WHOLE, pace: Pace = EVERYTHING_AT_ONCE) -> None:
        self._depth, self._pace = depth, pace
        self.book = Book()
        self.reports = Reports()
        self.decisions = Decisions()
        self.signals = Signals()
        self._bulk = Bulk()
        self._cells: set[CellKey] = set()
        self._said: set[str] = set()
        self._dirty = False
        self._plan = ""
        self._axis: Axis | None = None
        self.in_force: PlanInForce | None = None
        """The plan of the last projection."""
        self._now: datetime | None = None
        self._second = -math.inf
        self._week = ""
        self._demand: Demand
        self._listing: Listing
        self._bookings: Bookings
        self._hirers: list[str]
        self._capacities: dict[str, PoolCapacity] = {}
        self._remembered: defaultdict[str, Remembered] = defaultdict(Remembered)
        self._decided: dict[str, dict[str, float]] = {}
        self._sent = _Sent()
        self._forecasts: Forecasts
        self._queue = PoolQueue(pace.pools)
        self.told = Told()
        """The forecasts that were told last; what ``forecasts.v1`` holds is put in before the first projection."""
        self.retention = Retention()

    def cells_changed(self, keys: Iterable[CellKey]) -> None:
        """These cells of the book sum to something else than at the last projection."""
        self._cells.update(keys)
        self._dirty |= bool(self._cells)

    def reported(self, pool: str | None) -> None:
        """A report came in, or went; it is about ``pool``."""
        self._dirty = True
        if pool is not None:
            self._said.add(pool)

    def decided(self) -> None:
        """A decision came in."""
        self._dirty = True

    @property
    def waiting(self) -> bool:
        """Whether something changed that no frame has looked at yet; without a plan nothing waits."""
        return self._dirty and self.in_force is not None

    def observe(self, signal: Signal) -> None:
        """A signal came in; one that was seen before changes nothing."""
        if self.signals.put(signal):
            self.retention.put(signal)
            self._dirty = True

    @property
    def positions(self) -> dict[tuple[str, str], Position]:
        """All positions of the last projection, by pool and week."""
        return self._sent.positions

    @property
    def work(self) -> dict[str, WorkState]:
        """All work items of the last projection, by name."""
        return self._sent.work

    def asked_of(self, pool: str) -> tuple[Axis, Demand, Asked]:
        """What is asked of ``pool``, one of the plan's, as of the last projection; with its weeks and all demand."""
        assert self._axis is not None, "asked before the first projection"
        assert self.in_force is not None
        asked = asked_of(pool, self.in_force.plan, self._axis, self._demand, self._capacities[pool])
        return self._axis, self._demand, asked

    def project(self, now: datetime, in_force: PlanInForce | None, second: float | None = None) -> Frame | None:
        """The frame to publish: complete for a new plan or week, else what changed; None when nothing did.

        ``second`` is that of a clock which goes on evenly whatever ``now`` does; frames are paced by it. None: at once.
        """
        if in_force is None:
            return None
        plan, axis = in_force.plan, axis_of(in_force.plan, now)
        week = axis.weeks[axis.now]
        complete = in_force.name != self._plan or week != self._week
        beat = self._now is None or now - self._now >= HEARTBEAT
        self._bulk.see(sum(mark.taken for mark in self.book.marks.values()), now)
        settled = self._sent.loading and not self._bulk.loading
        if not (complete or self._dirty or beat or settled or self._forecasts.overdue(second)):
            return None
        anew = complete or axis != self._axis
        changed_pools, turn = self._take_in(in_force, axis, now), True
        if complete:
            self._sent = _Sent()
        if anew:
            # Forecasts are made of all pools, so on a new day none may be missing.
            self._queue.clear()
            chosen = set(plan.pools)
        else:
            self._queue.see(changed_pools, self._demand, self._capacities)
            turn = second is None or second - self._second >= self._pace.others or beat or settled
            if not turn and not self._queue.urgent:
                return None
            chosen = self._queue.take(others=turn)
        if turn and second is not None:
            self._second = second
        frame = self._frame(now, second, in_force, axis, chosen, complete)
        self._dirty = bool(self._queue)
        told = frame.positions or frame.work or frame.listed is not None or frame.listed_counts is not None
        told = told or any(
            each is not None for each in (frame.signals, frame.bookings, frame.milestones, frame.efforts)
        )
        told = told or frame.forecasts is not None
        if not (complete or beat or told or settled):
            return None
        self._now, self._week = now, week
        return frame

    def _take_in(self, in_force: PlanInForce, axis: Axis, now: datetime) -> set[str]:
        """Bring demand and capacity up to date; answers the pools where something changed."""
        plan, self.in_force = in_force.plan, in_force
        if in_force.name != self._plan or axis != self._axis:
            self._plan, self._axis = in_force.name, axis
            self._demand, self._listing = Demand(plan, axis), Listing(plan, axis.today)
            self._bookings, self._hirers = Bookings(plan), hirers_of(plan)
            self._forecasts = Forecasts(plan, axis, self.told, self._pace.forecasts)
            self._capacities = {}
            self._remembered = defaultdict(Remembered)
            self._cells = set(self.book)
            self.reports.deals_changed = True
        for key in self._cells:
            cell = self.book.cell(key)
            self._demand.put(key, cell)
            self._listing.put(key, cell)
            self._bookings.put(key, cell)
            self._forecasts.levels.put(key, cell)
        self._cells = set()
        confirmed = self.reports.confirmed()
        self._demand.withhold(self.decisions.withheld(now, confirmed))
        if self.reports.deals_changed:
            self._demand.replace(actuals_of(self.reports.on_deals(), plan))
            self.reports.deals_changed = False
        return self._demand.refresh() | self._take_in_capacity(plan, axis, self.decisions.amounts(now, confirmed))

    def _take_in_capacity(self, plan: Plan, axis: Axis, decided: dict[str, dict[str, float]]) -> set[str]:
        changed: set[str] = set()
        # Under the same plan and day only what was said or decided of a pool changes what it can do.
        spoken_of = self._said | decided.keys() | self._decided.keys() if self._capacities else plan.pools.keys()
        for name in spoken_of & plan.pools.keys():
            before, amounts = self._capacities.get(name), decided.get(name, {})
            if before is None or name in self._said or amounts != self._decided.get(name, {}):
                capacity = self._capacities[name] = capacity_of(name, plan.pools[name], axis, self.reports, amounts)
                if before is None or not capacity.same_as(before):
                    changed.add(name)
        self._said, self._decided = set(), decided
        return changed

    def _frame(
        self, now: datetime, second: float | None, in_force: PlanInForce, axis: Axis, pools: set[str], complete: bool
    ) -> Frame:
        plan, sent = in_force.plan, self._sent
        positions: list[Position] = []
        work: list[WorkState] = []
        others = [name for name in plan.pools if name in pools and name not in self._hirers]
        for name in (*others, *self._hirers):
            if self._demand.hire(name, openings_of(name, plan, axis, sent.positions)) or name in pools:
                rows, items, overload_cost = project_pool(
                    name, plan, axis, self._demand, self._capacities[name], self._depth, self._remembered[name]
                )
                self._queue.told(name, self._demand, self._capacities[name])
                self._forecasts.levels.pool(name, rows, overload_cost)
                self._forecasts.levels.work(items)
                keys = [(row.pool, row.week) for row in rows]
                before = map(sent.positions.get, keys)
                positions += [row for row, was in zip(rows, before, strict=True) if was != row]
                work += [item for item in items if sent.work.get(item.work) != item]
                sent.positions.update(zip(keys, rows, strict=True))
        sent.work.update({item.work: item for item in work})
        self._listing.unused(self._demand.unplaced())
        listed, counts = self._listing.deals(), self._listing.counts()
        new_list, new_counts = complete or listed != sent.listed, complete or counts != sent.counts
        sent.listed, sent.counts = listed, counts
        signals = self.signals.states(now.date())
        bookings, milestones = self._bookings.states(axis.today), self._bookings.milestones(axis.today)
        new_signals, new_bookings = complete or signals != sent.signals, complete or bookings != sent.bookings
        new_milestones = complete or milestones != sent.milestones
        sent.signals, sent.bookings, sent.milestones = signals, bookings, milestones
        efforts = self._demand.efforts()
        new_efforts, sent.efforts = complete or efforts != sent.efforts, efforts
        forecasts = self._forecasts.make(now, self.retention.on(axis.today), complete, second)
        sent.loading = self._bulk.loading
        marks = self.book.marks
        return Frame(
            now=now,
            week=axis.weeks[axis.now],
            plan=in_force.name,
            complete=complete,
            upto={partition: marks[partition].upto for partition in sorted(marks)},
            positions=positions,
            work=work,
            report_ages=self.reports.ages(plan.pools, now),
            listed=listed if new_list else None,
            listed_counts=counts if new_counts else None,
            book_time=max((mark.time for mark in marks.values()), default=0),
            signals=signals if new_signals else None,
            bookings=bookings if new_bookings else None,
            milestones=milestones if new_milestones else None,
            efforts=efforts if new_efforts else None,
            forecasts=forecasts if forecasts or complete else None,
            loading=sent.loading,
        )
