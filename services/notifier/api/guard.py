"""What holds for every route: how much may be sent, and what is answered while the database is away."""

from fastapi import FastAPI, HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.http import answer_while_database_is_away

LARGEST_BODY = 1024 * 1024


class BodyLimit:
    """Refuses bodies over ``LARGEST_BODY``, declared or not, before they are in memory."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > LARGEST_BODY:
                # An HTTPException, because that is what a route passes on when it cannot read its body.
                raise HTTPException(413, f"the body is over {LARGEST_BODY} bytes")
            return message

        await self._app(scope, limited if scope["type"] == "http" else receive, send)


def install(app: FastAPI) -> None:
    """Put both around ``app``."""
    app.add_middleware(BodyLimit)
    answer_while_database_is_away(app)
