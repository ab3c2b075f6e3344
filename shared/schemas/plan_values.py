"""The scalars of a plan file: ISO weeks, days, durations, shares, and the strict model all its parts are."""

import re
from datetime import date, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from shared.schemas.week import monday

LONGEST_CONDITION = 1000
"""Characters of a trigger's condition."""

_UNITS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
DURATION = r"^(?=[0-9])([0-9]{1,6}w)?([0-9]{1,6}d)?([0-9]{1,6}h)?([0-9]{1,6}m)?([0-9]{1,6}s)?$"
_DURATION = re.compile(DURATION)
_WEEK = re.compile(r"^[0-9]{4}-W[0-9]{2}$")
_DAY = re.compile(r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")


class Part(BaseModel):
    """A part of a plan: immutable, no unknown keys, no conversions between types, no NaN or infinity."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


def parse_duration(text: str) -> timedelta:
    """``4h``, ``2d``, ``1d12h``; raises ValueError for anything else."""
    if not _DURATION.match(text):
        raise ValueError("a duration is a whole number with a unit w, d, h, m or s, such as 4h, 2d or 1d12h")
    return timedelta(seconds=sum(int(n) * _UNITS[unit] for n, unit in re.findall(r"([0-9]+)([wdhms])", text)))


def format_duration(duration: timedelta) -> str:
    """The shortest text that ``parse_duration`` reads as this; whole seconds."""
    rest, parts = int(duration.total_seconds()), []
    for unit, seconds in _UNITS.items():
        if unit != "w" and rest >= seconds:
            parts.append(f"{rest // seconds}{unit}")
            rest %= seconds
    return "".join(parts) or "0s"


def _duration(value: Any) -> Any:
    if isinstance(value, timedelta):
        return value
    if not isinstance(value, str):
        raise ValueError("a duration is text with a unit, such as 4h, 2d or 1d12h")
    return parse_duration(value)


PLANNABLE_YEARS = range(1970, 2200)
"""Days and weeks in other years are mistakes."""


def _day(value: Any) -> Any:
    if isinstance(value, str):
        if not _DAY.match(value):
            raise ValueError("a day is written as 2026-04-01")
        value = date.fromisoformat(value)
    if isinstance(value, date):
        _plannable(value.year)
    return value


def _plannable(year: int) -> None:
    if year not in PLANNABLE_YEARS:
        raise ValueError(f"plans are made for the years 1970 to 2199, not for {year}")


def _week(value: str) -> str:
    if not _WEEK.match(value):
        raise ValueError("a week is an ISO week, written as 2026-W14")
    try:
        monday(value)
    except ValueError:
        raise ValueError(f"there is no ISO week {value}") from None
    _plannable(int(value[:4]))
    return value


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise ValueError("a time zone is a name of the IANA database, such as Europe/Berlin or UTC") from None
    return value


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": DURATION, "examples": ["4h", "2d", "120d"]}),
]
"""A length of time, written ``4h``, ``2d``, ``120d``."""

Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
"""A calendar day, written ``2026-04-01``."""

Week = Annotated[str, AfterValidator(_week), WithJsonSchema({"type": "string", "pattern": _WEEK.pattern})]
"""An ISO week in the plan's time zone, written ``2026-W14``."""

TimeZone = Annotated[str, AfterValidator(_timezone)]
"""A name of the IANA time zone database."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""What the plan calls a pool, person, work item, milestone or trigger; it appears in keys and addresses."""

Label = Annotated[str, Field(min_length=1, max_length=200)]
"""What a CRM calls a stage or product, character for character."""

Share = Annotated[float, Field(ge=0, le=1)]
"""A probability or a part of a whole, 0 … 1."""

Amount = Annotated[float, Field(ge=0)]
"""Effort, units or money, not negative."""

Positive = Annotated[float, Field(gt=0)]
"""Effort, units or money, more than nothing."""

Weeks = Annotated[int, Field(ge=0, le=520)]
"""A number of whole weeks."""
