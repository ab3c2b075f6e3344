"""Every route of every process says who may use it, and holds to it before it reads anything.

What is open is listed here. Health, readiness and series are for the platform, which has no key; the description of the
API (and the pages that show it) tells its shape and nothing that is in it.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from httpx2 import ASGITransport, AsyncClient

from services.capacity.app import FoldProcess, ProjectProcess
from services.capacity.settings import CapacitySettings
from services.capacity.views_app import ViewsProcess
from services.ingest.app import create_door, create_normaliser_app
from services.ingest.settings import IngestSettings
from services.notifier.app import create_app as create_notifier
from services.notifier.settings import NotifierSettings
from services.triggers.app import create_app as create_triggers
from services.triggers.settings import TriggersSettings
from shared.access import SCOPES, Principal
from shared.streams.health import Health

OPEN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}
ASKING = {("POST", "/v1/what-if")}
"""Questions too long for an address: they change nothing."""
SIGNED = {("POST", "/v1/webhooks/hubspot/{connection}")}
"""Let in by a signature over the body instead of a key."""

NEEDS: dict[tuple[str, ...], set[str]] = {
    ("ingest", "report"): {"POST /v1/events"},
    ("read",): {
        "GET /v1/deals/{deal:path}",
        "GET /v1/deals/{deal:path}/stresses",
        "GET /v1/deliveries",
        "GET /v1/deliveries/{delivery_id}",
        "GET /v1/forecasts",
        "GET /v1/listed",
        "GET /v1/plans",
        "GET /v1/plans/{plan_id}",
        "GET /v1/pools",
        "GET /v1/positions",
        "GET /v1/positions/{pool}/{week}/causes",
        "GET /v1/recalibrations",
        "GET /v1/recalibrations/{recalibration_id}",
        "GET /v1/stream",
        "GET /v1/subscriptions",
        "GET /v1/subscriptions/{subscription_id}",
        "GET /v1/work",
        "POST /v1/what-if",
    },
    ("decide",): {
        "POST /v1/recalibrations/{recalibration_id}/acknowledge",
        "POST /v1/recalibrations/{recalibration_id}/decide",
    },
    ("admin",): {
        "DELETE /v1/subscriptions/{subscription_id}",
        "PATCH /v1/subscriptions/{subscription_id}",
        "POST /v1/deliveries/{delivery_id}/replay",
        "POST /v1/subscriptions",
        "POST /v1/subscriptions/{subscription_id}/rotate",
        "POST /v1/subscriptions/{subscription_id}/test",
        "PUT /v1/plans/{plan_id}",
    },
    (): {"POST /v1/webhooks/hubspot/{connection}"},
}
"""Which keys a route lets in, written down a second time: a scope that is changed is changed on purpose."""

JSON = {"content-type": "application/json"}
NOWHERE: dict[str, Any] = {"database_url": "postgresql+asyncpg://nobody@127.0.0.1:9/none"}


@pytest.fixture(scope="module")
def apps() -> dict[str, FastAPI]:
    """The applications of all processes, connected to nothing."""
    capacity = CapacitySettings(**NOWHERE)
    return {
        "door": create_door(IngestSettings(**NOWHERE)),
        "views": ViewsProcess(capacity).app,
        "notifier": create_notifier(NotifierSettings(**NOWHERE)).api,
        "normalise": create_normaliser_app(Health()),
        "fold": FoldProcess(capacity).app,
        "project": ProjectProcess(capacity).app,
        "triggers": create_triggers(TriggersSettings(**NOWHERE)).app,
    }


def contexts(app: FastAPI) -> list[RouteContext]:
    return list(iter_route_contexts(app.routes))


def guarded(app: FastAPI) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Method, path and declared scopes of every route that is not open."""
    for context in contexts(app):
        if context.path not in OPEN:
            assert isinstance(context.original_route, APIRoute), f"{context.path} is no route that can declare a scope"
            for method in sorted(context.methods or ()):
                yield method, str(context.path), scopes_of(context.dependant)


def scopes_of(dependant: Any) -> tuple[str, ...]:
    """The scopes that a route's dependencies ask for, those of its router included."""
    own = getattr(dependant.call, "scopes", ())
    return (*own, *(scope for one in dependant.dependencies for scope in scopes_of(one)))


