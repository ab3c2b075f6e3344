"""The limits of what may be said, as types that msgspec checks while it decodes.

A figure beyond them is a slip of a sender (cents taken for euros a thousand times over, a date in the year 20260),
and one such figure would drown every sum it goes into. Text for one line has no control characters, so that a deal's
name can neither break a log line nor smuggle a header into an e-mail.
"""

from datetime import UTC, date, datetime
from typing import Annotated

from msgspec import Meta

from services.ingest.domain.change import Unusable
from shared.schemas.week import monday, week_of

ONE_LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]*\Z"
SOME_LINES = r"^[^\x00-\x08\x0b-\x1f\x7f-\x9f]*\Z"

Text = Annotated[str, Meta(max_length=500, pattern=ONE_LINE)]
Name = Annotated[str, Meta(min_length=1, max_length=200, pattern=ONE_LINE)]
Note = Annotated[str, Meta(max_length=4000, pattern=SOME_LINES)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}\Z")]
Money = Annotated[float, Meta(ge=-1e13, le=1e13)]
Quantity = Annotated[float, Meta(ge=0, le=1e9)]
Figure = Annotated[float, Meta(ge=-1e13, le=1e13)]
Share = Annotated[float, Meta(ge=0, le=1)]
Rate = Annotated[float, Meta(gt=0, le=1e9)]
Days = Annotated[float, Meta(ge=0, le=3660)]
Instant = Annotated[datetime, Meta(tz=True)]

FIRST_YEAR, LAST_YEAR = 1990, 2100


def checked_day(day: date | None, name: str) -> date | None:
    """``day`` if a deal could have it."""
    if day is not None and not FIRST_YEAR <= day.year < LAST_YEAR:
        raise Unusable("wrong-shape", f"{name}: {day} is not from {FIRST_YEAR} to {LAST_YEAR - 1}")
    return day


def checked_moment(moment: datetime, name: str) -> datetime:
    """``moment`` in UTC if something could have happened then."""
    if not FIRST_YEAR <= moment.year < LAST_YEAR:
        raise Unusable("wrong-shape", f"{name}: {moment.isoformat()} is not from {FIRST_YEAR} to {LAST_YEAR - 1}")
    return moment.astimezone(UTC)


def checked_week(week: str, name: str) -> str:
    """``week`` if the calendar has it and it is written as the system writes weeks."""
    try:
        written = week_of(monday(week))
    except ValueError:
        written = ""
    if written != week or not FIRST_YEAR <= int(week[:4]) < LAST_YEAR:
        raise Unusable("wrong-shape", f"{name}: {week!r} is not an ISO week such as 2026-W14")
    return week
