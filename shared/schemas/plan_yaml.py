"""YAML text as plain data that remembers where each part was written.

Deliberately less than YAML: one document of mappings with text keys, lists, text, numbers, true, false and null. Dates
stay text, there are no tags, and repeated keys, NaN, tabs as indentation and files out of all proportion are problems
with a place.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

Path = tuple[str | int, ...]
Spot = tuple[int, int]
"""Line and column, counted from one."""

LARGEST_FILE = 1024 * 1024
"""Characters; a plan of 500 pools has about a tenth of it."""
DEEPEST = 40
MOST_PARTS = 200_000
"""Values after anchors are written out: what stops a file that unfolds into billions."""

_INT = re.compile(r"^[-+]?[0-9]{1,18}$")
_FLOAT = re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
_NOT_FINITE = re.compile(r"^([-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$")
_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("null", "Null", "NULL", "~", "")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


class Unreadable(Exception):
    """The text cannot be read further: where and why."""

    def __init__(self, spot: Spot, why: str) -> None:
        super().__init__(why)
        self.spot, self.why = spot, why


@dataclass(slots=True)
class Document:
    """Plain data, where each value and each mapping's key stands, and what was wrong on the way (``problems``)."""

    data: Any = None
    values: dict[Path, Spot] = field(default_factory=dict)
    keys: dict[Path, Spot] = field(default_factory=dict)
    problems: list[tuple[Spot, str]] = field(default_factory=list)

    def spot(self, path: Path, *, key: bool = False) -> Spot:
        """Where the value (or its key) at ``path`` stands; for what is not written, the key of what lacks it."""
        first, second = (self.keys, self.values) if key else (self.values, self.keys)
        while path:
            found = first.get(path) or second.get(path)
            if found:
                return found
            path, first, second = path[:-1], self.keys, self.values
        return (1, 1)


@dataclass(slots=True)
class _Node:
    spot: Spot
    value: Any  # a scalar, a list of nodes, or a list of (key, spot of the key, node)
    mapping: bool = False


def read_yaml(text: str) -> Document:
    """The document in ``text``; raises Unreadable when it is not YAML, or too big or too deep."""
    if len(text) > LARGEST_FILE:
        raise Unreadable((1, 1), f"the file has {len(text):,} characters; at most {LARGEST_FILE:,} are read")
    document = Document()
    node = _Reader(document).read(text)
    if node is not None:
        document.data = _Unfolder(document).plain(node, ())
    return document


def lines_of(text: str) -> list[str]:
    """The lines of ``text`` as YAML counts them."""
    return _LINE_END.split(text)