@pytest.mark.parametrize("name", ["door", "views", "notifier"])
def test_every_route_declares_its_scope(apps: dict[str, FastAPI], name: str) -> None:
    found = list(guarded(apps[name]))
    assert found
    for method, path, scopes in found:
        if (method, path) in SIGNED:
            assert scopes == (), f"{method} {path} is let in by its signature"
        else:
            assert scopes, f"{method} {path} is open to everybody"
            assert set(scopes) <= set(SCOPES)


def test_every_route_asks_for_the_scope_that_it_should(apps: dict[str, FastAPI]) -> None:
    found: dict[tuple[str, ...], set[str]] = {}
    for app in apps.values():
        for method, path, scopes in guarded(app):
            found.setdefault(scopes, set()).add(f"{method} {path}")
    assert found == NEEDS


def test_changing_needs_more_than_reading(apps: dict[str, FastAPI]) -> None:
    for app in apps.values():
        for method, path, scopes in guarded(app):
            if method != "GET" and (method, path) not in SIGNED | ASKING:
                assert "read" not in scopes, f"{method} {path}"


@pytest.mark.parametrize("name", ["normalise", "fold", "project", "triggers"])
def test_processes_without_an_api_serve_only_what_is_open(apps: dict[str, FastAPI], name: str) -> None:
    assert list(guarded(apps[name])) == []
    assert {context.path for context in contexts(apps[name])} <= OPEN


@pytest.mark.parametrize("name", ["door", "views", "notifier"])
async def test_nobody_without_a_key_gets_further_than_401(apps: dict[str, FastAPI], name: str) -> None:
    """Whatever else is wrong with the request: who may not come in does not learn it, and nothing of his is read."""

    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    transport, odd = ASGITransport(apps[name]), {"limit": "x"}
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        for method, path, _ in guarded(apps[name]):
            filled = re.sub(r"\{[^}]*\}", "%00", path)
            if (method, path) not in SIGNED:
                answer = await client.request(method, filled, content=body(), headers=JSON, params=odd)
                assert answer.status_code == 401, f"{method} {path}: {answer.text}"
                assert answer.headers["content-type"] == "application/problem+json"


class EveryOther:
    """Knows one key, which has every scope but those ``needed``."""

    needed: tuple[str, ...] = ()

    async def principal(self, key: str) -> Principal:
        # Whoever administers may do everything.
        others = frozenset(scope for scope in SCOPES if scope not in (*self.needed, "admin"))
        return Principal("1", "every other", others)


@pytest.mark.parametrize("name", ["door", "views", "notifier"])
async def test_a_key_with_every_other_scope_gets_no_further_than_403(apps: dict[str, FastAPI], name: str) -> None:
    app, keys = apps[name], EveryOther()
    theirs, app.state.keys = app.state.keys, keys
    try:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
            for method, path, keys.needed in guarded(app):
                if (method, path) not in SIGNED:
                    filled = re.sub(r"\{[^}]*\}", "%00", path)
                    answer = await client.request(method, filled, content=b"{", headers={"x-api-key": "hr_other"})
                    assert answer.status_code == 403, f"{method} {path}: {answer.text}"
                    assert f"needs the scope {' or '.join(keys.needed)}" in answer.json()["detail"]
    finally:
        app.state.keys = theirs


async def test_what_is_open_is_open_and_short(apps: dict[str, FastAPI]) -> None:
    for name, app in apps.items():
        async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as client:
            assert (await client.get("/healthz")).json() == {"status": "ok"}, name
            assert (await client.get("/readyz")).status_code in (200, 503)
            assert (await client.get("/metrics")).status_code == 200


@pytest.mark.parametrize("name", ["door", "views", "notifier"])
def test_the_description_names_every_route(apps: dict[str, FastAPI], name: str) -> None:
    document = apps[name].openapi()
    described = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    served = {(method, re.sub(r":path\}", "}", path)) for method, path, _ in guarded(apps[name])}
    assert described == served
    for item in document["paths"].values():
        for operation in item.values():
            assert operation["summary"]
            assert operation["description"], "the docstring says what it does"
    json.dumps(document)
