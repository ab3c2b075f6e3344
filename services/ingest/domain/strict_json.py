"""JSON that every reader takes the same way, or a reason why not.

Parsers differ on duplicate names, NaN, infinite numbers, lone surrogates, other encodings and on how deep is too deep;
what one accepts, the next chokes on, and by then it is in the log.
"""

import json
import re
from typing import Any, NoReturn

import msgspec

from services.ingest.domain.change import Unusable

MAX_DEPTH = 64

_SPACE = b" \t\r\n"
# A text that does not end is taken to the end: looking for another way from each of its quotes would take for ever.
_NOT_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[^\[\]{}"]+', re.DOTALL)


def check(text: bytes) -> None:
    """Raises ``Unusable`` when ``text`` is not one JSON value that all parsers agree on; takes linear time."""
    if depth(text) > MAX_DEPTH:
        raise Unusable("malformed", f"it is nested more than {MAX_DEPTH} deep")
    try:
        value = msgspec.json.decode(text)
        if not _names_are_all_there(text, value):
            _strictly.decode(text.decode())
    except Unusable:
        raise
    except (ValueError, RecursionError) as error:
        raise Unusable("malformed", readable(error)) from error


def _names_are_all_there(text: bytes, value: Any) -> bool:
    """Whether no name was lost, so that none stood there twice; False: it cannot be told so quickly.

    Without the space between them, every name is followed by ``":``. So the text has at least as many of these as
    names, and as many as are left only when each name is there once.
    """
    return text.translate(None, _SPACE).count(b'":') == _names(value)


def _names(value: Any) -> int:
    """How many names there are in a decoded value, at all depths."""
    count = 0
    kind = type(value)
    if kind is dict:
        count, value = len(value), value.values()
    elif kind is not list:
        return 0
    for inner in value:
        kind = type(inner)
        if kind is dict or kind is list:
            count += _names(inner)
    return count


def depth(text: bytes) -> int:
    """How deep arrays and objects are nested; may say less where the number of brackets shows it is below the limit."""
    brackets = text.count(b"[") + text.count(b"{")
    if brackets <= MAX_DEPTH:
        return brackets
    deepest = level = 0
    for bracket in _NOT_BRACKETS.sub(b"", text):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
        if deepest > MAX_DEPTH:
            break
    return deepest


def readable(error: Exception) -> str:
    """What a parser's error means for the sender."""
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8: {error.reason} at byte {error.start}"
    if isinstance(error, RecursionError):
        return f"it is nested more than {MAX_DEPTH} deep"
    return str(error)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise Unusable("malformed", f"an object names {name!r} twice")
            seen.add(name)
    return made


def _no_constant(name: str) -> NoReturn:
    raise Unusable("malformed", f"{name} is not a JSON number")


_strictly = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
