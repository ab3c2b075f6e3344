"""What time it is, as a value one can pass: wall time, or a virtual time that runs from a chosen day at a chosen speed.

Only edges hold a clock; domain code is given ``now``. Retries of deliveries use wall time whatever the clock says.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """Answers what time it is for the system."""

    def now(self) -> datetime:
        """The present moment, timezone-aware in UTC."""
        ...


@dataclass(frozen=True, slots=True)
class WallClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class VirtualClock:
    """Time that stood at ``as_of`` when the wall clock showed ``started`` and passes ``speed`` times as fast.

    ``pace`` changes the speed from given moments of the virtual time on, earliest first. Every process of one system
    is given the same values, so they agree without talking.
    """

    as_of: datetime
    speed: float
    started: datetime
    pace: tuple[tuple[datetime, float], ...] = ()

    def now(self) -> datetime:
        passed: timedelta = datetime.now(UTC) - self.started
        at, speed = self.as_of, self.speed
        for begins, next_speed in self.pace:
            stretch = (begins - at) / speed if speed else None
            if stretch is None or passed <= stretch:
                break
            passed, at, speed = passed - stretch, begins, next_speed
        return at + passed * speed


@dataclass(slots=True)
class HeldClock:
    """A virtual clock that stands at ``as_of`` until ``file`` says when it started (ISO 8601, wall time).

    For systems that take a while to come up: they begin to live at ``as_of``, all at the same moment.
    """

    as_of: datetime
    speed: float
    file: Path
    pace: tuple[tuple[datetime, float], ...] = ()
    _running: VirtualClock | None = field(default=None, init=False)

    def now(self) -> datetime:
        if self._running is None:
            try:
                started = datetime.fromisoformat(self.file.read_text())
            except FileNotFoundError:
                return self.as_of
            self._running = VirtualClock(self.as_of, self.speed, started, self.pace)
        return self._running.now()

    def start(self, at: datetime) -> None:
        """Let the clocks of all processes that watch the file run, as from wall time ``at``."""
        draft = self.file.with_suffix(".draft")
        draft.write_text(at.isoformat())
        draft.replace(self.file)
