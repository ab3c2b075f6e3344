"""What is noted of a process from outside: every HTTP request, and whether probes find it ready."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter

import structlog
from opentelemetry.trace import SpanKind
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared import tracing
from shared.schemas.trace import traceparent
from shared.telemetry import HTTP_SECONDS, READY

OPS = frozenset({"/healthz", "/readyz", "/metrics"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
"""The route of a request that meets none: paths that strangers think up must not become series."""

log = structlog.get_logger(__name__)


class Observed:
    """Middleware: measures each request by the template of its route, and opens its span in the caller's trace.

    What is measured ends when the answer begins, so a stream of events counts like any other answer. A request whose
    handling failed counts as 500, one whose sender left before the answer as 499.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPS:
            await self._app(scope, receive, send)
            return
        given = traceparent([value.decode("latin-1") for name, value in scope["headers"] if name == b"traceparent"])
        with _said(given), tracing.span("request", given, SpanKind.SERVER) as span:
            started, status = perf_counter(), 499

            async def note(message: Message) -> None:
                nonlocal status
                if message["type"] == "http.response.start":
                    status = message["status"]
                    _measure(scope, status, perf_counter() - started)
                await send(message)

            try:
                await self._app(scope, receive, note)
            except Exception:
                if status == 499:
                    status = 500
                    _measure(scope, status, perf_counter() - started)
                raise
            finally:
                if span is not None:
                    span.update_name(f"{_method(scope)} {_route(scope)}")
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        tracing.failed(span, f"answered {status}")
            if status == 499:
                _measure(scope, status, perf_counter() - started)


def _said(given: bytes | None) -> AbstractContextManager[None]:
    """Has log lines name the caller's trace."""
    if given is None:
        return nullcontext()
    return structlog.contextvars.bound_contextvars(trace_id=given.decode().split("-")[1])


def _measure(scope: Scope, status: int, seconds: float) -> None:
    HTTP_SECONDS.labels(_method(scope), _route(scope), status).observe(seconds)


def _method(scope: Scope) -> str:
    return scope["method"] if scope["method"] in METHODS else "other"


def _route(scope: Scope) -> str:
    return getattr(scope.get("route"), "path", None) or UNMATCHED


class Readiness:
    """Whether a process is ready, as probes and scrapes ask; its log says when that changes, and why."""

    def __init__(self, not_ready: Callable[[], Iterable[str]]) -> None:
        self._not_ready = not_ready
        self._said: list[str] | None = None

    def reasons(self) -> list[str]:
        """Why it is not ready; empty when it is."""
        reasons = list(self._not_ready())
        READY.set(not reasons)
        if reasons != self._said:
            log.info("not ready" if reasons else "ready", **({"reasons": reasons} if reasons else {}))
            self._said = reasons
        return reasons
