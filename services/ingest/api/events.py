"""``POST /v1/events``: CloudEvents in the structured, batch and binary mode of their HTTP binding.

All events of a request are read before one of them is kept: a bad one refuses the request and is named by its index.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import unquote

import msgspec
from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import metrics
from services.ingest.api.answers import accepted, audit_headers, status_of, traced
from services.ingest.api.bodies import Limits, check_events, expanded, raw_body
from services.ingest.domain import strict_json
from services.ingest.domain.change import DealChange, Unusable
from services.ingest.normalise import cloudevents
from services.ingest.normalise.record import CLOUDEVENTS
from services.ingest.store.inbox import Inbox, InboxRecord
from shared.access import Principal, requires
from shared.clock import Clock
from shared.errors import NotReady
from shared.problems import Problem
from shared.schemas import inbox
from shared.schemas.report import Report
from shared.schemas.signal import Signal

PATH = "/v1/events"
STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
JSON = "application/json"

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True)
class Taken:
    """One event that may be kept: its envelope, what it says, and the bytes and headers of its record."""

    envelope: cloudevents.Envelope
    said: DealChange | Report | Signal
    value: bytes
    headers: Sequence[tuple[str, bytes]]


def create_router(box: Inbox, limits: Limits, clock: Clock) -> APIRouter:
    """The route, over the inbox and the system's clock."""
    router = APIRouter(tags=["events"])
    caller = Depends(requires("ingest", "report", refused=_count_refused))

    @router.post(PATH, status_code=202, response_model=None, openapi_extra=_OPENAPI)
    async def events(request: Request, principal: Principal = caller) -> Response:
        """Take in changes of deals, capacity reports and signals; 202 once they are durable."""
        try:
            body = expanded(await raw_body(request, limits), request.headers.get("content-encoding", ""), limits)
            now = clock.now()
            taken = _taken(request, body, now, limits)
            _check_scope(principal, taken)
            common = audit_headers(request, CLOUDEVENTS, now.isoformat())
            await box.append([_record(one, common) for one in taken])
        except (Problem, NotReady) as error:
            _count_refused(error)
            raise
        metrics.ACCEPTED.labels(CLOUDEVENTS).inc(len(taken))
        return accepted([one.envelope.id for one in taken])

    return router


def _count_refused(error: Problem | NotReady) -> None:
    # By the kind of sender alone: a stranger must not be able to make series.
    metrics.REFUSED.labels(CLOUDEVENTS, status_of(error)).inc()


def _taken(request: Request, body: bytes, now: datetime, limits: Limits) -> list[Taken]:
    """The events of a request, all of them good, or a problem."""
    media, charset = _media_type(request.headers.get("content-type", ""))
    if charset not in ("", "utf-8", "utf8", "us-ascii"):
        raise Problem(415, "the character set is not understood", f"charset is {charset[:40]!r}; JSON is UTF-8.")
    try:
        if media == BATCH:
            return _batch(body, now, limits)
        if media == STRUCTURED:
            check_events([len(body)], limits)
            envelope = cloudevents.structured(body)
            return [Taken(envelope, cloudevents.read(envelope, now), body, _content_type(STRUCTURED))]
        return [_binary(request, media, body, now, limits)]
    except Unusable as error:
        raise Problem(400, error.what, f"{error.why}.", reason=error.reason) from error


def _batch(body: bytes, now: datetime, limits: Limits) -> list[Taken]:
    try:
        parts = [bytes(part) for part in _split(body)]
    except msgspec.ValidationError as error:
        raise Unusable("wrong-shape", "a batch is a JSON array of events") from error
    except (ValueError, RecursionError) as error:
        raise Unusable("malformed", strict_json.readable(error)) from error
    check_events([len(part) for part in parts], limits)
    taken: list[Taken] = []
    errors: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        try:
            envelope = cloudevents.structured(part)
            taken.append(Taken(envelope, cloudevents.read(envelope, now), part, _content_type(STRUCTURED)))
        except Unusable as error:
            errors.append({"index": index, "reason": error.reason, "detail": error.why})
    if errors:
        detail = "; ".join(f"{error['index']}: {error['detail']}" for error in errors[:5])
        what = f"{len(errors)} of {len(parts)} events cannot be used"
        raise Problem(400, what, f"None was taken in. {detail}.", errors=errors)
    return taken


