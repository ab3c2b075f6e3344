"""What can be asked about deals and capacity: positions, pools, work items, forecasts, deals and listed deals.

Every answer says as of which moment and under which plan; all parts of one answer are of the same frame. Answers may be
kept, but must be checked again (``ETag``): an unchanged projection costs a 304.
"""

import base64
import binascii
from collections.abc import Callable
from re import fullmatch
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Query, Request
from starlette.responses import Response

from services.capacity.store.projection import Projection
from services.capacity.store.reading import ReadingModels, Snapshot
from shared.access import requires
from shared.errors import NotReady
from shared.http import answer_while_database_is_away
from shared.problems import Problem
from shared.schemas.deal import Deal
from shared.schemas.period import PATTERN as PERIOD
from shared.schemas.plan import Plan
from shared.schemas.week import monday

PlanOf = Callable[[str], Plan | None]

_Text = Annotated[str | None, Query(max_length=300, pattern=r"^[^\x00]*$")]
_Week = Annotated[str | None, Query(description="ISO week, such as 2026-W14", max_length=10)]
_Limit = Annotated[int, Query(ge=1, le=5000)]
_After = Annotated[str | None, Query(description="the `next` of the answer before", max_length=1000)]

router = APIRouter(prefix="/v1", dependencies=[Depends(requires("read"))])


def install(app: FastAPI, models: ReadingModels, plan_of: PlanOf) -> None:
    """Add these routes to ``app``; it also needs ``app.state.keys``."""
    app.state.models = models
    app.state.plan_of = plan_of
    app.include_router(router)
    answer_while_database_is_away(app)


@router.get("/positions")
async def positions(
    request: Request,
    pool: _Text = None,
    first: Annotated[_Week, Query(alias="from")] = None,
    last: Annotated[_Week, Query(alias="to")] = None,
    limit: _Limit = 500,
    after: _After = None,
) -> Response:
    """Positions by pool and week, with the deals that cause them."""
    _check_week("from", first)
    _check_week("to", last)
    cursor = _cursor(after)
    async with _models(request).snapshot() as snapshot:
        shown = await _shown(snapshot)
        if (unchanged := _unchanged(request, shown)) is not None:
            return unchanged
        found = await snapshot.positions(pool, first, last, cursor, limit + 1)
    if pool is not None and not found:
        _check_pool(request, pool, shown)
    rows, following = _page(found, limit, lambda position: (position.pool, position.week))
    return _answer(shown, {"rows": [_whole(row) for row in rows], "next": following})


@router.get("/pools")
async def pools(request: Request) -> Response:
    """Each pool of the plan: whose it is, when it is overloaded next, how bad it gets, and what it owes besides."""
    async with _models(request).snapshot() as snapshot:
        shown = await _shown(snapshot)
        if (unchanged := _unchanged(request, shown)) is not None:
            return unchanged
        summaries = await snapshot.pools(shown.week)
        work = await snapshot.work()
    plan = _plan(request, shown)
    rows = []
    for name, pool in plan.pools.items():
        summary = summaries.get(name)
        rows.append(
            {
                "pool": name,
                "function": pool.function,
                "kind": pool.kind,
                "unit": pool.unit,
                "owner": {"id": pool.owner, "name": plan.people[pool.owner].name},
                "escalation": pool.escalation,
                "next_overloaded": summary and summary.next_overloaded,
                "worst": summary and {"week": summary.worst_week, "overload": summary.worst},
                "report_age_seconds": shown.report_ages.get(name),
                "work": [_whole(item) for item in work if item.pool == name],
            }
        )
    return _answer(shown, {"rows": rows})


@router.get("/work")
async def work(request: Request) -> Response:
    """What the pools owe besides deals: when it will be done, how late that is, and which deals pull it."""
    async with _models(request).snapshot() as snapshot:
        shown = await _shown(snapshot)
        if (unchanged := _unchanged(request, shown)) is not None:
            return unchanged
        rows = await snapshot.work()
    return _answer(shown, {"rows": [_whole(row) for row in rows]})


@router.get("/forecasts")
async def forecasts(
    request: Request,
    period: Annotated[_Text, Query(description="a quarter, such as 2026-Q2")] = None,
    segment: Annotated[_Text, Query(description="a segment, or * for everything")] = None,
) -> Response:
    """What each quarter brings, of everything and by segment: bookings, margin, why it changed, the pools it moves."""
    if period is not None and not fullmatch(PERIOD, period):
        detail = f"period is {period!r}; write a quarter as 2026-Q2."
        raise Problem(422, "not a period", detail, where="query.period")
    async with _models(request).snapshot() as snapshot:
        shown = await _shown(snapshot)
        if (unchanged := _unchanged(request, shown)) is not None:
            return unchanged
        found = await snapshot.forecasts(period, segment)
        if not found and (period, segment) != (None, None):
            raise await _no_forecast(snapshot, shown, period, segment)
    return _answer(shown, {"rows": [_whole(row) for row in found]})


@router.get("/listed")
async def listed(request: Request, reason: _Text = None, limit: _Limit = 500, after: _After = None) -> Response:
    """Deals that the projection lists apart, such as those without a known product, by reason."""
    cursor = _cursor(after)
    async with _models(request).snapshot() as snapshot:
        shown = await _shown(snapshot)
        if (unchanged := _unchanged(request, shown)) is not None:
            return unchanged
        counts = await snapshot.listed_counts()
        found = await snapshot.listed(reason, cursor, limit + 1)
    rows, following = _page(found, limit, lambda row: (row.reason, row.deal))
    return _answer(shown, {"counts": counts, "rows": [_whole(row) for row in rows], "next": following})


