"""What time it is, as a value one can pass: wall time, or a virtual time that runs from a chosen day at a chosen speed.

Only edges hold a clock; domain code is given ``now``. Retries of deliveries use wall time whatever the clock says.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

    Every process of one system is given the same three values, so they agree without talking.
    """

    as_of: datetime
    speed: float
    started: datetime

    def now(self) -> datetime:
        passed: timedelta = datetime.now(UTC) - self.started
        return self.as_of + passed * self.speed
