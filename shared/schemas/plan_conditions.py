"""Conditions of triggers: comparisons ``field OP number`` joined by ``and``, over the fields of what is watched.

The smallest language that the spine needs, with the checks a plan deserves: fields that do not exist, conditions that
never hold, and a ``clear`` that holds while ``when`` still does.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Operator = Literal["<", "<=", ">", ">=", "=="]

WATCHED: dict[str, tuple[str, ...]] = {
    "position": (
        "utilisation", "overload", "headroom", "backlog", "delay_weeks", "capacity", "planned", "reported", "decided",
        "base", "booked", "expected", "exposure", "p50", "p80", "p95", "demand", "missing", "weeks_ahead",
    ),
    "work": ("slip_weeks", "without_deals", "effort", "weeks_to_due"),
}  # fmt: skip
"""What may be watched, and the numbers a condition may name: of ``Position`` and ``WorkState``, or derived."""

_BOUNDS = {"overload": (0.0, 1.0)}
_SIGNED = frozenset({"headroom", "decided", "weeks_ahead", "weeks_to_due"})
_COMPARISON = re.compile(
    r"\s*(?P<field>[A-Za-z_][A-Za-z0-9_.]*)\s*(?P<op><=|>=|==|<|>)\s*(?P<number>[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]{1,3})?)\s*"
)
_AND = re.compile(r"(and|&&)(?=\s)")


class ConditionError(ValueError):
    """What is wrong in a condition, and at which character (from 0)."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset, self.why = offset, why


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field OP number``."""

    field: str
    operator: Operator
    number: float

    def holds(self, value: float) -> bool:
        """Whether it is true of this value."""
        match self.operator:
            case "<":
                return value < self.number
            case "<=":
                return value <= self.number
            case ">":
                return value > self.number
            case ">=":
                return value >= self.number
            case "==":
                return value == self.number

    @property
    def ceiling(self) -> tuple[float, bool]:
        """The largest value it allows, and whether that value itself is allowed."""
        return (math.inf, False) if self.operator in (">", ">=") else (self.number, self.operator != "<")

    @property
    def floor(self) -> tuple[float, bool]:
        """The smallest value it allows, and whether that value itself is allowed."""
        return (-math.inf, False) if self.operator in ("<", "<=") else (self.number, self.operator != ">")


def parse_condition(text: str, watch: str) -> tuple[Comparison, ...]:
    """The comparisons in ``text``, all of which must hold; raises ConditionError."""
    comparisons, at = [], 0
    while True:
        comparison, at = _one(text, at, WATCHED[watch])
        comparisons.append(comparison)
        if at == len(text):
            return tuple(comparisons)
        joined = _AND.match(text, at)
        if not joined:
            raise ConditionError(at, f"only 'and' may follow a comparison here, not {text[at : at + 20]!r}")
        at = joined.end()


def _one(text: str, at: int, fields: tuple[str, ...]) -> tuple[Comparison, int]:
    found = _COMPARISON.match(text, at)
    if not found:
        start = at + len(text[at:]) - len(text[at:].lstrip())
        raise ConditionError(start, "a comparison is needed here: a field, one of < <= > >= ==, and a number")
    name = found["field"]
    if name not in fields:
        close = get_close_matches(name, fields, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ConditionError(found.start("field"), f"there is no field {name!r} here{hint} Fields: {', '.join(fields)}")
    number = float(found["number"])
    if math.isinf(number):
        raise ConditionError(found.start("number"), "the number is too large")
    operator: Operator = found["op"]  # type: ignore[assignment]  # the pattern allows no others
    return Comparison(name, operator, number), found.end()


def can_hold(comparisons: Iterable[Comparison]) -> bool:
    """Whether some values satisfy all of them; most fields are never below zero."""
    by_field: dict[str, list[Comparison]] = {}
    for comparison in comparisons:
        by_field.setdefault(comparison.field, []).append(comparison)
    return all(_satisfiable(field, of_field) for field, of_field in by_field.items())


def _satisfiable(field: str, comparisons: list[Comparison]) -> bool:
    low, high = _BOUNDS.get(field, (-math.inf if field in _SIGNED else 0.0, math.inf))
    floors = [(low, True), *(c.floor for c in comparisons)]
    ceilings = [(high, True), *(c.ceiling for c in comparisons)]
    floor, floor_in = max(floors, key=lambda edge: (edge[0], not edge[1]))
    ceiling, ceiling_in = min(ceilings, key=lambda edge: (edge[0], edge[1]))
    return floor < ceiling or (floor == ceiling and floor_in and ceiling_in)


def both_hold(when: tuple[Comparison, ...], clear: tuple[Comparison, ...]) -> bool:
    """Whether ``clear`` can hold while ``when`` does, judged only where both speak of the same fields."""
    return {c.field for c in when} == {c.field for c in clear} and can_hold((*when, *clear))
