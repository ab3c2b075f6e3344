"""What is wrong with the shape of something that was sent: which field, where, and what may stand there.

The decoder names a type and a path in words of its own; whoever filled a field in a CRM wants to know what to change.
"""

import re
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import inspect

_SAID = re.compile(r"(?P<what>.*?)(?: - at `(?P<key>key` in `)?\$(?P<path>.*)`)?", re.DOTALL)
_STEP = re.compile(r"\.(?P<field>[^.\[]+)|\[(?P<index>[^\]]*)\]")
_FIELD = re.compile(r"Object (?P<how>missing required|contains unknown) field `(?P<field>.*)`", re.DOTALL)
_GOT = re.compile(r"got `(?P<got>[^`]*)`")

_KINDS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "null": "null",
    "array": "a list",
    "object": "an object",
}
"""The decoder's names of what JSON knows."""


def wrong(error: msgspec.ValidationError, type: Any, root: str = "") -> str:
    """What ``error`` means for who sent a ``type``; paths begin with ``root``: empty when that is the event itself."""
    said = _SAID.fullmatch(str(error))
    assert said is not None  # it matches everything
    what, path = said["what"], said["path"] or ""
    place = f"{root}{path}".lstrip(".") or "the event"
    found = _at(inspect.type_info(type), path)
    if said["key"]:
        return f"a name in {place} must be {words(_names_in(found))}"
    field = _FIELD.fullmatch(what)
    if field is not None and isinstance(found, inspect.StructType):
        if field["how"] == "missing required":
            return f"{place} lacks {field['field']}: {words(_field(found, field['field']))}"
        known = ", ".join(each.encode_name for each in found.fields)
        return f"{place} has {field['field']!r}, which is none of {known}"
    if found is None:
        return f"{place}: {what}"
    return f"{place} must be {words(found)}{_instead(what)}"


def _instead(what: str) -> str:
    """What stood there, as far as the decoder says it."""
    if (got := _GOT.search(what)) is not None:
        return f", not {_KINDS.get(got['got'], got['got'])}"
    value = what.partition("Invalid enum value ")[2]
    return f", not {value[:80]}" if value else ""


def words(type: inspect.Type | None) -> str:
    """What may stand where a ``type`` is expected."""
    return " or ".join(dict.fromkeys(_words(type)))


def words_for(type: Any) -> str:
    """What may stand where the annotation ``type`` is expected."""
    return words(inspect.type_info(type))


_PLAIN: dict[object, str] = {
    inspect.BoolType: "true or false",
    inspect.DateType: "a day such as 2026-04-01",
    inspect.DateTimeType: "a time with its offset such as 2026-04-01T09:30:00Z",
    inspect.NoneType: "null",
}


def _words(type: inspect.Type | None) -> Iterator[str]:
    match type:
        case inspect.UnionType(types=types):
            for each in types:
                yield from _words(each)
        case inspect.Metadata(type=inner):
            yield from _words(inner)
        case inspect.LiteralType(values=values):
            yield str(values[0]) if len(values) == 1 else f"one of {', '.join(map(str, values))}"
        case inspect.StrType():
            yield _text(type)
        case inspect.IntType() | inspect.FloatType():
            yield _number(type)
        case inspect.ListType(item_type=item, max_length=most):
            yield f"a list{_at_most(most)}, each {words(item)}"
        case inspect.DictType(value_type=value, max_length=most):
            yield f"an object{_at_most(most)}, each {words(value)}"
        case inspect.StructType(fields=fields):
            yield f"an object with {', '.join(field.encode_name for field in fields)}"
        case _:
            yield _PLAIN.get(type.__class__, "JSON")


def _at_most(most: int | None) -> str:
    return "" if most is None else f" of at most {most}"


def _text(type: inspect.StrType) -> str:
    if type.pattern is not None and type.pattern.startswith("^[A-Z]{"):
        return "a code such as EUR"
    lengths = {
        (False, False): "text",
        (True, False): f"text of at least {type.min_length} characters",
        (False, True): f"text of at most {type.max_length} characters",
        (True, True): f"text of {type.min_length} to {type.max_length} characters",
    }[type.min_length is not None, type.max_length is not None]
    return f"{lengths} without control characters" if type.pattern is not None else lengths


def _number(type: inspect.IntType | inspect.FloatType) -> str:
    kind = "a whole number" if isinstance(type, inspect.IntType) else "a number"
    limits = [("from", type.ge), ("above", type.gt), ("up to", type.le), ("below", type.lt)]
    return " ".join([kind, *(f"{word} {limit:,.15g}" for word, limit in limits if limit is not None)])


def _at(type: inspect.Type, path: str) -> inspect.Type | None:
    """What is expected at ``path``; None when the path cannot be followed."""
    at: inspect.Type | None = type
    for step in _STEP.finditer(path):
        at = _into(at, step["field"])
        if at is None:
            return None
    return at


def _into(type: inspect.Type | None, field: str | None) -> inspect.Type | None:
    """What is expected in a field, or, without one, in a list's or an object's places."""
    match type:
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := _into(each, field)) is not None), None)
        case inspect.Metadata(type=inner):
            return _into(inner, field)
        case inspect.StructType() if field is not None:
            return _field(type, field)
        case inspect.ListType(item_type=item) if field is None:
            return item
        case inspect.DictType(value_type=value) if field is None:
            return value
    return None


def _names_in(type: inspect.Type | None) -> inspect.Type | None:
    """What the names of an object of any names must be."""
    match type:
        case inspect.UnionType(types=types):
            return next((found for each in types if (found := _names_in(each)) is not None), None)
        case inspect.DictType(key_type=key):
            return key
    return None


def _field(type: inspect.StructType, name: str) -> inspect.Type | None:
    return next((each.type for each in type.fields if each.encode_name == name), None)
