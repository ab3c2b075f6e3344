"""Conditions of triggers: CEL over the typed fields of a watched thing, checked when compiled.

Three things are made easier than in bare CEL, none changes its meaning: ``and``, ``or`` and ``not`` may be written for
``&&``, ``||`` and ``!``; a whole number may stand where a number is meant (``headroom < 0``); and a field nobody knows
makes the answer unknown unless the rest decides it (``overload > 0.9 || utilisation > 1.0`` with the second unknown is
true when the first is). Nothing else of CEL leaks out of this module.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache, lru_cache

from cel_expr_python import cel

from shared.schemas.plan_fields import WATCHED
from shared.schemas.plan_values import LONGEST_CONDITION

Value = float | str | None
"""What a field holds in one row; None: nobody knows."""

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
_LIKE = "write it like overload > 0.3 and headroom < 0"
_WHOLE = re.compile(r"\d+")


class ConditionError(ValueError):
    """What is wrong in a condition, and at which character (from 0)."""

    def __init__(self, offset: int, why: str) -> None:
        super().__init__(why)
        self.offset, self.why = offset, why


class Condition:
    """A compiled condition. ``fields`` are those it speaks of; equal text over the same thing is the same object."""

    def __init__(self, text: str, watch: str, fields: frozenset[str], program: cel.Expression) -> None:
        self.text, self.watch, self.fields, self._program = text, watch, fields, program

    def evaluate(self, row: Mapping[str, Value]) -> bool | None:
        """Whether it holds for a row of at least ``fields``; None when what is unknown there would decide it."""
        known = {name: value for name in self.fields if (value := row[name]) is not None}
        answer = self._program.eval(data=known)
        # The only error left after the type check is a value that is missing or cannot be computed.
        return bool(answer.value()) if answer.type() == cel.Type.BOOL else None


@lru_cache(maxsize=2048)  # up to 0.1 MB each: what is asked once must not stay for ever
def compile_condition(text: str, watch: str) -> Condition:
    """Compile ``text`` over the fields of a ``watch``; raises ConditionError with the place and what is allowed."""
    if watch not in WATCHED:
        raise ConditionError(0, f"a {watch} cannot be watched yet; {', '.join(WATCHED)} can")
    if len(text) > LONGEST_CONDITION:
        raise ConditionError(0, f"it has {len(text):,} characters; {LONGEST_CONDITION:,} are allowed")
    spelled, offsets = _spell(text)
    try:
        program = _environment(watch).compile(spelled)
    except RuntimeError as error:  # what the library raises for any fault of the text
        raise _explain(text, watch, spelled, offsets, str(error)) from None
    if program.return_type() != cel.Type.BOOL:
        raise ConditionError(0, "this is not something that holds or not: compare fields, as in overload > 0.3")
    named = {match["word"] for match in _TOKEN.finditer(text) if match["word"]}
    fields = frozenset(field.name for field in WATCHED[watch].fields if field.name in named)
    if not fields:
        raise ConditionError(0, f"this speaks of no field of a {watch}. {_allowed(watch)}")
    return Condition(text, watch, fields, program)


@cache
def _environment(watch: str) -> cel.Env:
    return cel.NewEnv(variables={field.name: _TYPES[field.type] for field in WATCHED[watch].fields})


def _spell(text: str) -> tuple[str, list[int]]:
    """The text as CEL wants it, and for each of its characters the place (from 0) it had in ``text``."""
    parts: list[str] = []
    offsets: list[int] = []
    end = 0

    def put(part: str, at: Iterable[int]) -> None:
        parts.append(part)
        offsets.extend(at)

    for match in _TOKEN.finditer(text):
        start = match.start()
        put(text[end:start], range(end, start))
        end = match.end()
        token = match.group()
        spelled = _WORDS.get(token, token)
        if match["plus"]:
            spelled = " " * len(token)
        elif match["number"]:
            spelled = _number(token)
        put(spelled, range(start, end) if spelled == token else [start] * len(spelled))
    put(text[end:], range(end, len(text)))
    return "".join(parts), offsets


def _number(token: str) -> str:
    """``3`` and ``3.`` as CEL writes them when they are not to be whole numbers; it knows the other spellings."""
    if _WHOLE.fullmatch(token):
        return token + ".0"
    return token + "0" if token.endswith(".") else token


def _explain(text: str, watch: str, spelled: str, offsets: list[int], message: str) -> ConditionError:
    """The library's first complaint in words of a plan's author."""
    found = re.search(r"<input>:(\d+):(\d+): ([^\n]*)", message)
    if found is None:
        return ConditionError(0, f"{message.splitlines()[0]}. {_allowed(watch)}")
    why = found[3].removesuffix(" [INVALID_ARGUMENT]")
    before = sum(len(line) for line in spelled.splitlines(keepends=True)[: int(found[1]) - 1])
    index = before + int(found[2]) - 1
    at = offsets[index] if 0 <= index < len(offsets) else len(text)
    if undeclared := re.match(r"undeclared reference to '([^']+)'", why):
        return ConditionError(at, _no_such_field(undeclared[1], watch))
    if mismatch := re.match(r"found no matching overload for '([^']+)' applied to '\((.*)\)'", why):
        operator = mismatch[1].strip("_").replace("@in", "in")
        sides = " and ".join(_SPOKEN.get(side, side) for side in mismatch[2].split(", "))
        allowed = "compare a number with a number, a text with a text"
        return ConditionError(at, f"{operator!r} does not take {sides}: {allowed}")
    if "<EOF>" in why.split(" expecting")[0] and at >= len(text.rstrip()):
        return ConditionError(at, f"it ends too early: {_LIKE}")
    reason = why.removeprefix("Syntax error: ").split(" expecting")[0]
    return ConditionError(at, f"this is not understood: {reason}; {_LIKE}")


def _no_such_field(name: str, watch: str) -> str:
    near = get_close_matches(name, [field.name for field in WATCHED[watch].fields], n=1)
    meant = f"; did you mean {near[0]}?" if near else "."
    return f"a {watch} has no field {name!r}{meant} {_allowed(watch)}"


def _allowed(watch: str) -> str:
    return f"Fields: {', '.join(field.name for field in WATCHED[watch].fields)}"
