"""``POST /v1/webhooks/hubspot/{connection}``: an array of changes, signed by HubSpot.

The signature is checked over the bytes as they came; then whatever they are is kept and answered with 202, for HubSpot
gives up on senders that refuse. What cannot be read becomes a dead letter of the normaliser's. Each element is kept as
the exact bytes of its part, under the id of its deal.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import structlog
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from services.ingest import metrics
from services.ingest.api.answers import accepted, audit_headers, status_of, traced
from services.ingest.api.bodies import Limits, check_events, expanded, raw_body
from services.ingest.domain import signature
from services.ingest.normalise import hubspot
from services.ingest.normalise.record import CONNECTION_HEADER, HUBSPOT
from services.ingest.store.inbox import Inbox, InboxRecord
from shared.clock import Clock
from shared.errors import NotReady
from shared.problems import Problem
from shared.schemas.envelope import Headers

PATH = "/v1/webhooks/hubspot/{connection}"

log = structlog.get_logger(__name__)

_split = msgspec.json.Decoder(list[msgspec.Raw]).decode


@dataclass(frozen=True, slots=True, repr=False)
class Signer:
    """How the requests of one connection are signed; ``uri`` is the public address. Its repr shows no secret."""

    secrets: Sequence[str]
    allowed: frozenset[signature.Version]
    uri: str


def create_router(box: Inbox, signers: Mapping[str, Signer], limits: Limits, clock: Clock) -> APIRouter:
    """The route, over the inbox, the connections' secrets and the system's clock."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        PATH,
        status_code=202,
        response_model=None,
        openapi_extra={"x-scope": "signature", "requestBody": {"content": {"application/json": {"schema": {}}}}},
    )
    async def hubspot_webhook(request: Request, connection: str) -> Response:
        """Take in changes of deals from HubSpot; 202 once they are durable."""
        try:
            signer = _signer(signers, connection)  # first: nobody else's body is read
            raw = await raw_body(request, limits)
            _check_signature(request, connection, signer, raw)
            body = expanded(raw, request.headers.get("content-encoding", ""), limits)
            parts = _parts(body)
            check_events([len(part) for part in parts], limits)
            common = traced(audit_headers(request, HUBSPOT, clock.now().isoformat()))
            common.append((CONNECTION_HEADER, connection.encode()))
            records = [record for part in parts for record in _records(part, connection, common)]
            await box.append(records)
        except (Problem, NotReady) as error:
            metrics.REFUSED.labels(HUBSPOT, status_of(error)).inc()
            raise
        metrics.ACCEPTED.labels(HUBSPOT).inc(len(parts))
        return accepted([record.key.decode() for record in records])

    return router


def _signer(signers: Mapping[str, Signer], connection: str) -> Signer:
    try:
        return signers[connection]
    except KeyError:
        detail = "Connections are named in the door's settings (HEADROOM_INGEST__HUBSPOT)."
        raise Problem(404, "there is no such connection", detail, headers={"Connection": "close"}) from None


def _check_signature(request: Request, connection: str, signer: Signer, body: bytes) -> None:
    query = request.url.query
    uri = signer.uri if "?" in signer.uri or not query else f"{signer.uri}?{query}"
    verdict = signature.verify(
        request.headers,
        secrets=signer.secrets,
        allowed=signer.allowed,
        method=request.method,
        uri=uri,
        body=body,
        # Wall time whatever the system's clock says: the sender's clock is a real one.
        now_ms=int(time.time() * 1000),
    )
    if verdict != "signed":
        log.warning("a webhook was refused", connection=connection, verdict=verdict)
        why = {
            "no-signature": "It carries no signature.",
            "stale": "It was signed more than five minutes from now; check the clocks.",
            "version-not-allowed": "It is signed in a version that this connection does not allow.",
            "wrong-signature": "It is not signed with this connection's secret for this address and body.",
        }[verdict]
        raise Problem(401, "the signature does not hold", why, headers={"WWW-Authenticate": "HubSpot-Signature"})


def _parts(body: bytes) -> list[bytes]:
    """The elements of the array as they stand there; a body that is no array is one part."""
    try:
        return [bytes(part) for part in _split(body)]
    except (ValueError, RecursionError):
        return [body]


def _records(part: bytes, connection: str, common: Headers) -> list[InboxRecord]:
    return [InboxRecord(key, part, common) for key in hubspot.keys(part, connection)]
