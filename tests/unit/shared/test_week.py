"""ISO weeks as text: conversions agree with the calendar and with each other."""

from datetime import date, timedelta
from re import fullmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schemas.period import PATTERN, first_day, last_day, next_period, period_of
from shared.schemas.week import add_weeks, monday, week_of, weeks_between

days = st.dates(date(2000, 1, 1), date(2080, 12, 31))


@pytest.mark.parametrize(
    ("day", "week"),
    [
        (date(2026, 1, 1), "2026-W01"),
        (date(2027, 1, 1), "2026-W53"),
        (date(2024, 12, 30), "2025-W01"),
        (date(2026, 4, 5), "2026-W14"),
        (date(2026, 4, 6), "2026-W15"),
    ],
)
def test_the_week_of_a_day(day: date, week: str) -> None:
    assert week_of(day) == week


@given(days)
def test_monday_is_the_first_day_of_its_week(day: date) -> None:
    first = monday(week_of(day))
    assert first.weekday() == 0
    assert first <= day < first + timedelta(days=7)


@given(days, st.integers(-500, 500))
def test_adding_weeks_and_counting_them_agree(day: date, weeks: int) -> None:
    week = week_of(day)
    assert weeks_between(week, add_weeks(week, weeks)) == weeks


@given(days, days)
def test_weeks_sort_as_text(one: date, other: date) -> None:
    assert (week_of(one) < week_of(other)) == (monday(week_of(one)) < monday(week_of(other)))


@pytest.mark.parametrize("text", ["2026-W54", "2025-W53", "2026", "W12", "2026-14", ""])
def test_what_is_no_week_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        monday(text)


@pytest.mark.parametrize(
    ("day", "period", "first", "last"),
    [
        (date(2026, 1, 1), "2026-Q1", date(2026, 1, 1), date(2026, 3, 31)),
        (date(2026, 6, 30), "2026-Q2", date(2026, 4, 1), date(2026, 6, 30)),
        (date(2026, 12, 31), "2026-Q4", date(2026, 10, 1), date(2026, 12, 31)),
        (date(2199, 12, 31), "2199-Q4", date(2199, 10, 1), date(2199, 12, 31)),
    ],
)
def test_the_quarter_of_a_day(day: date, period: str, first: date, last: date) -> None:
    assert period_of(day) == period
    assert (first_day(period), last_day(period)) == (first, last)
    assert fullmatch(PATTERN, period)


@given(st.dates(date(1970, 1, 1), date(2199, 12, 31)))
def test_quarters_follow_each_other_and_sort_as_text(day: date) -> None:
    period = period_of(day)
    assert first_day(period) <= day <= last_day(period)
    assert period_of(last_day(period) + timedelta(days=1)) == next_period(period) > period
