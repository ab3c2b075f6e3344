"""Recorded events through the very code that runs live, with a virtual clock and no broker.

Order of effects, as between the topics: an event is read and merged into its deal, the deal is folded into cells, and
at the start of each day (of the plan's time zone) the cells that changed are taken into the book and projected, and the
frame is shown to the triggers. The clock is the newest time that an event has told.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from headroom.calibration import Calibration, Reliability
from headroom.hindsight import Hindsight, Watcher
from headroom.replay_forecasts import ForecastDay, forecast_days
from headroom.replay_read import Ahead, Read, read
from services.capacity.domain import contribution
from services.capacity.domain.cells import Cells
from services.capacity.domain.pool import WHOLE, Depth
from services.capacity.domain.projector import PlanInForce, Projector
from services.ingest.domain.change import DealChange, Unusable
from services.ingest.domain.merge import amend, begun
from services.ingest.domain.rates import Rates, filled
from shared.schemas.cell import Cell, Mark
from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.report import Report, record_key
from shared.schemas.signal import Signal

_DAY: Final = timedelta(days=1)
_SETTLED: Final = timedelta(seconds=2)
"""After a day of very many events the projection takes them for a load, and says so; so much later it is over."""
MOST_REJECTED: Final = 1000
"""Events that could not be used are all counted, and so many of them kept with their reason."""


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


@dataclass
class Replay:
    """What replaying came to. ``rejected`` are events by number (from 1) with the reason."""

    days: list[Day] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    work: list[WorkState] = field(default_factory=list)
    forecasts: list[Forecast] = field(default_factory=list)
    events: int = 0
    unusable: int = 0
    rejected: list[tuple[int, str]] = field(default_factory=list)
    hindsight: Hindsight = field(default_factory=Hindsight)
    calibration: list[Reliability] = field(default_factory=list)


class Replayer:
    """Takes events in one after the other; ``first`` and ``last`` are the days that are projected, None: all.

    ``also`` is shown each frame after the triggers have seen it.
    """

    def __init__(
        self,
        plan: Plan,
        first: date | None = None,
        last: date | None = None,
        depth: Depth = WHOLE,
        also: Callable[[Frame], object] = lambda frame: None,
    ) -> None:
        self._plan, self._first, self._last = plan, first, last
        self._zone = ZoneInfo(plan.timezone)
        self._in_force = PlanInForce(f"{plan.plan}@{plan.version or 1}", plan)
        self._cells = Cells()
        self._projector = Projector(depth)
        self._watcher = Watcher(plan, self._in_force.name)
        self._calibration = Calibration(plan)
        self._also = also
        self._rates = Rates(plan.currency)
        self._deals: dict[str, Deal] = {}
        self._unfolded: dict[str, Deal] = {}
        self._end = None if last is None else _ms(self._start_of(last + _DAY))
        self._clock: int | None = None
        """Milliseconds since the epoch, as events tell their time."""
        self._next: int | None = None
        self._taken = 0
        self._upto = 0
        self._book_time = 0
        self.found = Replay()

    def take(self, raw: bytes, ahead: Read | None = None) -> bool:
        """Take in one CloudEvent in structured JSON; False: it lies after the last day, and nothing more is wanted.

        ``ahead`` is what it says, when it was read before.
        """
        at, said = ahead or read(raw, self._clock)
        if not isinstance(said, tuple) and self._end is not None and at >= self._end:
            return False
        self.found.events += 1
        if isinstance(said, tuple):
            self._reject(*said)
            return True
        if self._next is None or at >= self._next:
            self._move_to(at)
        elif self._clock is None or at > self._clock:
            self._clock = at
        try:
            self._put(said)
        except Unusable as error:
            self._reject(error.reason, error.why)
        return True

    def end(self) -> Replay:
        """Project what is left; answers all of it."""
        if self._clock is not None:
            if self._last is not None:
                self._move_to(_ms(self._start_of(self._last)))
            self._project(self._clock)
            self.found.positions = list(self._projector.positions.values())
            self.found.work = list(self._projector.work.values())
            told = self._projector.told.forecasts
            self.found.forecasts = [told[key] for key in sorted(told)]
            self.found.hindsight = self._watcher.hindsight()
            self.found.calibration = self._calibration.found()
        return self.found

    def _reject(self, reason: str, why: str) -> None:
        self.found.unusable += 1
        if len(self.found.rejected) < MOST_REJECTED:
            self.found.rejected.append((self.found.events, f"{reason}: {why}"))

    def _put(self, said: DealChange | Report | Signal) -> None:
        self._taken += 1
        if isinstance(said, DealChange):
            name = said.deal_id
            deal = self._deals.get(name)
            if deal is None:
                deal = self._deals[name] = begun(said)
            elif amend(deal, said) == "nothing-new":
                return
            # A deal is folded when its day is over: what it was in between is in no projection.
            self._unfolded[name] = deal
            self._upto += 1
        elif isinstance(said, Report):
            self._projector.reported(self._projector.reports.put(record_key(said), said))
        else:
            self._projector.observe(said)

    def _move_to(self, at: int) -> None:
        """Let the clock run up to ``at``, and project at each day's start on the way."""
        if self._clock is None or self._next is None:
            begin = self._day_of(at)
            self._clock, self._next = at, _ms(self._start_of(max(begin + _DAY, self._first or date.min)))
        while self._next <= at:
            self._project(self._next)
            self._next = _ms(self._start_of(self._day_of(self._next) + _DAY))
        self._clock = max(self._clock, at)

    def _day_of(self, at: int) -> date:
        return _moment(at).astimezone(self._zone).date()

    def _start_of(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)

    def _project(self, at: int) -> None:
        now, book = _moment(at), self._projector.book
        for name, deal in self._unfolded.items():
            whole = filled(deal, self._rates)
            if whole is not deal:
                self._deals[name] = whole
            self._cells.put(name, contribution.of(whole))
            if whole.time > self._book_time:
                self._book_time = whole.time
        self._unfolded.clear()
        for state in self._cells.changed():
            book.stage(
                Cell(
                    partition=0,
                    generation=0,
                    key=state.key,
                    own=state.own,
                    stage=state.stage,
                    listed=state.listed,
                    members=state.members,
                )
            )
        self._projector.cells_changed(
            book.apply(Mark(partition=0, generation=0, upto=self._upto, time=self._book_time, taken=self._upto))
        )
        frame = self._projector.project(now, self._in_force)
        self._show(frame)
        if frame is not None and frame.loading:
            self._show(self._projector.project(now + _SETTLED, self._in_force))
        day = now.astimezone(self._zone).date()
        week = frame.week if frame is not None else None
        forecasts = forecast_days(self._projector.told.forecasts.values())
        self.found.days.append(Day(day, self._taken, list(self._pools(week)), list(self._work()), forecasts))
        self._taken = 0

    def _show(self, frame: Frame | None) -> None:
        if frame is not None:
            self._watcher.see(frame)
            self._calibration.see(frame)
            self._also(frame)

    def _pools(self, week: str | None) -> Iterator[PoolDay]:
        by_pool: dict[str, list[Position]] = {name: [] for name in self._plan.pools}
        for row in self._projector.positions.values():
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

    def _work(self) -> Iterator[WorkDay]:
        for item in self._projector.work.values():
            yield WorkDay(item.work, item.finish, item.slip_weeks, item.slip_mean, item.late)


def replay(
    plan: Plan, events: Iterable[bytes], first: date | None = None, last: date | None = None, ahead: Ahead | None = None
) -> Replay:
    """All of ``events``, in their order, read ``ahead`` if that is given."""
    replayer = Replayer(plan, first, last)
    read_ahead = ((raw, None) for raw in events) if ahead is None else ahead.read(events)
    for raw, what in read_ahead:
        if not replayer.take(raw, what):
            break
    return replayer.end()


def _ms(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1000, UTC)
