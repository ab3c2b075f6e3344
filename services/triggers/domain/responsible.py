"""Until when something can still be done: the last week in which hiring, or holding deals back, closes a gap."""

import math
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from shared.schemas.plan_pools import Hire
from shared.schemas.week import add_weeks, monday, weeks_between

_ROUNDING = 1e-9


def people_needed(gap: Mapping[str, float], hire: Hire) -> int:
    """How many people fill the largest week of ``gap`` (effort by week) once they are at their best."""
    best = hire.hours * max(hire.ramp)
    return max(1, math.ceil(max(gap.values(), default=0.0) / best - _ROUNDING)) if best > 0 else 1


def last_hire_week(gap: Mapping[str, float], hire: Hire, people: int) -> str | None:
    """The latest week d with people · hours · ramp(w - d - lead) ≥ gap(w) in every week w of the gap, or None.

    ``ramp`` is by week since the first day; its last value stays. Somebody who leaves again (attrition) is not counted.
    """
    open_weeks = sorted(week for week, effort in gap.items() if effort > _ROUNDING)
    if not open_weeks:
        return None
    latest = add_weeks(open_weeks[0], -hire.lead_weeks)
    for earlier in range(len(hire.ramp)):
        week = add_weeks(latest, -earlier)
        if all(people * hire.hours * _ramp(hire, week, w) >= gap[w] - _ROUNDING for w in open_weeks):
            return week
    return None


def _ramp(hire: Hire, decided: str, week: str) -> float:
    since_first_day = weeks_between(decided, week) - hire.lead_weeks
    return hire.ramp[min(since_first_day, len(hire.ramp) - 1)]


def last_stop_week(missing: float, asked: Mapping[str, float]) -> str | None:
    """The latest week from which holding back all that deals ask (by week) frees ``missing``; None: it cannot."""
    freed = 0.0
    for week in sorted(asked, reverse=True):
        freed += asked[week]
        if freed >= missing - _ROUNDING:
            return week
    return None


def end_of(week: str, timezone: str) -> datetime:
    """The moment an ISO week ends in a time zone, in UTC."""
    return datetime.combine(monday(week) + timedelta(weeks=1), time(), ZoneInfo(timezone)).astimezone(UTC)
