"""Recorded events through the very code that runs live, with a virtual clock and no broker.

Order of effects, as between the topics: an event is read and merged into its deal, the deal is folded into cells, and
at the start of each day (of the plan's time zone) the cells that changed are taken into the book and projected, and the
frame is shown to the triggers. The clock is the newest time that an event has told.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from headroom.calibration import Calibration, Reliability
from headroom.hindsight import Hindsight, Watcher
from headroom.replay_days import Day, pool_days, work_days
from headroom.replay_forecasts import forecast_days
from headroom.replay_read import Ahead, Read, read
from services.capacity.domain.cells import Cells
from services.capacity.domain.pool import WHOLE, Depth
from services.capacity.domain.projector import PlanInForce, Projector
from services.ingest.domain.change import DealChange, Unusable
from services.ingest.domain.merge import Outcome, amend, begun
from services.ingest.domain.rates import Rates, fill
from shared.schemas.cell import Cell, Mark
from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState
from shared.schemas.report import Report, record_key
from shared.schemas.signal import Signal

_DAY: Final = timedelta(days=1)
QUIET: Final = timedelta(days=366)
"""An event later than that after all before it may be a slip: it counts only if the next one is no farther from it."""
_SETTLED: Final = timedelta(seconds=2)
"""After a day of very many events the projection takes them for a load, and says so; so much later it is over."""
MOST_REJECTED: Final = 1000
"""Events that could not be used are all counted, and so many of them kept with their reason."""


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


class _Far(NamedTuple):
    """An event far ahead of all before it, put aside until the next one tells whether time went on or it is a slip."""

    number: int
    at: int
    said: DealChange | Report | Signal


class Replayer:
    """Takes events in one after the other; ``first`` and ``last`` are the days that are projected, None: all.

    ``also`` is shown each frame after the triggers have seen it. After ``quiet`` without an event, the days up to the
    next are passed over, and one event by itself beyond it is rejected: it would take the clock with it.
    """

    def __init__(
        self,
        plan: Plan,
        first: date | None = None,
        last: date | None = None,
        depth: Depth = WHOLE,
        also: Callable[[Frame], object] = lambda frame: None,
        quiet: timedelta = QUIET,
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
        self._quiet = quiet // timedelta(milliseconds=1)
        self._far: _Far | None = None
        self._number = 0
        self._taken = 0
        self._upto = 0
        self._book_time = 0
        self.found = Replay()

    def take(self, raw: bytes, ahead: Read | None = None) -> bool:
        """Take in one CloudEvent in structured JSON; False: it lies after the last day, and nothing more is wanted.

        ``ahead`` is what it says, when it was read before.
        """
        at, said = ahead or read(raw, self._clock)
        self._number += 1
        if isinstance(said, tuple):
            self._reject(self._number, *said)
            return True
        if self._far is not None and not self._decide(self._far, at):
            return False
        if self._clock is not None and at - self._clock > self._quiet:
            self._far = _Far(self._number, at, said)
            return True
        return self._take(self._number, at, said)

    def end(self) -> Replay:
        """Project what is left; answers all of it."""
        if self._far is not None:
            self._decide(self._far, None)
        self.found.rejected.sort()
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

    def _decide(self, far: _Far, at: int | None) -> bool:
        """Take ``far`` in or reject it, now that the next event is ``at`` (None: there is none); as ``take``."""
        self._far = None
        if at is not None and abs(at - far.at) <= self._quiet:
            return self._take(*far)
        if self._end is None or far.at < self._end:
            assert self._clock is not None  # or nothing is far from it
            days = (far.at - self._clock) // (_DAY // timedelta(milliseconds=1))
            why = f"its time {_moment(far.at).isoformat()} is {days:,} days after all before it, and no other is near"
            self._reject(far.number, "far-ahead", why)
        return True

    def _take(self, number: int, at: int, said: DealChange | Report | Signal) -> bool:
        if self._end is not None and at >= self._end:
            return False
        if self._next is None or at >= self._next:
            self._move_to(at)
        elif self._clock is None or at > self._clock:
            self._clock = at
        try:
            self._put(said)
            self.found.events += 1
        except Unusable as error:
            self._reject(number, error.reason, error.why)
        return True

    def _reject(self, number: int, reason: str, why: str) -> None:
        self.found.events += 1
        self.found.unusable += 1
        if len(self.found.rejected) < MOST_REJECTED:
            self.found.rejected.append((number, f"{reason}: {why}"))

    def _put(self, said: DealChange | Report | Signal) -> None:
        self._taken += 1
        if isinstance(said, DealChange):
            name = said.deal_id
            deal = self._deals.get(name)
            if deal is None:
                outcome: Outcome = "created"
                deal = self._deals[name] = begun(said)
            else:
                outcome = amend(deal, said)
            if outcome == "nothing-new":
                return
            self._upto += 1
            self._book_time = max(self._book_time, deal.time)
            if outcome != "confirmed":
                # A deal is folded when its day is over: what it was in between is in no projection.
                self._unfolded[name] = deal
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
            following = self._day_of(self._next) + _DAY
            self._next = _ms(self._start_of(self._day_of(at) if at - self._next > self._quiet else following))
        self._clock = max(self._clock, at)

    def _day_of(self, at: int) -> date:
        return _moment(at).astimezone(self._zone).date()

    def _start_of(self, day: date) -> datetime:
        return datetime.combine(day, time(), self._zone).astimezone(UTC)

    def _project(self, at: int) -> None:
        now, book = _moment(at), self._projector.book
        for name, deal in self._unfolded.items():
            fill(deal, self._rates)
            self._cells.put(name, deal)
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
        pools = list(pool_days(self._plan, self._projector.positions.values(), week))
        work = list(work_days(self._projector.work.values()))
        self.found.days.append(Day(day, self._taken, pools, work, forecasts))
        self._taken = 0

    def _show(self, frame: Frame | None) -> None:
        if frame is not None:
            self._watcher.see(frame)
            self._calibration.see(frame)
            self._also(frame)


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
