"""What the door answers and what it keeps of a request."""

import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from shared import tracing
from shared.access import Principal
from shared.errors import NotReady
from shared.problems import Problem
from shared.schemas import trace
from shared.schemas.envelope import Headers
from shared.schemas.inbox import KEY_HEADER, RECEIVED_HEADER, REQUEST_PREFIX, SOURCE_HEADER

_SECRET = re.compile(r"auth|cookie|credential|key|passw|secret|session|signature|token", re.IGNORECASE)
_KEPT_HEADERS = 24
_KEPT_BYTES = 300


def accepted(ids: Sequence[str]) -> Response:
    """202: the events are durable. ``ids`` in the order of the request."""
    body = msgspec.json.encode({"accepted": len(ids), "ids": ids})
    return Response(body, 202, media_type="application/json")


def status_of(error: Problem | NotReady) -> int:
    """The status that a refusal is answered with."""
    return error.status if isinstance(error, Problem) else 503


def audit_headers(request: Request, source: str, received: str) -> Headers:
    """The headers of every inbox record of a request: who reads it, when it came, by whose key, and its own headers.

    Secrets are left out. A header is left out by its name, so one that carries a secret under an innocent name should
    not be sent; headers that are long or many are left out too.
    """
    made: Headers = [(SOURCE_HEADER, source.encode()), (RECEIVED_HEADER, received.encode())]
    caller: Principal | None = getattr(request.state, "principal", None)
    if caller is not None:
        made.append((KEY_HEADER, caller.id.encode()))
    kept = [
        (kept_as, value)
        for name, value in request.headers.raw
        if len(value) <= _KEPT_BYTES and (kept_as := _kept_as(name)) is not None
    ]
    made += kept[:_KEPT_HEADERS]
    given = trace.traceparent(request.headers.getlist("traceparent"))
    if given is not None:
        # Where spans are made, what follows is a child of the door's.
        made.append((trace.TRACEPARENT_HEADER, tracing.current() or given))
    return made


@lru_cache(maxsize=512)
def _kept_as(name: bytes) -> str | None:
    """The name under which a header of the request is kept; None: it is not. Senders send the same names each time."""
    text = name.decode("latin-1")
    return None if _SECRET.search(text) else REQUEST_PREFIX + text


def traced(made: Headers, own: bytes | None = None) -> Headers:
    """``made`` with a trace: the request's, else the event's ``own``, else the one that began with the door's span."""
    found = None if trace.trace_in(made) else own or tracing.current()
    return made if found is None else [*made, (trace.TRACEPARENT_HEADER, found)]
