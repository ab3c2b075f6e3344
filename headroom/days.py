"""Days and times that commands are given: one form each, in years that can be meant."""

import re
from datetime import UTC, date, datetime

import typer

from services.ingest.domain.values import FIRST_YEAR, LAST_YEAR

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(_DAY.pattern + r"([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?")


def any_day(text: str) -> date:
    """The day that an option says; what is none ends the command with 2, naming the form."""
    try:
        return date.fromisoformat(text if _DAY.fullmatch(text) else "")
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no day; a day is written as 2026-04-01") from None


def day(text: str) -> date:
    """The same, of something that happened or may happen: in the years that an event may name."""
    return _likely(any_day(text), text)


def moment(text: str) -> datetime:
    """The time that an option says, in UTC where it names no offset; a day is its beginning."""
    try:
        found = datetime.fromisoformat(text if _TIME.fullmatch(text) else "")
    except ValueError:
        forms = "2026-04-01, 2026-04-01T08:00 (UTC) or 2026-04-01T08:00+02:00"
        raise typer.BadParameter(f"{text!r} is no time; a time is written as {forms}") from None
    _likely(found.date(), text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _likely(found: date, text: str) -> date:
    if not FIRST_YEAR <= found.year < LAST_YEAR:
        raise typer.BadParameter(f"{text} is not from {FIRST_YEAR} to {LAST_YEAR - 1}")
    return found
