"""``/v1/recalibrations``: what is asked of whom, and their answers."""

import base64
import binascii
import json
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Header, Query
from pydantic import AwareDatetime, Field
from starlette.requests import Request
from starlette.responses import Response

from services.notifier import metrics
from services.notifier.api.shapes import Limit, Prose, RecalibrationId, Strict, Word
from services.notifier.domain.answers import Refusal, Words, objections
from services.notifier.domain.authority import no_pool, unknown
from services.notifier.store.answers import Answers, Given, Mismatch, Unknown
from services.notifier.store.plans import Plans
from services.notifier.store.recalibrations import OPEN, STATES, Known, Recalibrations
from shared import tracing
from shared.access import GuardedRoute, Principal, requires
from shared.clock import Clock
from shared.problems import Problem
from shared.schemas import decision as decisions
from shared.schemas import recalibration as records
from shared.schemas.decision import Effect
from shared.schemas.plan import Plan
from shared.schemas.trace import traceparent

Read = Annotated[Principal, Depends(requires("read"))]
Decide = Annotated[Principal, Depends(requires("decide"))]
Key = Annotated[str | None, Header(alias="Idempotency-Key", min_length=1, max_length=200, pattern=r"^[\x20-\x7e]+$")]
State = Literal["open", "firing", "mitigated", "resolved"]
JSON = "application/json"


class Acknowledgement(Strict):
    """``by`` (an id of the plan's people) has seen it and takes care of it."""

    by: Word
    note: Prose = ""


class EffectShape(Strict):
    """``amount`` of the pool's unit more in each of ``weeks``; or with ``deals`` their effort on it held back.

    Whoever says the ``unit`` is told when the pool is counted in another.
    """

    pool: Word
    unit: Word | None = None
    weeks: list[Annotated[str, Field(max_length=10)]] = Field([], max_length=520)
    amount: float = Field(0.0, allow_inf_nan=False)
    deals: list[Word] = Field([], max_length=1000)
    confirm_by: AwareDatetime | None = None

    def effect(self) -> Effect:
        """As the log has it."""
        return Effect(self.pool, self.weeks, self.amount, self.deals, self.confirm_by)


class Decision(Strict):
    """What ``by`` decides and why: an action, with its effects on capacity if it has any."""

    by: Word
    why: Annotated[Prose, Field(min_length=1)]
    action: Word | None = None
    effects: list[EffectShape] = Field([], max_length=200)


def create_router(
    store: Recalibrations, answers: Answers, plans: Plans, *, clock: Clock, answered: Callable[[], None]
) -> APIRouter:
    """The routes; answers are given at ``clock``'s time, and ``answered`` hears of each."""
    router = APIRouter(prefix="/v1/recalibrations", tags=["recalibrations"], route_class=GuardedRoute)

    async def give(
        request: Request,
        recalibration_id: str,
        words: Words,
        principal: Principal,
        key: str | None,
        plan: Plan | None = None,
    ) -> Response:
        if principal.person is not None and principal.person != words.by:
            detail = f"The key belongs to {principal.person!r}, who cannot answer as {words.by!r}."
            raise Problem(403, "this key answers for somebody else", detail)
        given = await answers.give(
            recalibration_id,
            words,
            now=clock.now(),
            key=key,
            key_name=principal.name,
            trace=_trace(request),
            plan=plan,
        )
        answer = _answer(given)
        if isinstance(given, Given) and given.since_fired is not None:
            metrics.ACK_SECONDS.observe(max(0.0, given.since_fired.total_seconds()))
        answered()
        return answer

    @router.get("")
    async def list_recalibrations(
        principal: Read,
        state: State | None = None,
        pool: Annotated[Word | None, Query()] = None,
        after: Annotated[str | None, Query(max_length=1000, description="`next` of the page before")] = None,
        limit: Limit = 100,
    ) -> Response:
        """Recalibrations with the answers to them, newest firing first; `state=open` are those not resolved.

        404 for a pool that the plan in force does not have and that no recalibration found is about: it is a slip.
        """
        kinds = None if state is None else OPEN if state == "open" else STATES[state]
        found = await store.listed(kinds=kinds, pool=pool, limit=limit, before=_place(after))
        _check_pool(None if found or after else pool, plans.in_force)
        following = _mark(found[-1]) if len(found) == limit else None
        return _json({"items": [_shape(one) for one in found], "next": following})

    @router.get("/{recalibration_id}")
    async def get_recalibration(recalibration_id: RecalibrationId, principal: Read) -> Response:
        """One recalibration as it stands, with the answers to it."""
        known = await store.known(recalibration_id)
        if known is None:
            raise _no_such_recalibration()
        return _json(_shape(known))

    @router.post("/{recalibration_id}/acknowledge")
    async def acknowledge(
        request: Request, recalibration_id: RecalibrationId, body: Acknowledgement, principal: Decide, key: Key = None
    ) -> Response:
        """Say that it is seen. 201 the first time; said again by the same person, 200 with the same answer."""
        return await give(request, recalibration_id, Words("acknowledged", body.by, body.note), principal, key)

    @router.post("/{recalibration_id}/decide")
    async def decide(
        request: Request, recalibration_id: RecalibrationId, body: Decision, principal: Decide, key: Key = None
    ) -> Response:
        """Decide, with effects on capacity. 201 the first time; the same again, 200 with the same answer.

        403 when the effects go beyond what the person may decide about a pool; `may` names those who may.
        """
        effects = tuple(shape.effect() for shape in body.effects)
        plan = plans.in_force if effects else None
        wrong = objections(effects)
        if plan is not None:
            wrong += unknown(effects, [shape.unit for shape in body.effects], plan)
        if wrong:
            raise Problem(422, "the effects cannot be applied", "; ".join(wrong), errors=wrong)
        if effects and plan is None:
            raise Problem(409, "no plan is in force", "Effects are held against the plan in force; none was published.")
        words = Words("decided", body.by, body.why, body.action, effects)
        return await give(request, recalibration_id, words, principal, key, plan)

    return router