@router.get("/deals/{deal:path}")
async def deal(request: Request, deal: str) -> Response:
    """One deal as it was last known, with the positions and work items it stresses. Its id may hold slashes."""
    if "\0" in deal:
        raise _no_such_deal(deal)
    async with _models(request).snapshot() as snapshot:
        known = await snapshot.deal(deal)
        if known is None:
            raise _no_such_deal(deal)
        if known.deleted:
            raise Problem(404, "the deal is deleted", f"{known.source} deleted {deal!r}.", id=deal)
        shown = await snapshot.projection()
        if (unchanged := _unchanged(request, shown, known)) is not None:
            return unchanged
        stressed, pulled = await snapshot.stressed_by(deal)
        reasons = await snapshot.reasons_of(deal)
    parts = {
        "deal": _whole(known),
        "positions": [
            {"pool": p.pool, "week": p.week, "unit": p.unit, "overload": p.overload, **_whole(top)}
            for p in stressed
            for top in p.top
            if top.deal == deal
        ],
        "work": [
            {"work": w.work, "pool": w.pool, "slip_weeks": w.slip_weeks, **_whole(top)}
            for w in pulled
            for top in w.top
            if top.deal == deal
        ],
        "listed": [_whole(row) for row in reasons],
    }
    return _answer(shown, parts, known)


def _models(request: Request) -> ReadingModels:
    models: ReadingModels = request.app.state.models
    return models


async def _shown(snapshot: Snapshot) -> Projection:
    shown = await snapshot.projection()
    if shown is None:
        raise NotReady("nothing is projected yet", why="no frame has been read", do="Publish a plan, or wait a moment.")
    return shown


def _plan(request: Request, shown: Projection) -> Plan:
    plan_of: PlanOf = request.app.state.plan_of
    plan = plan_of(shown.plan)
    if plan is None:
        raise NotReady(f"plan {shown.plan} is not known here yet", do="Try again in a moment.")
    return plan


def _check_pool(request: Request, pool: str, shown: Projection) -> None:
    """A pool without positions may still be one of the plan."""
    plan = _plan(request, shown)
    if pool not in plan.pools:
        known = ", ".join(list(plan.pools)[:20])
        raise Problem(404, "no such pool", f"Plan {shown.plan} has no pool {pool!r}; it has {known}.", pool=pool)


async def _no_forecast(snapshot: Snapshot, shown: Projection, period: str | None, segment: str | None) -> Problem:
    """What there is instead, of that which was asked for in vain."""
    asked = {name: said for name, said in (("period", period), ("segment", segment)) if said is not None}
    known = [f"{name}s are {', '.join(map(_quoted, await snapshot.forecast_names(name))) or 'none'}" for name in asked]
    of = " and ".join(f"{name} {_quoted(said)}" for name, said in asked.items())
    detail = f"Under plan {shown.plan} nothing is forecast of {of}; {'; '.join(known)}."
    return Problem(404, "no such forecast", detail, period=period, segment=segment)


def _quoted(name: str) -> str:
    return f'"{name}"'


def _check_week(name: str, week: str | None) -> None:
    if week is None:
        return
    try:
        valid = len(week) == 8 and monday(week) is not None
    except (ValueError, TypeError):
        valid = False
    if not valid:
        raise Problem(422, "not an ISO week", f"{name} is {week!r}; write a week as 2026-W14.", where=f"query.{name}")


def _no_such_deal(deal: str) -> Problem:
    detail = f"No deal {deal!r} has been seen; an id is the source and its object, such as hubspot/123."
    return Problem(404, "no such deal", detail, id=deal)


def _page(found: list[Any], limit: int, place: Callable[[Any], tuple[str, str]]) -> tuple[list[Any], str | None]:
    """The rows of this page, and where the next begins if there is one: ``found`` holds one row more than asked."""
    if len(found) <= limit:
        return found, None
    return found[:limit], base64.urlsafe_b64encode(msgspec.json.encode(place(found[limit - 1]))).decode()


def _cursor(after: str | None) -> tuple[str, str] | None:
    if after is None:
        return None
    try:
        place = msgspec.json.decode(base64.urlsafe_b64decode(after), type=tuple[str, str])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        place = ("\0", "")
    if any("\0" in part for part in place):
        raise Problem(
            422, "not a place to go on from", "Pass `next` of the answer before, unchanged.", where="query.after"
        )
    return place


def _whole(item: msgspec.Struct) -> dict[str, Any]:
    """All fields, those at their default too: a reader should not have to know defaults."""
    return {name: _plain(getattr(item, name)) for name in item.__struct_fields__}


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct) and not value.__struct_config__.array_like:
        return _whole(value)
    return [_plain(part) for part in value] if isinstance(value, list) else value


def _tag(shown: Projection | None, known: Deal | None) -> str:
    frame = f"{shown.frame}-{int(shown.as_of.timestamp() * 1000)}" if shown else "none"
    return f'W/"{frame}-{known.version}"' if known else f'W/"{frame}"'


_KEEP = "private, no-cache"
"""Keep it, but ask whether it still holds."""


def _unchanged(request: Request, shown: Projection | None, known: Deal | None = None) -> Response | None:
    tag = _tag(shown, known)
    sent = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    return Response(status_code=304, headers={"ETag": tag, "Cache-Control": _KEEP}) if tag in sent else None


def _answer(shown: Projection | None, parts: dict[str, Any], known: Deal | None = None) -> Response:
    said = {"as_of": shown and shown.as_of, "plan": shown and shown.plan, "week": shown and shown.week}
    headers = {"ETag": _tag(shown, known), "Cache-Control": _KEEP}
    return Response(msgspec.json.encode(said | parts), headers=headers, media_type="application/json")
