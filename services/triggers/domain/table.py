"""What all frames so far add up to: everything that can be watched as it stands, of which plan and at which moment."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from shared.schemas.forecast import EVERYTHING, Forecast
from shared.schemas.frame import BookingState, EffortState, Frame, ListedDeal, MilestoneState, SignalState
from shared.schemas.position import Position, WorkState
from shared.schemas.week import weeks_between

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Touched:
    """Which scopes a frame speaks of; ``everything`` when it may have changed any.

    ``scopes`` are the touched ones by what is watched, None where all of them are.
    """

    everything: bool
    scopes: Mapping[str, frozenset[str] | None] = field(default_factory=dict)


@dataclass(slots=True)
class Table:
    """A fold over frames. Until the first complete one it is not ``whole`` and says nothing.

    Every plan begins with a complete frame. Where that one was lost, what is here is of the former plan, and it is not
    ``whole`` until the next complete one.
    """

    whole: bool = False
    now: datetime = BEGINNING
    week: str = ""
    plan: str = ""
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    """By pool and week."""
    work: dict[str, WorkState] = field(default_factory=dict)
    report_ages: dict[str, float | None] = field(default_factory=dict)
    """Seconds since each pool's last report; None: it never reported."""
    listed: list[ListedDeal] | None = None
    signals: dict[tuple[str, str | None], SignalState] | None = None
    """By kind and pool."""
    bookings: dict[str, BookingState] | None = None
    """By product; the empty one is all of them."""
    milestones: dict[str, MilestoneState] = field(default_factory=dict)
    efforts: dict[str, EffortState] = field(default_factory=dict)
    """By pool."""
    forecasts: dict[str, Forecast] = field(default_factory=dict)
    """By scope: a period, or a period and a segment."""
    by_reason: Mapping[str, int] = field(default_factory=dict)
    """How many deals are listed by reason, those too many to be named included."""
    worth: dict[str, float] = field(default_factory=dict)
    """Their value by reason, in the plan's currency."""

    @property
    def day(self) -> date:
        """The day (UTC) of the present moment: what goes by days is looked at when it changes."""
        return self.now.date()

    def apply(self, frame: Frame) -> Touched:
        """Fold a frame in. A complete one replaces the table; one before the first complete is passed over.

        So is one of another plan that is not complete, and those after it.
        """
        if frame.plan != self.plan:
            self.whole = False
        if not (self.whole or frame.complete):
            return Touched(everything=False)
        moved_on = frame.plan != self.plan or frame.week != self.week or frame.now.date() != self.day
        if frame.complete:
            self.whole = True
            self.positions, self.work, self.milestones, self.efforts = {}, {}, {}, {}
            self.forecasts = {}
            self.listed = self.signals = self.bookings = None
        self.now, self.week, self.plan = frame.now, frame.week, frame.plan
        for pool, week in frame.gone:
            self.positions.get(pool, {}).pop(week, None)
        for position in frame.positions:
            self.positions.setdefault(position.pool, {})[position.week] = position
        for item in frame.work:
            self.work[item.work] = item
        self.forecasts.update((scope_of(one.period, one.segment), one) for one in frame.forecasts or [])
        self.report_ages = frame.report_ages
        self._replace(frame)
        if frame.complete or moved_on:
            return Touched(everything=True)
        return Touched(False, dict(_touched(frame)))

    def _replace(self, frame: Frame) -> None:
        """What comes whole or not at all."""
        if frame.listed is not None:
            self.listed = frame.listed
        if frame.listed_counts is not None:
            self.by_reason = {count.reason: count.deals for count in frame.listed_counts}
            self.worth = {count.reason: count.value for count in frame.listed_counts}
        elif frame.listed is not None:
            # A frame that brings no counts says of all that it knows which deals they are.
            self.by_reason = Counter(deal.reason for deal in frame.listed)
            self.worth = dict.fromkeys(self.by_reason, 0.0)
            for deal in frame.listed:
                self.worth[deal.reason] += deal.exposure
        if frame.signals is not None:
            self.signals = {(state.kind, state.pool): state for state in frame.signals}
        if frame.bookings is not None:
            self.bookings = {state.product: state for state in frame.bookings}
        if frame.milestones is not None:
            self.milestones = {state.milestone: state for state in frame.milestones}
        if frame.efforts is not None:
            self.efforts = {state.pool: state for state in frame.efforts}

    def from_now_on(self, pool: str, weeks: int | None) -> list[Position]:
        """The pool's positions from the present week on, in order, at most of the first so many ``weeks``."""
        known = self.positions.get(pool, {})
        ahead = [known[week] for week in sorted(known) if week >= self.week]
        if weeks is None or not ahead:
            return ahead
        return [position for position in ahead[:weeks] if weeks_between(self.week, position.week) < weeks]

    def signal(self, kind: str, pool: str | None) -> SignalState | None:
        """The signals of a kind about a pool, or about everything."""
        return None if self.signals is None else self.signals.get((kind, pool))


def scope_of(period: str, segment: str) -> str:
    """What stands for a forecast: its period, and its segment if it is not of everything."""
    return period if segment == EVERYTHING else f"{period}/{segment}"


def _touched(frame: Frame) -> Iterator[tuple[str, frozenset[str] | None]]:
    pools = _names(position.pool for position in frame.positions) | _names(pool for pool, _ in frame.gone)
    yield "position", pools
    yield "pool", pools
    yield "work", _names(item.work for item in frame.work)
    # How long somebody or something has been silent moves with every frame.
    yield "report", None
    yield "signal", None
    if frame.bookings is not None or frame.listed is not None or frame.listed_counts is not None:
        yield "deal", None
    if frame.forecasts is not None:
        yield "forecast", _names(scope_of(one.period, one.segment) for one in frame.forecasts)
    if frame.milestones is not None:
        yield "milestone", None


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(names)