def _trace(request: Request) -> bytes | None:
    """What goes on to the log: the span of this request where spans are made, else the trace it brought."""
    return tracing.current() or traceparent(request.headers.getlist("traceparent"))


def _answer(given: Given | Unknown | Refusal | Mismatch) -> Response:
    """What the caller is told about an answer."""
    match given:
        case Given(decision, new):
            return Response(decisions.encode(decision), 201 if new else 200, media_type=JSON)
        case Unknown():
            raise _no_such_recalibration()
        case Mismatch():
            detail = "Repeat a request with the same words, or send another key with other words."
            raise Problem(422, "the idempotency key was used for another answer", detail)
        case Refusal("not-asked", reason):
            raise Problem(403, "not asked of this person", reason)
        case Refusal("not-allowed", reason, may):
            raise Problem(403, "more than this person may decide", reason, may=list(may))
        case Refusal(_, reason):
            raise Problem(409, "the recalibration is closed", reason)


def _shape(known: Known) -> dict[str, Any]:
    record = records.decode(known.body.encode())
    state = next(state for state, kinds in STATES.items() if record.kind in kinds)
    return {
        "state": state,
        "recalibration": msgspec.Raw(known.body.encode()),
        "answers": [msgspec.Raw(answer.encode()) for answer in known.answers],
    }


def _json(body: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(body), media_type=JSON)


def _mark(last: Known) -> str:
    record = records.decode(last.body.encode())
    return base64.urlsafe_b64encode(json.dumps([record.fired.isoformat(), record.id]).encode()).decode()


def _place(mark: str | None) -> tuple[datetime, str] | None:
    """Where a page begins; raises a problem when the mark is not one of ours."""
    if mark is None:
        return None
    try:
        fired, identity = json.loads(base64.urlsafe_b64decode(mark.encode()))
        place = datetime.fromisoformat(fired), str(identity)
        if place[0].tzinfo is None or "\0" in place[1]:
            raise ValueError("not a mark")
    except (ValueError, TypeError, binascii.Error):
        raise Problem(422, "the page mark cannot be read", "Give `next` of the page before as `after`.") from None
    return place


def _check_pool(pool: str | None, plan: Plan | None) -> None:
    if pool is not None and plan is not None and (slip := no_pool(pool, plan)):
        raise Problem(404, "no such pool", slip, pool=pool)


def _no_such_recalibration() -> Problem:
    return Problem(404, "no such recalibration", "GET /v1/recalibrations lists them.")