class _Reader:
    """Builds nodes from the parser's events."""

    def __init__(self, document: Document) -> None:
        self.problems = document.problems
        self.anchors: dict[str, _Node] = {}

    def read(self, text: str) -> _Node | None:
        events = _events(text)
        node: _Node | None = None
        for event in events:
            if isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent, AliasEvent)):
                node = self.node(event, events, 0)
            elif isinstance(event, DocumentStartEvent) and node is not None:
                raise Unreadable(_spot(event), "a second document begins here; a plan is one document")
        return node

    def node(self, event: Event, events: Iterator[Event], depth: int) -> _Node:
        spot = _spot(event)
        if depth > DEEPEST:
            raise Unreadable(spot, f"nested deeper than {DEEPEST} levels")
        anchor = getattr(event, "anchor", None)
        if isinstance(event, AliasEvent):
            if anchor not in self.anchors:
                raise Unreadable(spot, f"*{anchor} refers to nothing that is complete before it")
            return self.anchors[anchor]
        if getattr(event, "tag", None):
            self.problems.append((spot, "tags are not read; leave it out"))
        node = self.fresh(event, spot, events, depth)
        if anchor:
            self.anchors[anchor] = node
        return node

    def fresh(self, event: Event, spot: Spot, events: Iterator[Event], depth: int) -> _Node:
        if isinstance(event, ScalarEvent):
            return _Node(spot, self.scalar(event, spot))
        if isinstance(event, SequenceStartEvent):
            return _Node(spot, [self.node(e, events, depth + 1) for e in _until(events, SequenceEndEvent)])
        pairs: list[tuple[str, Spot, _Node]] = []
        seen: dict[str, Spot] = {}
        for key_event in _until(events, MappingEndEvent):
            key, where = self.key(key_event), _spot(key_event)
            value = self.node(next(events), events, depth + 1)
            if key in seen:
                self.problems.append((where, f"{key!r} is here twice; first in line {seen[key][0]}"))
                continue
            seen[key] = where
            pairs.append((key, where, value))
        return _Node(spot, pairs, mapping=True)

    def key(self, event: Event) -> str:
        spot = _spot(event)
        if not isinstance(event, ScalarEvent):
            raise Unreadable(spot, "a key is plain text")
        if event.value == "<<" and not event.style:
            raise Unreadable(spot, "merge keys (<<) are not read; write the keys out")
        self.printable(event.value, spot)
        return str(event.value)

    def scalar(self, event: ScalarEvent, spot: Spot) -> Any:
        text = str(event.value)
        if event.style:
            self.printable(text, spot)
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INT.match(text):
            return int(text)
        if _NOT_FINITE.match(text):
            self.problems.append((spot, f"{text} is not a number one can plan with"))
            return 0
        if _FLOAT.match(text):
            number = float(text)
            if number in (float("inf"), float("-inf")):
                self.problems.append((spot, f"{text[:40]} is too large a number"))
                return 0
            return number
        self.printable(text, spot)
        return text

    def printable(self, text: str, spot: Spot) -> None:
        if _UNPRINTABLE.search(text):
            self.problems.append((spot, "text with characters that cannot be printed"))


class _Unfolder:
    """Turns nodes into plain data; what an anchor names is repeated where it is used, within ``MOST_PARTS``."""

    def __init__(self, document: Document) -> None:
        self.document, self.parts = document, 0

    def plain(self, node: _Node, path: Path) -> Any:
        self.parts += 1
        if self.parts > MOST_PARTS or len(path) > DEEPEST:
            raise Unreadable(node.spot, f"its anchors unfold into more than {MOST_PARTS:,} parts or {DEEPEST} levels")
        self.document.values[path] = node.spot
        if node.mapping:
            data: dict[str, Any] = {}
            for key, spot, value in node.value:
                self.document.keys[*path, key] = spot
                data[key] = self.plain(value, (*path, key))
            return data
        if isinstance(node.value, list):
            return [self.plain(value, (*path, i)) for i, value in enumerate(node.value)]
        return node.value


def _events(text: str) -> Iterator[Event]:
    try:
        yield from YAML(typ="safe", pure=True).parse(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        spot = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Unreadable(spot, _why(error, text, spot)) from None
    except YAMLError as error:
        raise Unreadable(_spot_of_character(text, getattr(error, "position", 0)), _first_line(error)) from None
    except Exception as error:  # the scanner lets ValueError, IndexError and others out on some broken text
        raise Unreadable((1, 1), f"this is not YAML ({_first_line(error)})") from error


def _until(events: Iterator[Event], end: type[Event]) -> Iterator[Event]:
    for event in events:
        if isinstance(event, (end, StreamEndEvent)):
            return
        yield event


def _why(error: MarkedYAMLError, text: str, spot: Spot) -> str:
    lines = lines_of(text)
    line = lines[spot[0] - 1] if spot[0] <= len(lines) else ""
    if "\t" in line[: spot[1]]:
        return "a tab cannot indent or separate here; use spaces"
    parts = [part.strip() for part in (error.context, error.problem) if part]
    return "this is not YAML: " + ", ".join(parts)


def _spot(event: Event) -> Spot:
    return (event.start_mark.line + 1, event.start_mark.column + 1)


def _spot_of_character(text: str, position: object) -> Spot:
    before = text[: position if isinstance(position, int) else 0]
    lines = lines_of(before)
    return (len(lines), len(lines[-1]) + 1)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
