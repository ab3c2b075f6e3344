"""Whether conditions can hold at all: one that never does, and a ``clear`` that holds while ``when`` still does.

A condition that compares fields with fixed values only is constant between those values, so trying one value in each
stretch, and each fixed value itself, decides it exactly. Conditions that calculate are not judged.
"""

import math
import re
from collections.abc import Iterator, Sequence
from itertools import pairwise, product

from shared.schemas.plan_conditions import Condition
from shared.schemas.plan_fields import WATCHED, Field

MOST = 4096
"""Combinations tried at most; beyond that a condition is not judged."""

_TEXT = r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'"""
# Each text can be taken in one way only, or a search through all ways takes for ever.
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_ITEM = rf"(?:{_NUMBER}|{_TEXT})"
_LITERAL = re.compile(f"(?P<text>{_TEXT})|(?<![A-Za-z_0-9.])(?P<number>{_NUMBER})")
_COMPARISON = re.compile(
    rf"(?P<field>[A-Za-z_]\w*)\s*(?:<=|>=|==|!=|<|>)\s*{_ITEM}(?!\w)"
    rf"|(?P<listed>[A-Za-z_]\w*)\s+in\s+\[\s*(?:{_ITEM}\s*(?:,\s*{_ITEM}\s*)*)?,?\s*\]"
)
_JOINTS = re.compile(r"\s|&&|\|\||!|\(|\)|\b(?:and|or|not|true|false)\b")


def never_holds(*conditions: Condition) -> bool:
    """Whether no values satisfy all of them at once."""
    return _all_answers(conditions) == {False}


def always_holds(condition: Condition) -> bool:
    """Whether no values keep it from holding."""
    return _all_answers([condition]) == {True}


def overlap(when: Condition, clear: Condition) -> bool:
    """Whether both can hold at once, judged only where they share a field: ``clear`` may speak of something else."""
    return bool(when.fields & clear.fields) and True in _all_answers([when, clear])


def _all_answers(conditions: Sequence[Condition]) -> set[bool]:
    """Every answer that ``all of them hold`` can have; empty when that is not judged."""
    if not all(_compares_only(condition.text) for condition in conditions):
        return set()
    fields = [f for f in WATCHED[conditions[0].watch].fields if any(f.name in c.fields for c in conditions)]
    literals = [match for condition in conditions for match in _LITERAL.finditer(condition.text)]
    tried = [list(_values(field, literals)) for field in fields]
    if math.prod(map(len, tried)) > MOST:
        return set()
    found: set[bool] = set()
    for values in product(*tried):
        row = {field.name: value for field, value in zip(fields, values, strict=True)}
        found.add(all(condition.evaluate(row) is True for condition in conditions))
        if len(found) == 2:
            break
    return found


def _compares_only(text: str) -> bool:
    """Whether nothing is left of it but joints once all comparisons with fixed values are taken out."""
    return not _JOINTS.sub("", _COMPARISON.sub(" ", text))


def _values(field: Field, literals: Sequence["re.Match[str]"]) -> Iterator[float | str]:
    if field.type == "text":
        # Of texts only order and equality matter: each fixed one, what sorts just behind it, and what sorts before all.
        texts = {match["text"][1:-1] for match in literals if match["text"]}
        yield from sorted({"", *texts, *(text + "\x01" for text in texts)})
        return
    numbers = {float(match["number"]) for match in literals if match["number"]}
    points = sorted({n for n in numbers if field.low <= n <= field.high})
    low = field.low if math.isfinite(field.low) else (points[0] if points else 0.0) - 1
    high = field.high if math.isfinite(field.high) else max(points[-1] if points else 0.0, low) + 1
    points = sorted({low, *points, high})
    yield from points
    yield from ((one + other) / 2 for one, other in pairwise(points))
