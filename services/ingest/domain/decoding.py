"""Decoding that looks for control characters only where there can be some.

To hold every text against a pattern takes longer than all the rest of decoding. But a control character cannot stand in
JSON as it is, only as an escape, and those above ASCII's are not ASCII: text without either has none to look for.
"""

from collections.abc import Iterator
from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, cast, get_args, get_origin

import msgspec

from services.ingest.domain.values import ONE_LINE, SOME_LINES

T = TypeVar("T")


class Decoder(Generic[T]):
    """Decodes JSON into ``type`` and raises what ``msgspec.json.Decoder`` raises."""

    def __init__(self, type: type[T]) -> None:
        self.type = type
        self._careful = msgspec.json.Decoder(type)
        self._plain = cast("msgspec.json.Decoder[T]", msgspec.json.Decoder(_plain(cast("Any", type))))

    def decode(self, text: bytes) -> T:
        """What ``text`` says: a ``type``, or one of a subclass of it that differs in nothing."""
        if text.isascii() and b"\\" not in text and b"\x7f" not in text:
            return self._plain.decode(text)
        return self._careful.decode(text)


@cache
def _plain(type: Any) -> Any:
    """``type`` without the patterns that keep control characters out; of a struct a subclass of it."""
    if isinstance(type, msgspec.StructMeta):
        return msgspec.defstruct(type.__name__, list(_fields(type)), bases=(type,), module=type.__module__)
    origin, inner = get_origin(type), get_args(type)
    if origin is Annotated:
        return Annotated[(_plain(inner[0]), *map(_unpatterned, inner[1:]))]
    if origin in (Union, UnionType):
        return reduce(or_, map(_plain, inner))
    if origin in (list, dict):
        return origin[tuple(_plain(each) for each in inner)]
    return type


def _fields(struct: Any) -> Iterator[Any]:
    for field in msgspec.structs.fields(struct):
        plain = _plain(field.type)
        yield (field.name, plain) if field.required else (field.name, plain, field.default)


def _unpatterned(meta: Any) -> Any:
    if isinstance(meta, msgspec.Meta) and meta.pattern in (ONE_LINE, SOME_LINES):
        return msgspec.Meta(min_length=meta.min_length, max_length=meta.max_length)
    return meta
