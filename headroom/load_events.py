"""Rows to dated events: what each row said on which day, with nothing in an event that was not known on its day.

Pure: the same rows, mapping and day give the same events with the same ids and times, so that sending them again
changes nothing.
"""

import math
import re
from bisect import insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

from headroom.load_mapping import DATES, FIRST_DAY, NUMBERS, OF_THE_LINE, Cycle, DatedEvent, Mapping, Value, When
from headroom.load_rows import Rejected, Row
from shared.schemas.plan_words import meant

TYPE = "com.headroom.deal.changed"
_NUMBER = re.compile(r"^[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?$")
_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True, slots=True)
class Event:
    """One CloudEvent: the deal it changes, the row's line it came from, its day, and its JSON."""

    deal: str
    line: int
    day: date
    body: dict[str, Any]


@dataclass(slots=True)
class Loadable:
    """What a file comes to. Every row is in exactly one of ``sent``, ``later`` and ``rejected``.

    ``events`` are sorted by day; ``later`` counts the rows of which nothing was known yet, ``held_back`` the events
    that lie after the day, ``by_event`` those sent by their name in the mapping.
    """

    events: list[Event] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    rows: int = 0
    sent: int = 0
    later: int = 0
    held_back: int = 0
    by_event: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Said:
    """One event of one row before its day is settled: None stands for the file's first day."""

    row: Row
    index: int
    event: DatedEvent
    day: date | None


class _Unusable(ValueError):
    """Why a row cannot be loaded."""


def loadable(rows: Iterable[Row | Rejected], mapping: Mapping, as_of: date | None) -> Loadable:
    """The events of ``rows`` up to the day ``as_of`` (None: all), and the rows that say none, with the reason."""
    found = Loadable(by_event={event.name: 0 for event in mapping.events})
    said: list[_Said] = []
    cycles: list[tuple[date, int]] = []
    for row in rows:
        found.rows += 1
        if isinstance(row, Rejected):
            found.rejected.append(row)
            continue
        try:
            of_row = list(_said(row, mapping))
            cycle = _cycle(row, mapping)
            _check_values(row, of_row, mapping)
        except _Unusable as error:
            found.rejected.append(Rejected(row.line, row.id, str(error)))
            continue
        said += of_row
        if cycle:
            cycles.append(cycle)
    _date(found, said, cycles, mapping, as_of)
    return found


def _said(row: Row, mapping: Mapping) -> Iterator[_Said]:
    """The events that a row says, none left out: a filled day that no event takes is a contradiction."""
    taken = {event.on for event in mapping.events if _applies(event.when, row)}
    if not taken:
        raise _Unusable(f"no event of the mapping takes {_strange(row, mapping)}")
    for index, event in enumerate(mapping.events):
        applies = _applies(event.when, row)
        if event.on == FIRST_DAY:
            if applies:
                yield _Said(row, index, event, None)
            continue
        text = row.cells[event.on]
        if applies and not text:
            raise _Unusable(f"{event.on} is empty{_because(event.when, row)}")
        if text and event.on not in taken:
            raise _Unusable(f"{event.on} is {text}, which does not fit {_state(event.when, row)}")
        if applies:
            yield _Said(row, index, event, _day(event.on, text, mapping))


def _date(
    found: Loadable, said: list[_Said], cycles: list[tuple[date, int]], mapping: Mapping, as_of: date | None
) -> None:
    """Settle first days, keep what is known by ``as_of``, and make the events in the order of their days."""
    first = min((s.day for s in said if s.day is not None), default=as_of or date(1990, 1, 1))
    dated = sorted(((s.day or first, s) for s in said), key=lambda pair: (pair[0], pair[1].row.line, pair[1].index))
    known = [(day, s) for day, s in dated if as_of is None or day <= as_of]
    observed = _Observed(mapping.cycle, cycles)
    for day, s in known:
        found.events.append(Event(s.row.id, s.row.line, day, _cloudevent(s, day, mapping, observed)))
        found.by_event[s.event.name] += 1
    found.held_back = len(dated) - len(known)
    found.sent = len({s.row.line for _, s in known})
    found.later = len({s.row.line for s in said}) - found.sent


