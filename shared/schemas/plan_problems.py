"""Collects what is wrong in a text, each with the line it is about and the character in it."""

from typing import Any

from shared.errors import Place, PlanProblem
from shared.schemas.plan_yaml import Document, Path, Spot, lines_of

LONGEST_EXCERPT = 240
"""Characters of a line that are shown with a problem."""


class Problems:
    """The problems of one file so far, each place and message once."""

    def __init__(self, text: str, file: str) -> None:
        self.file, self.lines = file, lines_of(text)
        self.found: dict[tuple[Spot, str], PlanProblem] = {}

    def add(self, spot: Spot, message: str, path: Path = ()) -> None:
        """``message`` is about what stands at ``spot``."""
        line, column = spot
        written = self._line(line)
        excerpt = written if column <= len(written) + 1 and len(written) <= LONGEST_EXCERPT else ""
        dotted = ".".join(str(part) for part in path)
        place = Place(self.file, line, column)
        self.found.setdefault((spot, message), PlanProblem(place, message, dotted, excerpt))

    def add_within(self, document: Document, path: Path, message: str, offset: int, *, key: bool = False) -> None:
        """The same, ``offset`` characters into the text at ``path``, where that text stands on one line."""
        spot, value = document.spot(path, key=key), _at(document.data, path)
        if offset and isinstance(value, str):
            start = self._line(spot[0]).find(value, spot[1] - 1)
            if start >= 0:
                spot = (spot[0], start + offset + 1)
        self.add(spot, message, path)

    def in_order(self) -> list[PlanProblem]:
        """All of them in the order of the file."""
        return sorted(self.found.values(), key=lambda problem: (problem.place.line, problem.place.column))

    def _line(self, number: int) -> str:
        return self.lines[number - 1].replace("\t", " ") if number <= len(self.lines) else ""


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
