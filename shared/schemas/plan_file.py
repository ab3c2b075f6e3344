"""Reads a plan from its YAML text, and names everything that is wrong in it with file, line and column.

``parse_plan`` either returns a ``Plan`` or raises ``PlanError``, whatever the text.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from shared.errors import PlanError
from shared.schemas.plan import Plan
from shared.schemas.plan_checks import problems as unseen_by_types
from shared.schemas.plan_kinds import other_kind
from shared.schemas.plan_problems import Problems
from shared.schemas.plan_words import findings
from shared.schemas.plan_yaml import Document, Unreadable, read_yaml


def parse_plan(text: str, file: str) -> Plan:
    """The plan in ``text``; ``file`` is only named in problems. Raises PlanError with every problem found."""
    reported = Problems(text, file)
    try:
        document = read_yaml(text)
    except Unreadable as stop:
        reported.add(stop.spot, stop.why)
        raise PlanError(reported.in_order()) from None
    for spot, why in document.problems:
        reported.add(spot, why)
    plan = _checked(document, reported)
    if plan is None or reported.found:
        raise PlanError(reported.in_order())
    return plan


def _checked(document: Document, reported: Problems) -> Plan | None:
    if not isinstance(document.data, dict):
        reported.add((1, 1), "a plan is a mapping that begins with its name, such as plan: fy26")
        return None
    if (instead := other_kind(document.data, "plan")) is not None:
        reported.add((1, 1), instead)
        return None
    plan = None
    try:
        plan = Plan.model_validate(document.data)
    except ValidationError as error:
        for path, message, about_key in findings(error, document.data, plan_json_schema()):
            reported.add(document.spot(path, key=about_key), message, path)
    for problem in unseen_by_types(document.data):
        reported.add_within(document, problem.path, problem.message, problem.offset, key=problem.about_key)
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