class _Observed:
    """The cycle as it was known on a day; asked in the order of days, it looks at each row once."""

    def __init__(self, cycle: Cycle | None, cycles: list[tuple[date, int]]) -> None:
        self._cycle = cycle
        self._coming = sorted(cycles, reverse=True)
        self._lengths: list[int] = []

    def on(self, day: date) -> timedelta:
        """The median length of the cycles that ended before ``day``, a length that did occur; else the assumed one."""
        assert self._cycle is not None, "a mapping with cycle_after has a cycle"
        while self._coming and self._coming[-1][0] < day:
            insort(self._lengths, self._coming.pop()[1])
        if len(self._lengths) < self._cycle.at_least:
            return self._cycle.until_then
        return timedelta(days=self._lengths[(len(self._lengths) - 1) // 2])


def _cloudevent(said: _Said, day: date, mapping: Mapping, observed: _Observed) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{said.row.id}/{said.event.name}",
        "source": mapping.source,
        "type": TYPE,
        "subject": said.row.id,
        "time": datetime.combine(day, time(), UTC).isoformat().replace("+00:00", "Z"),
        "sequence": str(said.index),
        "datacontenttype": "application/json",
        "data": _data(said, day, mapping, observed),
    }


def _data(said: _Said, day: date, mapping: Mapping, observed: _Observed) -> dict[str, Any]:
    values: dict[str, Any] = {str(name): value for name, value in mapping.defaults.items()}
    for name, source in mapping.said_with(said.event).items():
        value = _value(name, source, said.row, mapping)
        if isinstance(value, _After):
            value = (value.day + observed.on(day)).isoformat()
        if value is not None:
            values[name] = value
    line = {name: values.pop(name) for name in OF_THE_LINE if name in values}
    return values | ({"lines": [line]} if "product" in line else {})


@dataclass(frozen=True, slots=True)
class _After:
    """A day to which the cycle is added."""

    day: date


def _value(name: str, source: Value, row: Row, mapping: Mapping) -> Any:
    """What a row says of a field: JSON, or the day after which a cycle ends; None when it says nothing."""
    if not _applies(source.when, row):
        return None
    if source.value is not None:
        return source.value
    column = source.column or source.cycle_after or ""
    text = row.cells[column]
    if not text:
        return None
    if source.cycle_after:
        return _After(_day(column, text, mapping))
    if name in DATES:
        return _day(column, text, mapping).isoformat()
    if name in NUMBERS:
        return _number(column, text)
    if name == "custom":
        return _truth(column, text)
    return text


def _check_values(row: Row, said: list[_Said], mapping: Mapping) -> None:
    """Every value of every event can be read, before any of them is sent."""
    for one in said:
        for name, source in mapping.said_with(one.event).items():
            _value(name, source, row, mapping)


def _cycle(row: Row, mapping: Mapping) -> tuple[date, int] | None:
    """When the row's cycle ended, and after how many days; None when it has not."""
    cycle = mapping.cycle
    if cycle is None or not row.cells[cycle.from_] or not row.cells[cycle.to]:
        return None
    began, ended = (_day(column, row.cells[column], mapping) for column in (cycle.from_, cycle.to))
    if ended < began:
        raise _Unusable(f"{cycle.to} {ended} is before {cycle.from_} {began}")
    return ended, (ended - began).days


def _applies(when: When, row: Row) -> bool:
    return all(row.cells[column] in values for column, values in when.items())


def _state(when: When, row: Row) -> str:
    return ", ".join(f"{column} {row.cells[column]!r}" for column in when) or "this row"


def _strange(row: Row, mapping: Mapping) -> str:
    """What of a row that no event takes is not known, and what is."""
    for column in dict.fromkeys(column for event in mapping.events for column in event.when):
        text = row.cells[column]
        known = dict.fromkeys(value for event in mapping.events for value in event.when.get(column, ()))
        if text not in known:
            return f"{column} {text!r}{meant(text, known)}"
    return _state(mapping.events[0].when, row)


def _because(when: When, row: Row) -> str:
    return f" although {_state(when, row)}" if when else ""


@lru_cache(maxsize=65536)
def _parsed(text: str, date_format: str) -> date:
    return datetime.strptime(text, date_format).replace(tzinfo=UTC).date()


def _day(column: str, text: str, mapping: Mapping) -> date:
    try:
        day = _parsed(text, mapping.date_format)
    except ValueError:
        raise _Unusable(f"{column} is {text[:40]!r}, not a day like {mapping.date_format}") from None
    if not 1990 <= day.year < 2100:
        raise _Unusable(f"{column} is {day}, not a day from 1990 to 2099")
    return day


def _number(column: str, text: str) -> float:
    number = float(text) if _NUMBER.match(text) else math.nan
    if not math.isfinite(number):
        raise _Unusable(f"{column} is {text[:40]!r}, not a number")
    return number


def _truth(column: str, text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise _Unusable(f"{column} is {text[:40]!r}, not true or false") from None
