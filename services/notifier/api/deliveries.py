"""``/v1/deliveries``: what was sent, what came back, and sending it again."""

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict

from services.notifier.api.shapes import LARGEST_ID, DeliveryId, Limit, Word
from services.notifier.store.deliveries import Deliveries
from shared.access import GuardedRoute, Principal, requires
from shared.problems import Problem

Read = Annotated[Principal, Depends(requires("read"))]
Admin = Annotated[Principal, Depends(requires("admin"))]
State = Literal["pending", "delivered", "given-up"]


class DeliveryOut(BaseModel):
    """One message to one subscription; ``due`` is when the next attempt comes while it is pending."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    subscription: uuid.UUID
    event: str
    type: str
    recalibration: str | None
    state: State
    attempts: int
    due: datetime
    status: int | None
    reason: str
    created: datetime
    ended: datetime | None


class AttemptOut(BaseModel):
    """One attempt; ``answer`` are the first bytes of what came back."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    milliseconds: int
    status: int | None
    outcome: str
    reason: str
    answer: str


class DeliveryWithAttempts(DeliveryOut):
    """A delivery and every attempt at it, oldest first."""

    log: list[AttemptOut]


class DeliveryPage(BaseModel):
    """Newest first; ``next`` is what to give as ``before`` for the page after this one."""

    items: list[DeliveryOut]
    next: int | None


def create_router(store: Deliveries, *, planned: Callable[[], None]) -> APIRouter:
    """The routes; ``planned`` hears of replays."""
    router = APIRouter(prefix="/v1/deliveries", tags=["deliveries"], route_class=GuardedRoute)

    @router.get("")
    async def list_deliveries(
        principal: Read,
        subscription: uuid.UUID | None = None,
        state: State | None = None,
        recalibration: Annotated[Word | None, Query()] = None,
        event: Annotated[Word | None, Query()] = None,
        before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None,
        limit: Limit = 100,
    ) -> DeliveryPage:
        """Deliveries, newest first."""
        found = await store.listed(
            limit=limit, before=before, subscription=subscription, state=state, recalibration=recalibration, event=event
        )
        following = found[-1].id if len(found) == limit else None
        return DeliveryPage(items=[DeliveryOut.model_validate(one) for one in found], next=following)

    @router.get("/{delivery_id}")
    async def get_delivery(delivery_id: DeliveryId, principal: Read) -> DeliveryWithAttempts:
        """One delivery with its attempts."""
        found = await store.get(delivery_id)
        if found is None:
            raise _no_such_delivery()
        delivery, log = found
        shape = DeliveryOut.model_validate(delivery)
        lines = [AttemptOut.model_validate(line) for line in log]
        return DeliveryWithAttempts(**shape.model_dump(), log=lines)

    @router.post("/{delivery_id}/replay", status_code=202)
    async def replay_delivery(delivery_id: DeliveryId, principal: Admin) -> DeliveryOut:
        """Send it again, under the same event id, with a whole new round of attempts."""
        if await store.get(delivery_id) is None:
            raise _no_such_delivery()
        again = await store.replay(delivery_id)
        if again is None:
            raise Problem(409, "the subscription is not enabled", "Enable it, then replay.")
        planned()
        return DeliveryOut.model_validate(again)

    return router


def _no_such_delivery() -> Problem:
    return Problem(404, "no such delivery", "It never was, or is older than deliveries are kept.")
