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

    def until(self, moment: datetime) -> timedelta:
        """Wall time from ``started`` until it is ``moment``, which comes while the clock does not stand."""
        at, speed, passed = self.as_of, self.speed, timedelta(0)
        for begins, next_speed in self.pace:
            if moment <= begins:
                break
            passed, at, speed = passed + (begins - at) / speed, begins, next_speed
        return passed + (moment - at) / speed if moment > at else passed


@dataclass(slots=True)
class HeldClock:
    """A virtual clock that stands at ``as_of`` until ``file`` says when it started (wall time), and so lets it run.

    For systems that take a while to come up: they begin to live at ``as_of``, all at the same moment. The file may also
    name a moment beyond which time does not pass: whoever plays a story at a high speed allows it bit by bit, as the
    system follows. Every process reads the same file, so they agree.
    """

    as_of: datetime
    speed: float
    file: Path
    pace: tuple[tuple[datetime, float], ...] = ()
    _running: VirtualClock | None = field(default=None, init=False)
    _limit: datetime | None = field(default=None, init=False)
    _seen: tuple[int, int] | None = field(default=None, init=False)

    def now(self) -> datetime:
        self._read()
        if self._running is None:
            return self.as_of
        now = self._running.now()
        return now if self._limit is None else min(now, self._limit)

    def start(self, at: datetime, limit: datetime | None = None) -> None:
        """Let the clocks of all processes that watch the file run as from wall time ``at``, at most to ``limit``."""
        lines = [moment.isoformat() for moment in (at, limit) if moment is not None]
        draft = self.file.with_suffix(".draft")
        draft.write_text("\n".join(lines))
        draft.replace(self.file)

    def allow(self, limit: datetime) -> None:
        """Let time pass on to ``limit``; where it had to stand it goes on from there. The clock must be started."""
        now = self.now()
        assert self._running is not None, "a clock is started before more of its time is allowed"
        started = self._running.started
        if self._limit is not None and now >= self._limit:
            started = datetime.now(UTC) - self._running.until(now)
        self.start(started, max(limit, now))

    def _read(self) -> None:
        if self._running is not None and self._limit is None:
            return  # it runs freely, for good
        try:
            stat = self.file.stat()
            if self._seen == (stat.st_ino, stat.st_mtime_ns):
                return
            started, *limits = [datetime.fromisoformat(line) for line in self.file.read_text().splitlines()]
        except FileNotFoundError:
            return
        self._seen = stat.st_ino, stat.st_mtime_ns
        self._running = VirtualClock(self.as_of, self.speed, started, self.pace)
        self._limit = limits[0] if limits else None
