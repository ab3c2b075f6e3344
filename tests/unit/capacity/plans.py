"""Small plans."""

from typing import Any

from shared.schemas.plan import Plan

PUSHED = {"class": "open", "probability": 0.4, "push_weeks": [0.5, 0.3, 0.2], "stale_after": "120d"}
STAGES: dict[str, Any] = {
    "qualified": {"class": "open", "probability": 0.4},
    "pushed": PUSHED,
    "won": {"class": "won"},
    "lost": {"class": "lost"},
}


def work_pool(per_week: float, **more: Any) -> dict[str, Any]:
    return {"kind": "work", "unit": "hours", "owner": "ana", "capacity": {"per_week": per_week}, **more}


def plan(pools: dict[str, Any], products: dict[str, Any], **more: Any) -> Plan:
    """A plan with these pools and products, stages qualified (40 %), pushed, won and lost, in UTC."""
    said = {"plan": "small", "currency": "EUR", "people": {"ana": {"name": "Ana"}}, "stages": STAGES}
    return Plan.model_validate(said | {"pools": pools, "products": products} | more)


def tethered(effort: float, per_week: float, **need: Any) -> Plan:
    """One pool ``eng`` and one product ``basic`` that asks it."""
    return plan({"eng": work_pool(per_week)}, {"basic": {"needs": [{"pool": "eng", "effort": effort, **need}]}})
