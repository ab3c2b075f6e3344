"""What is asked of the live book itself: why a position is as it is, and what one deal stresses.

Unlike the read models, which answer as of the last frame, these answers are computed when they are asked for. They say
as of which moment and under which plan.
"""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Depends, FastAPI, Path, Query, Request
from starlette.responses import Response

from services.capacity.domain.causes import NAMED, Causes, Stresses, causes_of, stresses_of
from services.capacity.domain.cell_lines import lines_of, name_in, unnamed
from services.capacity.domain.contribution import decode
from services.capacity.domain.forking import fork
from services.capacity.live import Live, LiveBook
from services.capacity.store.reading import ReadingModels
from shared.access import requires
from shared.problems import Problem
from shared.schemas import deal as deals
from shared.schemas.deal import Deal

MOST_NAMED: Final = 50

_Name = Annotated[str, Path(max_length=300)]

router = APIRouter(prefix="/v1", tags=["questions"], dependencies=[Depends(requires("read"))])


def install(app: FastAPI, live: LiveBook, models: ReadingModels) -> None:
    """Add these routes to ``app``, before those that take any path; it also needs ``app.state.keys``."""
    app.state.live = live
    app.state.models = models
    app.include_router(router)


@router.get("/positions/{pool}/{week}/causes")
async def causes(
    request: Request,
    pool: _Name,
    week: Annotated[str, Path(description="ISO week, such as 2026-W14", max_length=10)],
    deals: Annotated[int, Query(ge=0, le=MOST_NAMED, description="how many deals are named at most")] = NAMED,
) -> Response:
    """Why a position is as it is: its largest deals with their share of expected demand and of the tail.

    The tail is what a deal contributes on average when there is too much. Each set of shares sums to one with `others`,
    of which `base` is work that no deal explains. `overload_without` is the probability of overload if the deal did not
    exist. All three are null where an overload is next to impossible.
    """

    def found(live: Live) -> bytes:
        if pool not in live.in_force.plan.pools:
            known = ", ".join(list(live.in_force.plan.pools)[:20])
            raise Problem(404, "no such pool", f"Plan {live.in_force.name} has no pool {pool!r}; it has {known}.")
        if (pool, week) not in live.projector.positions:
            weeks = sorted(shown for of, shown in live.projector.positions if of == pool)
            told = f"it has {weeks[0]} to {weeks[-1]}" if weeks else "it has none"
            raise Problem(404, "no such position", f"{week!r} is no week of the table of {pool!r}; {told}.")
        return _causes(live, causes_of(live.projector, pool, week, deals))

    return _json(await _live(request).ask(found))


@router.get("/deals/{deal:path}/stresses")
async def stresses(request: Request, deal: str) -> Response:
    """What one deal stresses: every position it contributes to and every work item it takes effort from.

    Of each position its share of expected demand and of the tail, and `overload_without`, the probability of overload
    if it did not exist; of each work item the slip with and without it, on expected demand. A deal's id may hold
    slashes.
    """
    known = await _deal(request, deal)
    return _json(await _live(request).ask(lambda live: _stresses(live, deal, known)))


async def _deal(request: Request, deal: str) -> Deal:
    models: ReadingModels = request.app.state.models
    known = None
    if "\0" not in deal:
        async with models.snapshot() as snapshot:
            known = await snapshot.deal(deal)
    if known is None or known.deleted:
        detail = f"No deal {deal!r} is known; an id is the source and its object, such as hubspot/123."
        raise Problem(404, "no such deal", detail, id=deal)
    return known


def _stresses(live: Live, deal: str, known: Deal) -> bytes:
    projector = live.projector
    # A cell names its largest lines only; for the others a fork of the book does.
    if small := unnamed(projector.book, lines_of(deal, decode(deals.encode(known)))):
        projector = fork(projector)
        projector.cells_changed(name_in(projector.book, small))
        projector.project(live.now, live.in_force)
    found: Stresses = stresses_of(projector, deal)
    return _encoded(live, {"deal": deal, "positions": found.positions, "work": found.work})


def _causes(live: Live, found: Causes) -> bytes:
    position = found.position
    parts = {
        "pool": position.pool,
        "week": position.week,
        "unit": position.unit,
        "capacity": position.capacity,
        "overload": position.overload,
        "demand": found.demand,
        "tail_demand": found.tail_demand,
        "deals": found.deals,
        "others": found.others,
    }
    return _encoded(live, parts)


def _encoded(live: Live, parts: dict[str, Any]) -> bytes:
    said: dict[str, str | datetime] = {"as_of": live.now, "plan": live.in_force.name}
    return msgspec.json.encode(said | parts)


def _live(request: Request) -> LiveBook:
    live: LiveBook = request.app.state.live
    return live


def _json(content: bytes) -> Response:
    return Response(content, headers={"Cache-Control": "no-store"}, media_type="application/json")
