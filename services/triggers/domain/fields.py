"""What a condition may speak of: the fields of each watched thing, with type, unit and meaning.

This table is what conditions are type-checked against and what the reference in the guide is made from.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from services.triggers.domain.gap import demand, missing
from shared.schemas.position import Position, WorkState
from shared.schemas.week import weeks_between

Value = float | str | None
"""What a field holds in one row; None: nobody knows."""

Thing = TypeVar("Thing")


@dataclass(frozen=True, slots=True)
class Field(Generic[Thing]):
    """One field of a watched thing. ``read`` takes the thing and the present week."""

    name: str
    type: Literal["number", "text"]
    unit: str
    meaning: str
    read: Callable[[Thing, str], Value]


def _number(name: str, unit: str, meaning: str) -> Field[Position]:
    return Field(name, "number", unit, meaning, lambda position, week: getattr(position, name))


_UNIT = "pool's unit"

POSITION: tuple[Field[Position], ...] = (
    _number("utilisation", "share", "(base + booked + expected) / capacity; unknown without capacity"),
    _number("overload", "probability", "chance that demand exceeds capacity"),
    _number("headroom", _UNIT, "capacity less expected demand"),
    _number("backlog", _UNIT, "work carried over at the week's end"),
    _number("delay_weeks", "weeks", "how long the backlog takes to work off"),
    _number("capacity", _UNIT, "what counts: reported, else planned, with decided effects"),
    _number("planned", _UNIT, "capacity by the plan"),
    _number("reported", _UNIT, "capacity by the owner's report; unknown without one"),
    _number("decided", _UNIT, "decided effects on capacity that no report has confirmed"),
    _number("base", _UNIT, "work that no deal explains"),
    _number("booked", _UNIT, "demand of won deals"),
    _number("expected", _UNIT, "demand of open deals, weighted by probability"),
    _number("exposure", _UNIT, "demand of all open deals if they all close"),
    _number("p50", _UNIT, "demand not exceeded in half of the cases"),
    _number("p80", _UNIT, "demand not exceeded in four of five cases"),
    _number("p95", _UNIT, "demand not exceeded in nineteen of twenty cases"),
    Field("demand", "number", _UNIT, "base + booked + expected", lambda position, week: demand(position)),
    Field("missing", "number", _UNIT, "the higher of demand and p80, above capacity", lambda p, week: missing(p)),
    Field(
        "weeks_ahead", "number", "weeks", "from the present week", lambda p, week: float(weeks_between(week, p.week))
    ),
    Field("pool", "text", "", "the pool's name in the plan", lambda position, week: position.pool),
    Field("week", "text", "", "ISO week, such as 2026-W14", lambda position, week: position.week),
)

WORK: tuple[Field[WorkState], ...] = (
    Field("slip_weeks", "number", "weeks", "finish later than due", lambda work, week: work.slip_weeks),
    Field("without_deals", "number", "weeks", "the slip if no deal took effort", lambda work, week: work.without_deals),
    Field("effort", "number", _UNIT, "the item's whole effort", lambda work, week: work.effort),
    Field(
        "weeks_to_due", "number", "weeks", "from the present week", lambda w, week: float(weeks_between(week, w.due))
    ),
    Field("work", "text", "", "the work item's name in the plan", lambda work, week: work.work),
    Field("pool", "text", "", "the pool that owes it", lambda work, week: work.pool),
    Field("due", "text", "", "ISO week", lambda work, week: work.due),
    Field("finish", "text", "", "ISO week; unknown beyond the horizon", lambda work, week: work.finish),
)

POSITION_READERS: Mapping[str, Callable[[Position, str], Value]] = {field.name: field.read for field in POSITION}
WORK_READERS: Mapping[str, Callable[[WorkState, str], Value]] = {field.name: field.read for field in WORK}
