"""ISO weeks as the whole system writes them: ``2026-W14``. They sort as text within the years of a plan."""

from datetime import date, timedelta
from functools import lru_cache


@lru_cache(maxsize=4096)
def week_of(day: date) -> str:
    """The ISO week that ``day`` is in."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


@lru_cache(maxsize=4096)
def monday(week: str) -> date:
    """The first day of an ISO week; raises ValueError when ``week`` is not one."""
    year, _, number = week.partition("-W")
    return date.fromisocalendar(int(year), int(number), 1)


@lru_cache(maxsize=4096)
def add_weeks(week: str, weeks: int) -> str:
    """The ISO week so many weeks later (or earlier, when negative)."""
    return week_of(monday(week) + timedelta(weeks=weeks))


@lru_cache(maxsize=65536)
def weeks_between(first: str, last: str) -> int:
    """How many weeks ``last`` is after ``first``; negative when before."""
    return (monday(last) - monday(first)).days // 7
