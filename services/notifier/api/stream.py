"""``GET /v1/stream``: recalibrations and answers as server-sent events."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from starlette.responses import Response

from services.notifier.api.shapes import LARGEST_ID
from services.notifier.stream import EventStream, Hub
from shared.access import Principal, requires

Read = Annotated[Principal, Depends(requires("read"))]
LastId = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=LARGEST_ID)]
Since = Annotated[int | None, Query(ge=0, le=LARGEST_ID, description="as Last-Event-ID; 0: everything kept")]


def create_router(hub: Hub, *, heartbeat: float) -> APIRouter:
    """The route; a comment is sent after each ``heartbeat`` seconds of silence."""
    router = APIRouter(tags=["stream"])

    @router.get("/v1/stream")
    async def stream(principal: Read, last_event_id: LastId = None, since: Since = None) -> Response:
        """Events from now on, or after the last one the client has seen: nothing is missed or doubled.

        Types: `recalibration.firing|updated|mitigated|reopened|resolved`, `decision.acknowledged|decided`,
        `subscription.disabled`.
        """
        return EventStream(hub.listen(since if last_event_id is None else last_event_id, heartbeat))

    return router
