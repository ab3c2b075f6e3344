"""What differs between two things that ought to be the same: what is lost, and what is there twice or uncalled for."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Difference:
    """``lost``: it ought to be there, or to say something else. ``doubled``: it is there and ought not to be."""

    kind: Literal["lost", "doubled"]
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.kind} in {self.where}: {self.what[:400]}"


def missing_and_extra(where: str, found: Iterable[Any], wanted: Iterable[Any]) -> Iterator[Difference]:
    """What is not found, and what is found and not wanted or more often than once."""
    counted, sought = Counter(iter(found)), set(wanted)
    for one in sorted(sought - counted.keys(), key=str):
        yield Difference("lost", where, str(one))
    for one, times in counted.items():
        if one not in sought:
            yield Difference("doubled", where, f"{one} is not of this load")
        elif times > 1:
            yield Difference("doubled", where, f"{one} is there {times} times")


def same(where: str, found: Mapping[Any, Any], wanted: Mapping[Any, Any]) -> Iterator[Difference]:
    """Two tables, key by key."""
    yield from missing_and_extra(where, found, wanted)
    for key in found.keys() & wanted.keys():
        if found[key] != wanted[key]:
            yield Difference("lost", where, f"{key} is {found[key]} and ought to be {wanted[key]}")
