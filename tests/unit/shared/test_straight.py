"""A route that goes straight answers as it does through the framework, is described and measured the same."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException
from httpx2 import ASGITransport, AsyncClient
from httpx2 import Response as Answer
from prometheus_client import REGISTRY
from starlette.requests import Request
from starlette.responses import Response

from shared.access import Principal, requires
from shared.errors import BadInput, NotReady
from shared.http import create_ops_app
from shared.problems import Problem
from shared.straight import StraightApp

PATHS = ("/events", "/hooks/{name}")
RAISED: dict[str, Exception] = {
    "problem": Problem(413, "it is too large", "It has 5 bytes.", headers={"Connection": "close"}),
    "bad": BadInput("no product", where="line 3", why="the column is empty", do="Fill it in."),
    "late": NotReady("the broker does not answer"),
    "http": HTTPException(415, "what is this"),
}


class OneKey:
    """The only key is ``hr_good``, and it may ingest; ``hr_read`` may not."""

    async def principal(self, key: str) -> Principal | None:
        scopes = {"hr_good": frozenset({"ingest"}), "hr_read": frozenset({"read"})}
        return Principal("1", "one", scopes[key], "ana") if key in scopes else None


def made() -> StraightApp:
    router = APIRouter(tags=["some"])
    caller = Depends(requires("ingest", "report"))

    @router.post("/events", status_code=202, response_model=None)
    async def events(request: Request, principal: Principal = caller) -> Response:
        """Take events."""
        body = (await request.body()).decode()
        if body == "unknown":
            raise ZeroDivisionError(body)
        if body in RAISED:
            raise RAISED[body]
        # Only FastAPI leaves its exit stack here.
        framework = "fastapi_inner_astack" in request.scope
        return Response(f"{principal.person} {body}", 202, headers={"x-framework": str(framework)})

    @router.post("/hooks/{name}", response_model=None)
    async def hooks(request: Request, name: str) -> Response:
        """Take hooks."""
        return Response(f"{name} {request.query_params}", headers={"x-template": request.scope["route"].path})

    @router.get("/pages", response_model=None)
    async def pages(number: int) -> Response:
        """A page."""
        return Response(str(number))

    app = create_ops_app("some", list)
    app.state.keys = OneKey()
    app.include_router(router)
    return app


def through(app: FastAPI) -> AsyncClient:
    return AsyncClient(transport=ASGITransport(app), base_url="http://test")


@pytest.fixture
async def straight() -> AsyncIterator[AsyncClient]:
    app = made()
    app.go_straight(*PATHS)
    async with through(app) as client:
        yield client


@pytest.fixture
async def framework() -> AsyncIterator[AsyncClient]:
    async with through(made()) as client:
        yield client


GOOD = {"authorization": "Bearer hr_good"}
REQUESTS: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/events", {"headers": GOOD, "content": b"one"}),
    ("POST", "/events", {"headers": {"x-api-key": "hr_good"}, "content": b"one"}),
    *(("POST", "/events", {"headers": GOOD, "content": name.encode()}) for name in RAISED),
    ("POST", "/events", {"content": b"problem"}),
    ("POST", "/events", {"headers": {"x-api-key": "hr_other"}}),
    ("POST", "/events", {"headers": {"x-api-key": "hr_read"}}),
    ("POST", "/events?a=b", {"headers": GOOD, "content": b"two"}),
    ("GET", "/events", {"headers": GOOD}),
    ("HEAD", "/events", {}),
    ("POST", "/events/", {"headers": GOOD}),
    ("POST", "/Events", {"headers": GOOD}),
    ("POST", "//events", {"headers": GOOD}),
    ("POST", "/events%0A", {"headers": GOOD}),
    ("POST", "/hooks/acme", {}),
    ("POST", "/hooks/%C3%84%20b?x=1&x=2", {}),
    ("POST", "/hooks/a%2Fb", {}),
    ("POST", "/hooks/", {}),
    ("POST", "/hooks/acme%0A", {}),
    ("PUT", "/hooks/acme", {}),
    ("GET", "/pages?number=x", {}),
    ("GET", "/pages?number=2", {}),
    ("GET", "/nowhere", {}),
]


@pytest.mark.parametrize(("method", "path", "more"), REQUESTS)
async def test_the_answer_is_the_framework_s(
    straight: AsyncClient, framework: AsyncClient, method: str, path: str, more: dict[str, Any]
) -> None:
    ours, theirs = [await client.request(method, path, **more) for client in (straight, framework)]
    assert seen(ours) == seen(theirs)


def seen(answer: Answer) -> tuple[int, dict[str, str], Any]:
    """What a client sees, but for what is unique to an answer or tells the way it came."""
    headers = {name: value for name, value in answer.headers.items() if name != "x-framework"}
    if answer.content and "problem" in headers.get("content-type", ""):
        return answer.status_code, headers, {**answer.json(), "instance": ""}
    return answer.status_code, headers, answer.content


async def test_it_does_go_straight(straight: AsyncClient, framework: AsyncClient) -> None:
    found = [await client.post("/events", headers=GOOD) for client in (straight, framework)]
    assert [answer.headers["x-framework"] for answer in found] == ["False", "True"]


async def test_an_error_without_an_answer_is_the_server_s(straight: AsyncClient) -> None:
    with pytest.raises(ZeroDivisionError):
        await straight.post("/events", headers=GOOD, content=b"unknown")
    assert counted("/events", 500) == 1


async def test_it_is_measured_by_its_template(straight: AsyncClient) -> None:
    before = counted("/hooks/{name}", 200), counted("/events", 401)
    await straight.post("/hooks/one")
    await straight.post("/hooks/two")
    await straight.post("/events")
    assert (counted("/hooks/{name}", 200), counted("/events", 401)) == (before[0] + 2, before[1] + 1)


def counted(route: str, status: int) -> float:
    labels = {"method": "POST", "route": route, "status": str(status)}
    return REGISTRY.get_sample_value("headroom_http_request_seconds_count", labels) or 0.0


def test_the_description_stays() -> None:
    app = made()
    app.go_straight(*PATHS)
    assert app.openapi() == made().openapi()


@pytest.mark.parametrize("path", ["/pages", "/nowhere"])
def test_what_needs_the_framework_cannot_go_straight(path: str) -> None:
    with pytest.raises(AssertionError, match=path):
        made().go_straight(path)
