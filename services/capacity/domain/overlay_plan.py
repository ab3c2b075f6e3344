"""The plan that an overlay holds the book against, and what an overlay says that the plan does not know."""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError

from services.capacity.domain.projector import PlanInForce
from shared.schemas.plan import Plan
from shared.schemas.plan_checks import problems as unseen_by_types
from shared.schemas.plan_file import parse_plan, plan_json_schema
from shared.schemas.plan_words import findings, meant
from shared.schemas.plan_yaml import Path
from shared.schemas.what_if import WhatIf

LARGEST_TEXT: Final = 400_000
"""Characters of a whole plan; one of 500 pools and 170 products has half of it."""
MOST_POSITIONS: Final = 60_000
"""Positions under a changed plan: 500 pools over two years, and some. One with more in force may have as many again."""

Finding = tuple[Path, str]
"""Where in the overlay, and what is wrong there."""


class UnfitOverlay(Exception):
    """An overlay speaks of what is not there; ``findings`` says where, each with the reason."""

    def __init__(self, found: list[Finding]) -> None:
        super().__init__(found)
        self.findings = found


def plan_of(in_force: PlanInForce, overlay: WhatIf) -> PlanInForce:
    """The plan after the overlay's changes.

    Raises UnfitOverlay, also for what is too large to be held against the book between other questions, or PlanError
    for a text that is no plan.
    """
    if overlay.plan_text is not None:
        _check_text(overlay.plan_text)
        plan = parse_plan(overlay.plan_text, "plan_text")
    elif overlay.plan_changes:
        plan = _changed(in_force.plan, overlay.plan_changes)
    else:
        return in_force
    _check_size(plan, in_force.plan, "plan_text" if overlay.plan_text is not None else "plan_changes")
    return PlanInForce(f"{in_force.name} (what if)", plan)


def _check_text(text: str) -> None:
    if len(text) > LARGEST_TEXT:
        why = f"the plan has {len(text):,} characters and would hold up other questions; {LARGEST_TEXT:,} are read"
        raise UnfitOverlay([(("plan_text",), f"{why}: say in plan_changes what differs from the plan in force")])


def _check_size(plan: Plan, in_force: Plan, where: str) -> None:
    most = max(MOST_POSITIONS, _positions(in_force))
    if (many := _positions(plan)) > most:
        why = f"{len(plan.pools):,} pools over {plan.horizon_weeks} weeks are {many:,} positions, {most:,} are possible"
        do = "ask about fewer pools, or set a smaller horizon_weeks"
        raise UnfitOverlay([((where,), f"{why}, as others wait while they are projected: {do}")])


def _positions(plan: Plan) -> int:
    return len(plan.pools) * plan.horizon_weeks


def check(overlay: WhatIf, plan: Plan) -> None:
    """Raise UnfitOverlay when the overlay names pools, stages or products that ``plan`` does not have."""
    if found := list(_unknown(overlay, plan)):
        raise UnfitOverlay(found)


def merge(data: Any, changes: dict[str, Any]) -> Any:
    """``changes`` laid over ``data``, as RFC 7396 says."""
    found = dict(data) if isinstance(data, dict) else {}
    for key, value in changes.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = merge(found.get(key), value) if isinstance(value, dict) else value
    return found


def _changed(plan: Plan, changes: dict[str, Any]) -> Plan:
    # A published plan says every default; what is nothing by default may not be said at all.
    data = merge(plan.model_dump(mode="json", by_alias=True, exclude_none=True), changes)
    found: list[Finding] = []
    changed = None
    try:
        changed = Plan.model_validate(data)
    except ValidationError as error:
        found += [(path, message) for path, message, _ in findings(error, data, plan_json_schema())]
    found += [(problem.path, problem.message) for problem in unseen_by_types(data)]
    if changed is None or found:
        told = [(("plan_changes", *path), _placed(path, message)) for path, message in found]
        raise UnfitOverlay(list(dict.fromkeys(told)))
    return changed


def _placed(path: Path, message: str) -> str:
    """The plan's own place in words too: it may lie outside of what was changed."""
    return f"{'.'.join(map(str, path))}: {message}" if path else message


def _unknown(overlay: WhatIf, plan: Plan) -> Iterator[Finding]:
    for number, change in enumerate(overlay.capacity):
        pool = plan.pools.get(change.pool)
        if pool is None:
            yield ("capacity", number, "pool"), f"the plan has no pool {change.pool!r}" + meant(change.pool, plan.pools)
        elif change.hire is not None and getattr(pool, "hire", None) is None:
            yield ("capacity", number, "hire"), f"the plan does not say how {change.pool} hires: its pool has no hire"
    for at, one in enumerate(overlay.deals):
        if one.stage is not None:
            yield from _missing(("deals", at, "stage"), "stage", one.stage, plan.stages)
        if one.outcome == "won" and not any(stage.class_ == "won" for stage in plan.stages.values()):
            yield ("deals", at, "outcome"), "the plan has no stage of class won"
        for place, stage in enumerate(one.of.stages or ()):
            yield from _missing(("deals", at, "of", "stages", place), "stage", stage, plan.stages)
        for place, product in enumerate(one.of.products or ()):
            yield from _missing(("deals", at, "of", "products", place), "product", product, plan.products)
    for at, new in enumerate(overlay.new_deals):
        yield from _missing(("new_deals", at, "stage"), "stage", new.stage, plan.stages)
        for place, line in enumerate(new.lines):
            yield from _missing(("new_deals", at, "lines", place, "product"), "product", line.product, plan.products)


def _missing(path: Path, called: str, name: str, known: Any) -> Iterator[Finding]:
    if name not in known:
        yield path, f"the plan has no {called} {name!r}" + meant(name, known)
