"""``GET /v1/stream``: recalibrations and answers as server-sent events, for as long as the key is valid."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response

from services.notifier.api.shapes import LARGEST_ID
from services.notifier.stream import EventStream, Hub
from shared.access import Keys, Principal, presented_key, requires
from shared.db import patiently

Read = Annotated[Principal, Depends(requires("read"))]
LastId = Annotated[int | None, Header(alias="Last-Event-ID", ge=0, le=LARGEST_ID)]
Since = Annotated[int | None, Query(ge=0, le=LARGEST_ID, description="as Last-Event-ID; 0: everything kept")]


def create_router(hub: Hub, *, heartbeat: float) -> APIRouter:
    """The route; a comment is sent after each ``heartbeat`` seconds of silence."""
    router = APIRouter(tags=["stream"])

    @router.get("/v1/stream")
    async def stream(request: Request, principal: Read, last_event_id: LastId = None, since: Since = None) -> Response:
        """Events from now on, or after the last one the client has seen: nothing is missed or doubled.

        An id beyond the last event, as after the database was made anew or restored, begins with everything kept.

        Types: `recalibration.firing|updated|mitigated|reopened|resolved`, `decision.acknowledged|decided`,
        `subscription.disabled`. A key that is revoked ends its streams within some seconds.
        """
        keys: Keys = request.app.state.keys
        key = presented_key(request) or ""

        async def may_listen() -> bool:
            found = await patiently("looking whether a key is still valid", lambda: keys.principal(key))
            return found is not None and found.may("read")

        return EventStream(hub.listen(since if last_event_id is None else last_event_id, heartbeat), may_listen)

    return router
