"""The weeks a projection computes, and which of them it shows."""

from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

from shared.schemas.plan import Plan
from shared.schemas.week import add_weeks, week_of, weeks_between

LOOK_BACK = 26
"""Weeks before now that are computed as well: what was not done then is today's backlog."""

LONGEST_AHEAD = 520
"""A table that is to begin farther ahead begins then."""

LONGEST_LOOK_BACK = 208
"""A work item or a table that began earlier is taken to have begun then."""


@dataclass(frozen=True)
class Axis:
    """``count`` weeks from ``first`` on; ``now`` is the place of the current one, ``shown`` where the table is.

    ``start`` is the place of the table's first week: what stocks and budgets hold is said as of then. ``today`` is the
    plan's local day.
    """

    first: str
    count: int
    now: int
    start: int
    shown: tuple[int, int]
    today: date

    @cached_property
    def weeks(self) -> tuple[str, ...]:
        """The names of the weeks."""
        return tuple(add_weeks(self.first, number) for number in range(self.count))

    def place(self, week: str) -> int:
        """Where ``week`` lies: below 0 before the axis, ``count`` or more after it."""
        return weeks_between(self.first, week)


def local_day(plan: Plan, now: datetime) -> date:
    """The day of ``now`` in the plan's time zone."""
    return now.astimezone(ZoneInfo(plan.timezone)).date()


def axis_of(plan: Plan, now: datetime) -> Axis:
    """The axis of a projection at ``now``.

    Shown are ``horizon_weeks`` from the plan's ``start`` (absent: from the week of now), of which the weeks before now
    are left out.
    """
    today = local_day(plan, now)
    this_week = week_of(today)
    starts = [add_weeks(this_week, -LOOK_BACK), plan.start or this_week, *(work.start for work in plan.work.values())]
    first = max(min(starts), add_weeks(this_week, -LONGEST_LOOK_BACK))
    place = weeks_between(first, this_week)
    begin = min(max(weeks_between(first, plan.start or this_week), 0), place + LONGEST_AHEAD)
    end = max(begin + plan.horizon_weeks, place + 1)
    return Axis(first, end, place, begin, (min(max(begin, place), end), end), today)