def _binary(request: Request, media: str, body: bytes, now: datetime, limits: Limits) -> Taken:
    if media != JSON and not media.endswith("+json"):
        detail = f"Content-Type is {media[:80]!r}. Send {STRUCTURED}, {BATCH}, or {JSON} with ce-* headers."
        raise Problem(415, "the content type is not understood", detail, headers={"Accept": f"{STRUCTURED}, {BATCH}"})
    check_events([len(body)], limits)
    attributes = _attributes(request)
    if not attributes:
        why = f"a body of {media} needs the event's attributes in ce-* headers; a whole event is {STRUCTURED}"
        raise Unusable("wrong-shape", why)
    envelope = cloudevents.binary(attributes | {"datacontenttype": media}, body)
    headers = [(f"ce_{name}", value.encode()) for name, value in attributes.items() if name in cloudevents.ATTRIBUTES]
    return Taken(envelope, cloudevents.read(envelope, now), body, [*headers, *_content_type(media)])


def _attributes(request: Request) -> dict[str, str]:
    """The ``ce-*`` headers by attribute, percent codes undone as the binding asks."""
    found: dict[str, str] = {}
    for raw_name, raw_value in request.headers.raw:
        name = raw_name.decode("latin-1").lower()
        if not name.startswith("ce-"):
            continue
        attribute = name[3:]
        if attribute in found:
            raise Unusable("malformed", f"the header {name} comes twice")
        try:
            found[attribute] = unquote(raw_value.decode("utf-8"), errors="strict")
        except UnicodeDecodeError as error:
            raise Unusable("malformed", f"the header {name} is not UTF-8") from error
    return found


def _record(taken: Taken, common: Sequence[tuple[str, bytes]]) -> InboxRecord:
    """The record of one event; its own trace comes after the request's, which readers take first."""
    headers = [*common, *(header for header in taken.headers if header[0] != "ce_traceparent")]
    headers.append((inbox.KIND_HEADER, _kind(taken.said).encode()))
    headers = traced(headers, cloudevents.trace_of(taken.envelope))
    return InboxRecord(cloudevents.key(taken.envelope, taken.said), taken.value, headers)


def _kind(said: DealChange | Report | Signal) -> str:
    if isinstance(said, DealChange):
        return inbox.DEAL
    return inbox.REPORT if isinstance(said, Report) else inbox.SIGNAL


def _check_scope(principal: Principal, taken: Sequence[Taken]) -> None:
    """A key that may only report may send nothing else."""
    if principal.may("ingest"):
        return
    others = [index for index, one in enumerate(taken) if not isinstance(one.said, Report)]
    if others:
        detail = f"The key {principal.name!r} has the scope report; event {others[0]} is not a capacity report."
        raise Problem(403, "this key may not do that", detail)


def _media_type(header: str) -> tuple[str, str]:
    """Media type and character set of a Content-Type, in lower case; empty when not said."""
    media, *parameters = header.lower().split(";")
    charsets = [part.partition("=")[2].strip(" \"'") for part in parameters if part.strip().startswith("charset=")]
    return media.strip(), charsets[0] if charsets else ""


def _content_type(media: str) -> list[tuple[str, bytes]]:
    return [("content-type", media.encode())]


_EVENT: dict[str, Any] = {
    "type": "object",
    "required": ["specversion", "id", "source", "type", "data"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "minLength": 1, "maxLength": 200},
        "source": {"type": "string", "minLength": 1, "maxLength": 200},
        "type": {"enum": list(cloudevents.TYPES)},
        "subject": {"type": "string", "description": "the object: a deal's or a report's own id at the source"},
        "time": {"type": "string", "format": "date-time"},
        "sequence": {"type": "string", "description": "orders events of one time", "pattern": "^[0-9]{1,18}$"},
        "data": {"type": "object"},
    },
}
_OPENAPI: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED: {"schema": _EVENT},
            BATCH: {"schema": {"type": "array", "items": _EVENT, "maxItems": 1000}},
            JSON: {"schema": {"type": "object", "description": "the data alone, attributes in ce-* headers"}},
        },
    },
    "responses": {
        "400": {"description": "An event cannot be used; none was taken in."},
        "413": {"description": "The request is too large."},
        "415": {"description": "The content type is not understood."},
        "503": {"description": "The events could not be made durable; send them again."},
    },
}
