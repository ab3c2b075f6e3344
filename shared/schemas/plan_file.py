"""Reads a plan from its YAML text, and names everything that is wrong in it with file, line and column.

``parse_plan`` either returns a ``Plan`` or raises ``PlanError``, whatever the text.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from shared.errors import Place, PlanError, PlanProblem
from shared.schemas.plan import Plan
from shared.schemas.plan_checks import Problem
from shared.schemas.plan_checks import problems as unseen_by_types
from shared.schemas.plan_words import findings
from shared.schemas.plan_yaml import Document, Path, Spot, Unreadable, lines_of, read_yaml

LONGEST_EXCERPT = 240
"""Characters of a line that are shown with a problem."""


def parse_plan(text: str, file: str) -> Plan:
    """The plan in ``text``; ``file`` is only named in problems. Raises PlanError with every problem found."""
    reported = _Reported(text, file)
    try:
        document = read_yaml(text)
    except Unreadable as stop:
        reported.add(stop.spot, stop.why)
        raise PlanError(reported.in_order()) from None
    for spot, why in document.problems:
        reported.add(spot, why)
    plan = _checked(document, reported)
    if plan is None or reported.problems:
        raise PlanError(reported.in_order())
    return plan


def _checked(document: Document, reported: "_Reported") -> Plan | None:
    if not isinstance(document.data, dict):
        reported.add((1, 1), "a plan is a mapping that begins with its name, such as plan: fy26")
        return None
    plan = None
    try:
        plan = Plan.model_validate(document.data)
    except ValidationError as error:
        for path, message, about_key in findings(error, document.data, plan_json_schema()):
            reported.add(document.spot(path, key=about_key), message, path)
    for problem in unseen_by_types(document.data):
        spot = document.spot(problem.path, key=problem.about_key)
        reported.add_within(spot, problem, document)
    return plan


def canonical_json(plan: Plan) -> bytes:
    """The plan's content as JSON with defaults filled in and keys in order, without its version."""
    content = plan.model_dump(mode="json", exclude={"version"})
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def plan_sha256(plan: Plan) -> str:
    """The hash of the plan's content: the same however the file is laid out, and whatever its version."""
    return hashlib.sha256(canonical_json(plan)).hexdigest()


@lru_cache(maxsize=1)
def plan_json_schema() -> dict[str, Any]:
    """The JSON Schema of a plan file, for editors."""
    schema = Plan.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Headroom plan"}


class _Reported:
    """The problems so far, each place and message once, with the line they are about."""

    def __init__(self, text: str, file: str) -> None:
        self.file, self.lines = file, lines_of(text)
        self.problems: dict[tuple[Spot, str], PlanProblem] = {}

    def add(self, spot: Spot, message: str, path: Path = ()) -> None:
        line, column = spot
        written = self._line(line)
        excerpt = written if column <= len(written) + 1 and len(written) <= LONGEST_EXCERPT else ""
        dotted = ".".join(str(part) for part in path)
        place = Place(self.file, line, column)
        self.problems.setdefault((spot, message), PlanProblem(place, message, dotted, excerpt))

    def add_within(self, spot: Spot, problem: Problem, document: Document) -> None:
        """The same, so many characters into the text that stands there, where that text stands on one line."""
        value = _at(document.data, problem.path)
        if problem.offset and isinstance(value, str):
            start = self._line(spot[0]).find(value, spot[1] - 1)
            if start >= 0:
                spot = (spot[0], start + problem.offset + 1)
        self.add(spot, problem.message, problem.path)

    def in_order(self) -> list[PlanProblem]:
        return sorted(self.problems.values(), key=lambda problem: (problem.place.line, problem.place.column))

    def _line(self, number: int) -> str:
        return self.lines[number - 1].replace("\t", " ") if number <= len(self.lines) else ""


def _at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data
