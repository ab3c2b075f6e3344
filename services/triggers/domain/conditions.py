"""Conditions of triggers: CEL over the typed fields of a watched thing, checked when compiled.

Three things are made easier than in bare CEL, none changes its meaning: ``and``, ``or`` and ``not`` may be written for
``&&``, ``||`` and ``!``; a whole number may stand where a number is meant (``headroom < 0``); and a field nobody knows
makes the answer unknown unless the rest decides it (``overload > 0.9 || utilisation > 1.0`` with the second unknown is
true when the first is). Nothing else of CEL leaks out of this module.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import cache, lru_cache
from typing import Any

from cel_expr_python import cel

from services.triggers.domain.fields import POSITION, WORK, Field, Value
from shared.errors import BadInput

FIELDS: Mapping[str, tuple[Field[Any], ...]] = {"position": POSITION, "work": WORK}
"""The watched things whose conditions can be evaluated, and their fields."""

_TYPES = {"number": cel.Type.DOUBLE, "text": cel.Type.STRING}
_SPOKEN = {"double": "a number", "int": "a whole number", "string": "a text", "bool": "true or false"}

_TOKEN = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
      | (?P<plus>(?<=[<>=])\s*\+)
      | (?P<number>(?:\d+\.\d*|\.\d+|\d+)(?:[eE][+-]?\d+)?)(?![\w.])
      | (?P<word>[A-Za-z_]\w*)""",
    re.VERBOSE,
)
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_LIKE = "Write it like overload > 0.3 && headroom < 0."
_WHOLE = re.compile(r"\d+")


class ConditionError(BadInput):
    """A condition cannot be used; ``column`` (from one) is the place in its text, ``do`` what is allowed there."""

    def __init__(self, text: str, column: int, why: str, do: str) -> None:
        self.text, self.column = text, column
        super().__init__("the condition cannot be used", where=f"{text!r}, column {column}", why=why, do=do)


class Condition:
    """A compiled condition. ``fields`` are those it speaks of; equal text over the same thing is the same object."""

    def __init__(self, text: str, fields: frozenset[str], program: cel.Expression) -> None:
        self.text, self.fields, self._program = text, fields, program

    def evaluate(self, row: Mapping[str, Value]) -> bool | None:
        """Whether it holds for a row of at least ``fields``; None when what is unknown there would decide it."""
        known = {name: row[name] for name in self.fields if row[name] is not None}
        answer = self._program.eval(data=known)
        # The only error left after the type check is a value that is missing or cannot be computed.
        return bool(answer.value()) if answer.type() == cel.Type.BOOL else None


@lru_cache(maxsize=4096)
def compile_condition(text: str, watch: str) -> Condition:
    """Compile ``text`` over the fields of a ``watch``; raises ConditionError with the place and what is allowed."""
    if watch not in FIELDS:
        raise ConditionError(text, 1, f"a {watch} cannot be watched yet", f"Watch one of {', '.join(FIELDS)}.")
    spelled, columns = _spell(text)
    try:
        program = _environment(watch).compile(spelled)
    except RuntimeError as error:  # what the library raises for any fault of the text
        raise _explain(text, watch, spelled, columns, str(error)) from None
    if program.return_type() != cel.Type.BOOL:
        raise ConditionError(text, 1, "it is not something that holds or not", "Compare fields, as in overload > 0.3.")
    named = {match["word"] for match in _TOKEN.finditer(text) if match["word"]}
    fields = frozenset(field.name for field in FIELDS[watch] if field.name in named)
    if not fields:
        raise ConditionError(text, 1, f"it speaks of no field of a {watch}", _allowed(watch))
    return Condition(text, fields, program)


@cache
def _environment(watch: str) -> cel.Env:
    return cel.NewEnv(variables={field.name: _TYPES[field.type] for field in FIELDS[watch]})


def _spell(text: str) -> tuple[str, list[int]]:
    """The text as CEL wants it, and for each of its characters the column (from one) it had in ``text``."""
    parts: list[str] = []
    columns: list[int] = []
    end = 0

    def put(part: str, at: Iterable[int]) -> None:
        parts.append(part)
        columns.extend(at)

    for match in _TOKEN.finditer(text):
        start = match.start()
        put(text[end:start], range(end + 1, start + 1))
        end = match.end()
        token = match.group()
        spelled = _WORDS.get(token, token)
        if match["plus"]:
            spelled = " " * len(token)
        elif match["number"]:
            spelled = _number(token)
        put(spelled, range(start + 1, end + 1) if spelled == token else [start + 1] * len(spelled))
    put(text[end:], range(end + 1, len(text) + 1))
    return "".join(parts), columns


def _number(token: str) -> str:
    """``3`` and ``3.`` as CEL writes them when they are not to be whole numbers; it knows the other spellings."""
    if _WHOLE.fullmatch(token):
        return token + ".0"
    return token + "0" if token.endswith(".") else token


def _explain(text: str, watch: str, spelled: str, columns: list[int], message: str) -> ConditionError:
    """The library's first complaint in words of a plan's author."""
    found = re.search(r"<input>:(\d+):(\d+): ([^\n]*)", message)
    if found is None:
        return ConditionError(text, 1, message.splitlines()[0], _allowed(watch))
    why = found[3].removesuffix(" [INVALID_ARGUMENT]")
    before = sum(len(line) for line in spelled.splitlines(keepends=True)[: int(found[1]) - 1])
    index = before + int(found[2]) - 1
    at = columns[index] if 0 <= index < len(columns) else len(text) + 1
    if undeclared := re.match(r"undeclared reference to '([^']+)'", why):
        return ConditionError(text, at, *_no_such_field(undeclared[1], watch))
    if mismatch := re.match(r"found no matching overload for '([^']+)' applied to '\((.*)\)'", why):
        operator = mismatch[1].strip("_").replace("@in", "in")
        sides = " and ".join(_SPOKEN.get(side, side) for side in mismatch[2].split(", "))
        return ConditionError(
            text, at, f"{operator!r} does not take {sides}", "Compare a number with a number, a text with a text."
        )
    if "<EOF>" in why.split(" expecting")[0] and at > len(text.rstrip()):
        return ConditionError(text, at, "it ends too early", _LIKE)
    reason = why.removeprefix("Syntax error: ").split(" expecting")[0]
    return ConditionError(text, at, f"this is not understood: {reason}", _LIKE)


def _no_such_field(name: str, watch: str) -> tuple[str, str]:
    near = difflib.get_close_matches(name, [field.name for field in FIELDS[watch]], n=1)
    meant = f" Did you mean {near[0]}?" if near else ""
    return f"a {watch} has no field {name!r}", _allowed(watch) + meant


def _allowed(watch: str) -> str:
    return f"Its fields are {', '.join(field.name for field in FIELDS[watch])}."
