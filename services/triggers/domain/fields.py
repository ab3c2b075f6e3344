"""How each field that a condition may speak of is read off what is watched; the fields' table is ``plan_fields``.

A reader takes the thing and the table. What no reader is named for is the thing's attribute of that name.
"""

from collections.abc import Callable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from services.triggers.domain.gap import demand, missing
from services.triggers.domain.table import Table
from shared.schemas.plan_conditions import Value
from shared.schemas.plan_fields import WATCHED
from shared.schemas.week import weeks_between

Reader = Callable[[Any, Table], Value]


def _attribute(name: str) -> Reader:
    read = attrgetter(name)
    return lambda thing, table: read(thing)


_DERIVED: Mapping[tuple[str, str], Reader] = {
    ("position", "demand"): lambda position, table: demand(position),
    ("position", "missing"): lambda position, table: missing(position),
    ("position", "weeks_ahead"): lambda position, table: float(weeks_between(table.week, position.week)),
    ("work", "weeks_to_due"): lambda work, table: float(weeks_between(table.week, work.due)),
}

_IN_STATE = {
    "signal": ("kind", "per_week", "before", "mean", "mean_before"),
    "milestone": ("milestone", "product", "won", "expected", "quantity", "planned"),
    "forecast": (
        "bookings",
        "closed",
        "expected",
        "bookings_p20",
        "margin_p20",
        "margin_change",
        "overload_cost",
        "discount",
        "open_discount",
        "discount_before",
        "discount_drift",
        "discount_cusum",
        "break_even",
        "revenue_at_risk",
        "nrr",
        "period",
        "segment",
    ),
}
"""What the frame's own state of the thing says as it is."""


def _reader(watch: str, name: str) -> Reader:
    if derived := _DERIVED.get((watch, name)):
        return derived
    return _attribute(f"state.{name}" if name in _IN_STATE.get(watch, ()) else name)


READERS: Mapping[str, Mapping[str, Reader]] = {
    watch: {field.name: _reader(watch, field.name) for field in watched.fields} for watch, watched in WATCHED.items()
}
"""By what is watched and field."""


class Row(Mapping[str, Value]):
    """A thing's fields, read when asked for."""

    __slots__ = ("_readers", "_table", "_thing")

    def __init__(self, watch: str, thing: Any, table: Table) -> None:
        self._readers, self._thing, self._table = READERS[watch], thing, table

    def __getitem__(self, name: str) -> Value:
        return self._readers[name](self._thing, self._table)

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)
