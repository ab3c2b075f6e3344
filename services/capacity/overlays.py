"""``POST /v1/what-if``: an overlay on the live book, answered with what it changes.

Deals that an overlay names come from the read models, which follow ``deals.v1`` beside the book and not in step with
it. They are taken to be as the book holds them when the book has everything that the tables had, and the tables, once
they have everything that the book had, still say the same of them; else it is tried again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Final, NamedTuple

import msgspec
from fastapi import APIRouter, Body, Depends, Query, Request
from starlette.responses import Response

from services.capacity.domain import contribution
from services.capacity.domain.cell_lines import NotInBook
from services.capacity.domain.contribution import DealRecord
from services.capacity.domain.overlay import lay, named_in
from services.capacity.domain.overlay_plan import Finding, UnfitOverlay, plan_of
from services.capacity.domain.projector import PlanInForce
from services.capacity.domain.what_if import compared, described
from services.capacity.live import Live, LiveBook
from services.capacity.store.reading import ReadingModels
from shared.access import GuardedRoute, requires
from shared.errors import NotReady
from shared.problems import Problem
from shared.schemas import deal as deals
from shared.schemas.deal import Deal
from shared.schemas.what_if import WhatIf
from shared.topics import DEALS

MOST_ROWS: Final = 5000
ROWS: Final = 500
"""Positions in an answer, unless more or fewer are asked for."""
_TRIES: Final = 8
_PATIENCE: Final = 2.0
"""Seconds that the book and the tables get to see what the other has."""
_LOOK_EVERY: Final = 0.02
_MARKER: Final = 1
"""Offsets by which one may be behind the other at rest: the end of a transaction is no record."""

router = APIRouter(prefix="/v1", tags=["questions"], dependencies=[Depends(requires("read"))], route_class=GuardedRoute)

_EXAMPLES: Final[dict[str, Any]] = {
    "win": {
        "summary": "Win these deals",
        "value": {"deals": [{"of": {"ids": ["crm/E-05", "crm/E-06"]}, "outcome": "won"}]},
    },
    "discount": {
        "summary": "A fifth off for a segment, which sells a quarter more",
        "value": {"deals": [{"of": {"segments": ["enterprise"]}, "discount": 0.2, "volume": 1.25}]},
    },
    "hire": {
        "summary": "Hire two, and lose a week",
        "value": {
            "capacity": [
                {"pool": "implementation", "hire": 2, "start": "2026-06-01"},
                {"pool": "implementation", "absence": 40, "weeks": "2026-W24..2026-W25"},
            ]
        },
    },
    "plan": {
        "summary": "More capacity by the plan",
        "value": {"plan_changes": {"pools": {"implementation": {"capacity": {"per_week": 520}}}}},
    },
}
_Overlay = Annotated[WhatIf, Body(openapi_examples=_EXAMPLES)]
_Rows = Annotated[int, Query(ge=0, le=MOST_ROWS, description="how many changed positions are named at most")]


@router.post("/what-if", response_model=None, responses={
    200: {"description": "What the overlay changes: before, after and the difference."},
    422: {"description": "The overlay cannot be laid over the book; `problems` names each place in it and why."},
    503: {"description": "The book is not read yet, too many questions wait, or a named deal is changing right now."},
})  # fmt: skip
async def what_if(request: Request, overlay: _Overlay, rows: _Rows = ROWS) -> Response:
    """What would be if deals, capacity or parts of the plan were as the overlay says.

    It is laid over a copy of the live book as it is now; nothing that is live changes, and nobody is told. The answer
    has every position and work item that would be different, each `before`, `after` and its `difference` (after less
    before), a summary by pool, and milestones, bookings and forecasts where they differ. Where more positions change
    than `rows`, those are named whose overload changes most; `positions_changed` counts all. `deal_lines` says how
    many lines of deals each of the overlay's `deals` meant.
    """
    content = await answered(request.app.state.live, request.app.state.models, overlay, rows)
    return Response(content, headers={"Cache-Control": "no-store"}, media_type="application/json")


class PlanMovedOn(NotReady):
    """Another plan was published while the overlay's was made of the one before."""


async def answered(live: LiveBook, models: ReadingModels, overlay: WhatIf, rows: int) -> bytes:
    """The answer as JSON; once more with the new plan when one is published meanwhile."""
    try:
        return await _under_one_plan(live, models, overlay, rows)
    except PlanMovedOn:
        return await _under_one_plan(live, models, overlay, rows)


