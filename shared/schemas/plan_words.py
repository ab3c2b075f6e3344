"""What pydantic found wrong in a plan, said in the words of somebody who writes one."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from shared.schemas.period import PATTERN as PERIOD
from shared.schemas.plan_yaml import Path

Finding = tuple[Path, str, bool]
"""Where, what, and whether the key rather than the value is meant."""

_KINDS = ("work", "queue", "stock", "budget")
_PATTERNS = {
    r"^[A-Za-z0-9][A-Za-z0-9._-]*$": "a name of letters, digits, dots, dashes and underscores is needed",
    r"^[a-z0-9][a-z0-9-]*$": "a plan's name has small letters, digits and dashes only",
    r"^[A-Z]{3}$": "a currency is three capital letters, such as EUR",
    r"^[^@\s]+@[^@\s]+$": "this is not an e-mail address",
    r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$": "holidays name a country, or a country and a subdivision: DE, DE-BE",
    PERIOD: "a period is a quarter from 1970 to 2199, written as 2026-Q2",
    r"^[1-9][0-9]{0,2} in [1-9][0-9]{0,2}$": "this is written as '3 in 5'",
}
_NEEDED = {
    "string_type": "text is needed here",
    "float_type": "a number is needed here",
    "int_type": "a whole number is needed here",
    "bool_type": "true or false is needed here",
    "dict_type": "keys and values are needed here",
    "model_type": "keys and values are needed here",
    "model_attributes_type": "keys and values are needed here",
    "list_type": "a list is needed here",
}
_BETTER = {
    ("pools", "owner"): "a pool without an owner has nobody to ask: add owner, one of people",
    ("ask", "owners"): "a trigger without an owner asks nobody: add owners, such as [pool.owner]",
    ("ask", "decide_within"): "a trigger without a deadline forces nothing: add decide_within, such as 2d",
    ("triggers", "ask"): "a trigger says who must answer by when: add ask with owners and decide_within",
}


def findings(error: ValidationError, data: Any, schema: dict[str, Any]) -> list[Finding]:
    """Each of pydantic's errors as path, message and whether it speaks of the key; ``schema`` is the plan's."""
    return [_finding(details, data, schema) for details in error.errors(include_url=False)]


def meant(wrong: str, allowed: Iterable[str]) -> str:
    """A hint at what may have been meant, and what is allowed, as the end of a sentence."""
    names = list(allowed)
    close = get_close_matches(wrong, names, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    return f"{hint} Allowed: {shown}" if close else f"; allowed: {shown or 'none are declared'}"


def _finding(details: ErrorDetails, data: Any, schema: dict[str, Any]) -> Finding:
    path, kind = _in_the_file(details["loc"]), details["type"]
    about_key = bool(path) and path[-1] == "[key]"
    if about_key:
        path = path[:-1]
    last = str(path[-1]) if path else "the plan"
    if kind == "missing":
        return path, _missing(path), True
    if kind == "extra_forbidden":
        return path, f"unknown key {last!r}" + meant(last, allowed_keys(schema, data, path[:-1])), True
    if kind in ("union_tag_not_found", "union_tag_invalid"):
        return _kind(path, details)
    # A part that contradicts itself is named by its key: where it begins says less in block style.
    return path, _value(kind, details), about_key or isinstance(details.get("input"), dict)


def _in_the_file(loc: tuple[int | str, ...]) -> Path:
    """pydantic puts the pool's kind into the path; the file does not."""
    if len(loc) > 2 and loc[0] == "pools" and loc[2] in _KINDS:
        return (*loc[:2], *loc[3:])
    return tuple(loc)


def _missing(path: Path) -> str:
    names = [part for part in path if isinstance(part, str)]
    for (above, key), words in _BETTER.items():
        if names[-1] == key and above in names[:-1]:
            return words
    return f"{names[-1]} is missing"


def _kind(path: Path, details: ErrorDetails) -> Finding:
    tag = details.get("ctx", {}).get("tag")
    if tag is None:
        return (*path, "kind"), f"a pool's kind is missing; allowed: {', '.join(_KINDS)}", True
    return (*path, "kind"), f"unknown kind {tag!r}" + meant(str(tag), _KINDS), False


def _value(kind: str, details: ErrorDetails) -> str:
    context, given = details.get("ctx", {}), details.get("input")
    if kind == "value_error":
        return str(context.get("error", details["msg"]))
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        return f"{given!r} is not known here" + meant(str(given), allowed)
    if kind == "string_pattern_mismatch":
        return _PATTERNS.get(str(context.get("pattern")), details["msg"]) + f", not {given!r}"
    if kind in _NEEDED:
        hint = "; put it in quotes" if kind == "string_type" and isinstance(given, (int, float)) else ""
        return f"{_NEEDED[kind]}, not {_named(given)}{hint}"
    return re.sub(r"^\w+ should", "this must", details["msg"]).replace(" after validation", "")


def _named(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            return f"the text {value[:40]!r}"
        case dict():
            return "keys and values"
        case list():
            return "a list"
    return f"the number {value}"


def allowed_keys(schema: dict[str, Any], data: Any, path: Path) -> list[str]:
    """The keys that the plan's JSON Schema allows in the mapping at ``path`` of ``data``."""
    at: Any = _resolved(schema, schema, data)
    for part in path:
        data = _child(data, part)
        properties = at.get("properties", {})
        if isinstance(part, int):
            below = at.get("items", {})
        elif part in properties:
            below = properties[part]
        else:
            below = at.get("additionalProperties") or next(iter(at.get("patternProperties", {}).values()), {})
        at = _resolved(below, schema, data)
    return list(at.get("properties", {}))


def _child(data: Any, part: str | int) -> Any:
    try:
        return data[part]
    except (KeyError, IndexError, TypeError):
        return None


def _resolved(at: Any, schema: dict[str, Any], data: Any) -> dict[str, Any]:
    """Follows references and the choices between kinds and null."""
    while isinstance(at, dict):
        if "$ref" in at:
            at = schema["$defs"][at["$ref"].rpartition("/")[2]]
        elif "discriminator" in at:
            kind = _child(data, at["discriminator"]["propertyName"])
            at = {"$ref": at["discriminator"]["mapping"].get(kind, "")} if isinstance(kind, str) else {}
            if at == {"$ref": ""}:
                return {}
        elif "anyOf" in at:
            at = next((choice for choice in at["anyOf"] if choice.get("type") != "null"), {})
        else:
            return at
    return {}
