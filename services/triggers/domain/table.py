"""What all frames so far add up to: positions and work items as they stand, of which plan and at which moment."""

from dataclasses import dataclass, field
from datetime import UTC, datetime

from shared.schemas.frame import Frame
from shared.schemas.position import Position, WorkState
from shared.schemas.week import weeks_between

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Touched:
    """Which scopes a frame speaks of; ``everything`` when it may have changed any."""

    everything: bool
    pools: frozenset[str] = frozenset()
    work: frozenset[str] = frozenset()


@dataclass(slots=True)
class Table:
    """A fold over frames. Until the first complete one it is not ``whole`` and says nothing."""

    whole: bool = False
    now: datetime = BEGINNING
    week: str = ""
    plan: str = ""
    positions: dict[str, dict[str, Position]] = field(default_factory=dict)
    """By pool and week."""
    work: dict[str, WorkState] = field(default_factory=dict)

    def apply(self, frame: Frame) -> Touched:
        """Fold a frame in. A complete one replaces the table; one before the first complete is passed over."""
        if not (self.whole or frame.complete):
            return Touched(everything=False)
        everything = frame.complete or frame.plan != self.plan or frame.week != self.week
        if frame.complete:
            self.whole = True
            self.positions, self.work = {}, {}
        self.now, self.week, self.plan = frame.now, frame.week, frame.plan
        for pool, week in frame.gone:
            self.positions.get(pool, {}).pop(week, None)
        for position in frame.positions:
            self.positions.setdefault(position.pool, {})[position.week] = position
        for item in frame.work:
            self.work[item.work] = item
        if everything:
            return Touched(everything=True)
        pools = frozenset({position.pool for position in frame.positions} | {pool for pool, _ in frame.gone})
        return Touched(False, pools, frozenset(item.work for item in frame.work))

    def from_now_on(self, pool: str, weeks: int | None) -> list[Position]:
        """The pool's positions from the present week on, in order, at most of the first so many ``weeks``."""
        known = self.positions.get(pool, {})
        ahead = [known[week] for week in sorted(known) if week >= self.week]
        if weeks is None or not ahead:
            return ahead
        return [position for position in ahead[:weeks] if weeks_between(self.week, position.week) < weeks]