async def _under_one_plan(live: LiveBook, models: ReadingModels, overlay: WhatIf, rows: int) -> bytes:
    question = Question(overlay, await _planned(live, overlay), rows)
    ids = named_in(overlay)
    if not ids:
        return await live.ask(lambda book: _answer(book, question, {}).content)
    for _ in range(_TRIES):
        found = await _consistent(live, models, question, ids)
        if found is not None:
            return found
    raise NotReady("a deal of the overlay is changing right now", why="the book is behind it", do="Ask again.")


class Planned(NamedTuple):
    """The plan that an overlay makes of the one in force, which it was made of."""

    of: PlanInForce
    changed: PlanInForce


class Question(NamedTuple):
    """The overlay, the plan it makes if it changes that, and how many positions to name."""

    overlay: WhatIf
    planned: Planned | None
    rows: int


async def _planned(live: LiveBook, overlay: WhatIf) -> Planned | None:
    """Reading a plan takes a second or more, which the questions behind this one need not wait for."""
    if overlay.plan_text is None and not overlay.plan_changes:
        return None
    try:
        return await live.prepare(lambda in_force: Planned(in_force, plan_of(in_force, overlay)))
    except UnfitOverlay as error:
        raise _unfit(error.findings) from None


class _Answered(NamedTuple):
    content: bytes
    reached: Mapping[int, int]
    """The deals offsets that the book had applied, by partition."""


async def _consistent(live: LiveBook, models: ReadingModels, question: Question, ids: Sequence[str]) -> bytes | None:
    """The answer; None when book and tables do not speak of the same deals."""
    known, tables = await _read(models, ids)
    if missing := [name for name in ids if name not in known or known[name].deleted]:
        raise _unfit(_unknown_deals(question.overlay, set(missing)))
    await _until(live.reached, tables)
    records = {name: contribution.decode(deals.encode(known[name])) for name in ids}
    try:
        found = await live.ask(lambda book: _answer(book, question, records))
    except NotInBook:
        await asyncio.sleep(_LOOK_EVERY)
        return None

    async def reached() -> Mapping[int, int]:
        return (await _read(models, []))[1]

    await _until(reached, found.reached)
    still, _ = await _read(models, ids)
    return found.content if _versions(still) == _versions(known) else None


async def _read(models: ReadingModels, ids: Sequence[str]) -> tuple[dict[str, Deal], dict[int, int]]:
    async with models.snapshot() as snapshot:
        return await snapshot.deals(ids), await snapshot.reached(DEALS.name)


async def _until(reached: Callable[[], Awaitable[Mapping[int, int]]], goal: Mapping[int, int]) -> None:
    """Wait until offsets are ``reached``; raises NotReady when they are not in time."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        now = await reached()
        behind = max((upto - now.get(partition, 0) for partition, upto in goal.items()), default=0)
        if behind <= 0 or (behind <= _MARKER and time.monotonic() > deadline - _PATIENCE / 2):
            return
        if time.monotonic() > deadline:
            raise NotReady("the book is catching up", why=f"{behind} deals are on their way", do="Ask again.")
        await asyncio.sleep(_LOOK_EVERY)


def _versions(known: Mapping[str, Deal]) -> dict[str, int]:
    return {name: one.version for name, one in known.items()}


def _answer(live: Live, question: Question, records: Mapping[str, DealRecord]) -> _Answered:
    overlay, planned, rows = question
    if planned is not None and planned.of.plan is not live.in_force.plan:
        why = "the overlay was laid over the one before"
        raise PlanMovedOn("a plan was published just now", why=why, do="Ask again.")
    in_force = planned.changed if planned is not None else live.in_force
    try:
        laid = lay(live.projector, in_force, live.now, overlay, records)
    except UnfitOverlay as error:
        raise _unfit(error.findings) from None
    said: dict[str, Any] = {"as_of": live.now, "plan": live.in_force.name, "what_if": overlay.what_if}
    said |= described(laid, live.in_force.plan) | compared(live.projector, live.told, laid, rows)
    return _Answered(msgspec.json.encode(said), live.reached)


def _unknown_deals(overlay: WhatIf, missing: set[str]) -> list[Finding]:
    return [
        (("deals", number, "of", "ids", place), f"no deal {name!r} is known")
        for number, change in enumerate(overlay.deals)
        for place, name in enumerate(change.of.ids or ())
        if name in missing
    ]


def _unfit(found: Sequence[Finding]) -> Problem:
    problems = [{"path": list(path), "reason": reason} for path, reason in found]
    told = "; ".join(f"{'.'.join(map(str, path))}: {reason}" for path, reason in found[:3])
    return Problem(422, "the overlay does not fit the book", told, problems=problems)
