"""What the door keeps, the normaliser reads the same way: they meet only on the inbox."""

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from fastapi.routing import APIRoute
from starlette.requests import Request

from services.ingest import metrics
from services.ingest.api import events, webhooks
from services.ingest.api.answers import audit_headers
from services.ingest.api.bodies import Limits
from services.ingest.app import create_door
from services.ingest.normalise.hubspot import Connection
from services.ingest.normalise.record import CLOUDEVENTS, CONNECTION_HEADER, HUBSPOT, Adapters
from services.ingest.settings import IngestSettings
from shared.access import Principal
from shared.schemas.inbox import KEY_HEADER, REQUEST_PREFIX

NOW = datetime(2026, 4, 1, 12, 0, 0, 123456, tzinfo=UTC)
ADAPTERS = Adapters({"acme": Connection("acme", ZoneInfo("Europe/Berlin"))})
LIMITS = Limits(2**20, 2**20, 1.0)
EVENTS: dict[str, dict[str, Any]] = {
    "com.headroom.deal.changed": {"stage": "open", "close": "2026-06-30", "lines": [{"product": "a", "quantity": 2}]},
    "com.headroom.capacity.reported": {
        "kind": "capacity",
        "pool": "p",
        "week": "2026-W20",
        "amount": 1.5,
        "note": "a\nb",
    },
    "com.headroom.signal.observed": {"kind": "tickets-opened", "value": 3, "pool": "p"},
}


def request(headers: dict[str, str]) -> Request:
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/v1/events", "headers": raw})


@pytest.mark.parametrize("timed", [True, False])
@pytest.mark.parametrize("mode", ["structured", "batch", "binary"])
@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_an_event_is_read_as_it_was_taken(event_type: str, mode: str, timed: bool) -> None:
    attributes = {"specversion": "1.0", "id": "e1", "source": "crm Ä", "type": event_type, "subject": "42"}
    if timed:
        attributes["time"] = "2026-04-01T12:00:00.000001Z"
    data = json.dumps(EVENTS[event_type]).encode()
    whole = json.dumps(attributes).encode()[:-1] + b', "data": ' + data + b"}"
    if mode == "binary":
        sent = {f"ce-{name}": value.replace("Ä", "%C3%84") for name, value in attributes.items()}
        asked, body = request({"content-type": "application/json", **sent}), data
    elif mode == "batch":
        asked, body = request({"content-type": events.BATCH}), b"[" + whole + b"]"
    else:
        asked, body = request({"content-type": events.STRUCTURED}), whole
    (taken,) = events._taken(asked, body, NOW, LIMITS)
    record = events._record(taken, audit_headers(asked, CLOUDEVENTS, NOW.isoformat()))
    assert ADAPTERS.read(record.key, record.value, record.headers, timestamp=0) == taken.said


def test_what_a_header_says_of_the_content_does_not_matter_beside_its_type() -> None:
    attributes = {
        "specversion": "1.0",
        "id": "e1",
        "source": "crm",
        "type": "com.headroom.deal.changed",
        "subject": "42",
    }
    sent = {f"ce-{name}": value for name, value in (attributes | {"datacontenttype": "text/plain"}).items()}
    asked = request({"content-type": "application/json", **sent})
    (taken,) = events._taken(asked, b'{"stage": "open"}', NOW, LIMITS)
    record = events._record(taken, audit_headers(asked, CLOUDEVENTS, NOW.isoformat()))
    assert ADAPTERS.read(record.key, record.value, record.headers, timestamp=0) == taken.said


def test_an_element_is_read_under_each_of_its_keys() -> None:
    merge = {
        "portalId": 1,
        "subscriptionType": "deal.merge",
        "occurredAt": 1_775_044_800_000,
        "primaryObjectId": 2,
        "mergedObjectIds": [3, 4],
        "newObjectId": 2,
    }
    common = [*audit_headers(request({}), HUBSPOT, NOW.isoformat()), (CONNECTION_HEADER, b"acme")]
    records = webhooks._records(json.dumps(merge).encode(), "acme", common)
    assert len(records) == 3
    for record in records:
        said = ADAPTERS.read(record.key, record.value, record.headers, timestamp=0)
        assert said.deal_id.encode() == record.key  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "proxy-authorization",
        "cookie",
        "x-api-key",
        "x-auth-token",
        "x-hubspot-signature-v3",
        "x-session-id",
        "client-secret",
        "x-password",
        "x-credentials",
    ],
)
def test_headers_that_carry_secrets_are_not_kept(name: str) -> None:
    kept = audit_headers(request({name: "canary", "user-agent": "a"}), CLOUDEVENTS, "now")
    assert (REQUEST_PREFIX + "user-agent", b"a") in kept
    assert not any(b"canary" in value for _, value in kept)


