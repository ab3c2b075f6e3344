"""``/v1/plans``: publish a plan, read the published ones."""

import msgspec
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import metrics
from services.ingest.api.bodies import Limits, expanded, raw_body
from services.ingest.domain.plans import Draft
from services.ingest.store.plans import Plans
from shared.access import Principal, requires
from shared.clock import Clock
from shared.errors import Place, PlanError, PlanProblem
from shared.problems import Problem
from shared.schemas.plan_file import canonical_json, parse_plan, plan_sha256
from shared.schemas.published_plan import PublishedPlan


class PlanSummary(msgspec.Struct):
    """A published plan without its content."""

    id: str
    version: int
    name: str
    sha256: str
    published: str
    publisher: str
    in_force: bool


def create_router(plans: Plans, limits: Limits, clock: Clock) -> APIRouter:
    """The routes, over the published plans and the system's clock."""
    router = APIRouter(tags=["plans"])
    publisher = Depends(requires("admin"))
    reader = Depends(requires("read"))

    @router.put("/v1/plans/{plan_id}", response_model=None, openapi_extra=_OPENAPI)
    async def publish(request: Request, plan_id: str, principal: Principal = publisher) -> Response:
        """Put a plan in force: 201 with its new version, 200 when this content already has one."""
        body = expanded(await raw_body(request, limits), request.headers.get("content-encoding", ""), limits)
        draft = _draft(plan_id, _text(body), principal)
        plan, outcome = await plans.publish(draft, clock.now())
        metrics.PLANS_PUBLISHED.labels(outcome).inc()
        content = {**msgspec.to_builtins(_summary(plan, in_force=True)), "outcome": outcome}
        return _json(content, 201 if outcome == "created" else 200)

    @router.get("/v1/plans", response_model=None)
    async def published(principal: Principal = reader) -> Response:
        """Every published plan; the last is in force."""
        found = await plans.all()
        summaries = [_summary(plan, in_force=plan is found[-1]) for plan in found]
        return _json({"plans": summaries, "in_force": found[-1].name if found else None})

    @router.get("/v1/plans/{plan_id}", response_model=None)
    async def one(plan_id: str, version: int | None = Query(None, ge=1), principal: Principal = reader) -> Response:
        """One plan whole, its newest version unless another is asked for."""
        found = await plans.all()
        ours = [plan for plan in found if plan.id == plan_id and version in (None, plan.version)]
        if not ours:
            which = f"{plan_id}@{version}" if version else plan_id
            raise Problem(404, "there is no such plan", f"No plan {which} was published; GET /v1/plans lists them.")
        plan = max(ours, key=lambda candidate: candidate.version)
        summary = msgspec.to_builtins(_summary(plan, in_force=plan is found[-1]))
        return _json({**summary, "text": plan.text, "plan": plan.plan})

    return router


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(400, "the plan is not text", f"It is not UTF-8 at byte {error.start}.") from error


def _draft(plan_id: str, text: str, principal: Principal) -> Draft:
    """The checked plan. Raises ``PlanError`` (422) naming every place that is wrong."""
    plan = parse_plan(text, plan_id)
    if plan.plan != plan_id:
        place = _place_of_name(plan_id, text)
        raise PlanError([PlanProblem(place, f"the plan is called {plan.plan!r}, the address says {plan_id!r}", "plan")])
    return Draft(plan_id, text, canonical_json(plan), plan_sha256(plan), principal.person or principal.name)


def _place_of_name(file: str, text: str) -> Place:
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("plan"):
            return Place(file, number, 1)
    return Place(file, 1, 1)


def _summary(plan: PublishedPlan, *, in_force: bool) -> PlanSummary:
    published = plan.published.isoformat()
    return PlanSummary(plan.id, plan.version, plan.name, plan.sha256, published, plan.publisher, in_force)


def _json(content: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(content), status, media_type="application/json")


_OPENAPI = {
    "requestBody": {
        "required": True,
        "content": {
            "application/yaml": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    },
    "responses": {"422": {"description": "The plan cannot be used; problems names line, column and reason."}},
}
