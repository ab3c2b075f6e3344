"""Capacity burn: how fast a quarter's slack is booked away, in a short and a long window, as burn-rate alerts do it.

Spending the slack evenly until the quarter's end is a burn of 1. Two windows together tell a real run (both high) from
one large deal (only the short one) and from an old run that is over (only the long one).
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from services.triggers.domain.table import Table
from shared.schemas.position import Position
from shared.schemas.week import monday

SHORT, LONG = 7, 28
"""Days of the two windows."""
ALL_GONE = 999.0
"""Stands for a burn of what was not there any more."""


@dataclass(frozen=True, slots=True)
class Burn:
    """Times the even pace; None while there is not a week of history in this quarter."""

    short: float | None
    long: float | None


def quarter_end(day: date) -> date:
    """The first day after the calendar quarter of ``day``."""
    month = (day.month - 1) // 3 * 3 + 4
    return date(day.year + month // 13, (month - 1) % 12 + 1, 1)


def slack_by_week(positions: Iterable[Position], day: date) -> dict[str, float]:
    """Capacity less base and booked of each week from the present one to the quarter's end; below zero: overbooked."""
    end = quarter_end(day)
    return {
        position.week: position.capacity - position.base - position.booked
        for position in positions
        if day - timedelta(days=6) <= monday(position.week) < end
    }


def burn(now: Mapping[str, float], then: Mapping[str, float], *, days: int, left: int) -> float | None:
    """Slack spent between ``then`` and ``now`` in the weeks still to come, against spending it evenly.

    ``days`` lie between the two; ``left`` were left of the quarter at ``then``. None when they share no week.
    """
    weeks = now.keys() & then.keys()
    if not weeks or days <= 0 or left <= 0:
        return None
    spent = sum(then[week] - now[week] for week in weeks)
    had = sum(then[week] for week in weeks)
    if had <= 0:
        return ALL_GONE if spent > 0 else 0.0
    return min(spent / (had * days / left), ALL_GONE)


class Slacks:
    """What was left at the end of each of the last days, of the pools somebody watches; a fold over frames."""

    def __init__(self) -> None:
        self._days: deque[tuple[date, dict[str, dict[str, float]]]] = deque(maxlen=LONG + 1)

    def close(self, table: Table, pools: Iterable[str]) -> None:
        """The table's day is over: keep what is left."""
        day = table.day
        self._days.append((day, {pool: slack_by_week(table.from_now_on(pool, None), day) for pool in pools}))

    @property
    def oldest(self) -> date | None:
        """The oldest day of which anything is kept."""
        return next((day for day, slack in self._days if slack), None)

    def left(self, table: Table, pool: str) -> float | None:
        """The slack of the quarter's weeks still to come; None when nothing is known of them."""
        present = slack_by_week(table.from_now_on(pool, None), table.day)
        return sum(present.values()) if present else None

    def burn(self, table: Table, pool: str) -> Burn:
        """The burn of a pool now."""
        day, present = table.day, slack_by_week(table.from_now_on(pool, None), table.day)
        known = [(then, slack[pool]) for then, slack in self._days if pool in slack and _same_quarter(then, day)]
        return Burn(_over(SHORT, known, present, day), _over(LONG, known, present, day))


def _over(
    window: int, known: list[tuple[date, dict[str, float]]], present: Mapping[str, float], day: date
) -> float | None:
    """Over the last ``window`` days; the long one over fewer when fewer are known, but never less than the short."""
    far = [(then, slack) for then, slack in known if (day - then).days >= SHORT]
    if not far:
        return None
    then, slack = next(((t, s) for t, s in reversed(far) if (day - t).days >= window), far[0])
    if window == SHORT and (day - then).days > 2 * SHORT:
        return None
    return burn(present, slack, days=(day - then).days, left=(quarter_end(then) - then).days)


def _same_quarter(one: date, other: date) -> bool:
    return quarter_end(one) == quarter_end(other)