def test_the_key_that_a_request_came_in_with_is_known_of_each_record() -> None:
    asked = request({"user-agent": "a"})
    assert KEY_HEADER not in dict(audit_headers(asked, CLOUDEVENTS, "now"))
    asked.state.principal = Principal("k7", "the CRM", frozenset({"ingest"}))
    assert (KEY_HEADER, b"k7") in audit_headers(asked, CLOUDEVENTS, "now")


def test_every_route_says_who_may_use_it() -> None:
    app = create_door(IngestSettings(database_url="postgresql+asyncpg://nobody@127.0.0.1/none"))
    open_to_all = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
    ours = {path for path in app.openapi()["paths"] if path not in open_to_all}
    assert ours == {"/v1/events", "/v1/webhooks/hubspot/{connection}", "/v1/plans", "/v1/plans/{plan_id}"}
    for path, operations in app.openapi()["paths"].items():
        for method, operation in operations.items():
            assert operation.get("x-scope") == "signature" or scopes_of(app, path, method), (method, path)


@pytest.mark.parametrize("path", ["/v1/events", "/v1/webhooks/hubspot/acme"])
def test_what_comes_often_goes_straight(path: str) -> None:
    app = create_door(IngestSettings(database_url="postgresql+asyncpg://nobody@127.0.0.1/none"))
    assert app._find({"method": "POST", "path": path}) is not None
    assert app._find({"method": "GET", "path": path}) is None


def scopes_of(app: Any, path: str, method: str) -> tuple[str, ...]:
    """The scopes a route's dependencies ask for."""
    for route in routes_of(app.router):
        if route.path == path and method.upper() in route.methods:
            for dependency in route.dependant.dependencies:
                if found := getattr(dependency.call, "scopes", ()):
                    return tuple(found)
    return ()


def routes_of(router: Any) -> list[APIRoute]:
    found: list[APIRoute] = []
    for route in router.routes:
        if isinstance(route, APIRoute):
            found.append(route)
        elif inner := getattr(route, "original_router", None):
            found += routes_of(inner)
    return found


def test_series_are_named_as_prometheus_asks() -> None:
    declared = [value for name, value in vars(metrics).items() if name.isupper()]
    assert declared
    for series in declared:
        name = series._name
        assert name.startswith("headroom_ingest_"), name
        assert series._documentation.endswith("."), name


def test_no_secret_is_shown_by_settings_or_signers() -> None:
    connection = {"secrets": ["canary"], "uri": "https://hooks.example.com/x"}
    settings = IngestSettings.model_validate({"ingest": {"hubspot": {"acme": connection}}})
    signer = webhooks.Signer(["canary"], frozenset({"v3"}), "https://hooks.example.com/x")
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(signer)):
        assert "canary" not in shown


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"secrets": []}, "secrets"),
        ({"uri": "not an address"}, "uri"),
        ({"properties": {"x": {"field": "colour"}}}, "colour"),
        ({"defaults": {"colour": "red"}}, "colour"),
        ({"defaults": {"quantity": "many"}}, "many"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"secretz": []}, "secretz"),
    ],
)
def test_a_connection_that_cannot_work_is_refused_at_the_start(change: dict[str, Any], why: str) -> None:
    connection = {"secrets": ["canary"], "uri": "https://hooks.example.com/x", **change}
    with pytest.raises(ValueError, match="validation error") as refused:
        IngestSettings.model_validate({"ingest": {"hubspot": {"acme": connection}}})
    assert why in str(refused.value)
    assert "canary" not in str(refused.value)
