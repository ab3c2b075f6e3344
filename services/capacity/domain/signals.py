"""Signals as readers of frames see them: by kind and pool, what came in the last week and what in the weeks before.

Only whole days (UTC) are kept, as many as the windows need, so memory goes with kinds and pools, not with signals. A
signal that covers several days is spread over them evenly; of kinds that come so, only days that something covers say
anything, so a figure that comes once a week does not seem to fade until the next one. A signal already seen, or from
before the windows, changes nothing.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

from shared.schemas.frame import SignalState
from shared.schemas.signal import Signal

RECENT: Final = 7
BEFORE: Final = 28
"""Days of the two windows; the second ends where the first begins."""
KEPT: Final = RECENT + BEFORE + 7

_DAY: Final = timedelta(days=1)
_LEAST_BEFORE: Final = 7
"""Days of history below which nothing is said of the time before."""

Key = tuple[str, str | None]


@dataclass(slots=True)
class _Day:
    spread: float = 0.0
    values: float = 0.0
    count: int = 0
    covered: bool = False


@dataclass(slots=True)
class _Kind:
    newest: datetime
    first: date
    covers: bool = False
    days: dict[date, _Day] = field(default_factory=lambda: defaultdict(_Day))


class Signals:
    """Folds signals in and says how each kind stands."""

    def __init__(self) -> None:
        self._kinds: dict[Key, _Kind] = {}
        self._seen: dict[str, date] = {}
        self._last = date.min

    def put(self, signal: Signal) -> bool:
        """Take a signal in; answers whether it counts."""
        time = signal.time.astimezone(UTC)
        day = time.date()
        if signal.id in self._seen or (self._last > date.min and day <= self._last - KEPT * _DAY):
            return False
        self._seen[signal.id] = day
        if day > self._last:
            self._last = day
            self._forget()
        for pool in {signal.pool, None}:
            self._add((signal.kind, pool), signal, time)
        return True

    def states(self, day: date) -> list[SignalState]:
        """Every kind as it stands on ``day``, by kind and pool; of everything (no pool) first."""
        found = [_state(key, kind, day) for key, kind in self._kinds.items() if kind.first <= day]
        return sorted(found, key=lambda state: (state.kind, state.pool or ""))

    def _add(self, key: Key, signal: Signal, time: datetime) -> None:
        day = time.date()
        covered = max(1, round(signal.period_days))
        first = day - (covered - 1) * _DAY
        kind = self._kinds.get(key)
        if kind is None:
            kind = self._kinds[key] = _Kind(time, first)
        kind.newest, kind.first = max(kind.newest, time), min(kind.first, first)
        kind.covers |= signal.period_days >= 1
        for number in range(covered):
            of = kind.days[day - number * _DAY]
            of.spread += signal.value / covered
            of.covered |= signal.period_days >= 1
        kind.days[day].values += signal.value
        kind.days[day].count += 1

    def _forget(self) -> None:
        """Let go of what no window reaches any more."""
        oldest = self._last - KEPT * _DAY
        self._seen = {id: day for id, day in self._seen.items() if day > oldest}
        for kind in self._kinds.values():
            for day in [day for day in kind.days if day <= oldest]:
                del kind.days[day]


def _state(key: Key, kind: _Kind, day: date) -> SignalState:
    start = day - (RECENT - 1) * _DAY
    recent = [kind.days[d] for d in _days(start, RECENT) if d in kind.days]
    before = [kind.days[d] for d in _days(start - BEFORE * _DAY, BEFORE) if d in kind.days]
    known = min(BEFORE, (start - kind.first).days)
    return SignalState(
        kind=key[0],
        pool=key[1],
        newest=kind.newest,
        per_week=_weekly(kind, recent, RECENT) or 0.0,
        before=_weekly(kind, before, known) if known >= _LEAST_BEFORE else None,
        mean=_mean(recent),
        mean_before=_mean(before) if known >= _LEAST_BEFORE else None,
    )


def _days(first: date, count: int) -> Iterable[date]:
    return (first + number * _DAY for number in range(count))


def _weekly(kind: _Kind, days: list[_Day], known: int) -> float | None:
    """The rate of a week over ``known`` days, or over those that something covers."""
    over = sum(one.covered for one in days) if kind.covers else known
    return sum(one.spread for one in days) / over * 7 if over else None


def _mean(days: list[_Day]) -> float | None:
    count = sum(one.count for one in days)
    return sum(one.values for one in days) / count if count else None
