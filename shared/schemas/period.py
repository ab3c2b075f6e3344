"""Periods as the whole system writes them: calendar quarters such as ``2026-Q2``. They sort as text."""

from datetime import date, timedelta
from functools import lru_cache
from typing import Final

PATTERN: Final = r"^(19[7-9][0-9]|2[01][0-9]{2})-Q[1-4]$"
"""From 1970 to 2199: close dates outside of these years count as none."""


@lru_cache(maxsize=65536)
def period_of(day: date) -> str:
    """The quarter that ``day`` is in."""
    return f"{day.year}-Q{(day.month + 2) // 3}"


@lru_cache(maxsize=4096)
def first_day(period: str) -> date:
    """The first day of a quarter; raises ValueError when ``period`` is not one."""
    year, _, number = period.partition("-Q")
    return date(int(year), 3 * int(number) - 2, 1)


@lru_cache(maxsize=4096)
def next_period(period: str) -> str:
    """The quarter after."""
    return period_of(first_day(period) + timedelta(days=93))


@lru_cache(maxsize=4096)
def last_day(period: str) -> date:
    """The last day of a quarter."""
    return first_day(next_period(period)) - timedelta(days=1)
