"""What every process serves: ``/healthz``, ``/readyz`` and ``/metrics``; and how it serves, in its own event loop."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable

import uvicorn
from fastapi import FastAPI, HTTPException
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import problems
from shared.db import DATABASE_ERRORS, is_away
from shared.observed import Observed, Readiness
from shared.problems import Problem
from shared.settings import HttpSettings
from shared.straight import StraightApp

BODY_WITHIN = 15.0
"""Seconds that a body may take to come."""

Reasons = Callable[[], Iterable[str]]
"""Answers why a process is not ready: sentences, none when it is."""


def create_ops_app(title: str, not_ready: Reasons, *series: CollectorRegistry) -> StraightApp:
    """A FastAPI application with the three routes; APIs add theirs to it.

    ``/healthz`` says that the process runs, ``/readyz`` 200 or 503 with the reasons, ``/metrics`` the Prometheus
    series: those of every process and the process's own ``series``. Requests to other routes are measured and traced.
    """
    app = StraightApp(title=title)
    problems.install(app)
    app.add_middleware(Observed)
    readiness = Readiness(not_ready)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        reasons = readiness.reasons()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    async def metrics(request: Request) -> Response:
        readiness.reasons()
        text = b"".join(generate_latest(registry) for registry in (REGISTRY, *series))
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    app.add_route("/healthz", healthz, include_in_schema=False)
    app.add_route("/readyz", readyz, include_in_schema=False)
    app.add_route("/metrics", metrics, include_in_schema=False)
    return app


def answer_while_database_is_away(app: FastAPI) -> None:
    """Answer 503 for as long as PostgreSQL cannot be reached; a statement that is wrong stays an error."""

    async def on_error(request: Request, error: Exception) -> Response:
        if not is_away(error):
            raise error
        detail = "Nothing was changed or it cannot be said whether; repeat the request."
        return Problem(503, "the database is away", detail, headers={"Retry-After": "1"}).response()

    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, on_error)


class BodyLimit:
    """Middleware: refuses bodies over ``largest`` bytes, declared or not, before they are in memory, and slow ones."""

    def __init__(self, app: ASGIApp, largest: int, within: float = BODY_WITHIN) -> None:
        """``within``: seconds from the first look at the body until it must be there."""
        self._app, self._largest, self._within = app, largest, within

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read, whole, until = 0, False, 0.0

        async def limited() -> Message:
            nonlocal read, whole, until
            if whole:  # what comes now is that the client has gone
                return await receive()
            until = until or asyncio.get_running_loop().time() + self._within
            try:
                async with asyncio.timeout_at(until):
                    message = await receive()
            except TimeoutError as late:
                raise HTTPException(408, f"the body was not there after {self._within:g} s") from late
            whole = not message.get("more_body", False)
            read += len(message.get("body", b""))
            if read > self._largest:
                # An HTTPException, because that is what a route passes on when it cannot read its body.
                raise HTTPException(413, f"the body is over {self._largest} bytes")
            return message

        await self._app(scope, limited if scope["type"] == "http" else receive, send)


class Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process decides when it ends."""

    def install_signal_handlers(self) -> None:
        """Left to the process."""


async def serve_beside(
    work: Coroutine[object, object, None], app: FastAPI, http: HttpSettings, stop: asyncio.Event
) -> None:
    """Serve ``app`` and do ``work`` until ``stop`` is set, which cancels it; an error of either ends both."""
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve(app, http, stop))
        worker = tasks.create_task(work)
        await stop.wait()
        worker.cancel()


async def serve(app: FastAPI, http: HttpSettings, stop: asyncio.Event | None = None) -> None:
    """Serve ``app`` until ``stop`` is set or the task is cancelled; open requests get five seconds to end.

    Raises OSError when the port is taken.
    """
    config = uvicorn.Config(
        app,
        host=http.host,
        port=http.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
        lifespan="on",
    )
    server = Server(config)
    if stop is None:
        await server._serve()
        return

    async def watch(event: asyncio.Event) -> None:
        await event.wait()
        server.should_exit = True

    watcher = asyncio.create_task(watch(stop))
    try:
        await server._serve()
    finally:
        watcher.cancel()
