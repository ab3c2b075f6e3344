"""Every error over HTTP is a problem detail, and says what can be said without telling secrets."""

import json
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest
from fastapi import FastAPI, HTTPException
from httpx2 import ASGITransport, AsyncClient

from shared import problems
from shared.errors import BadInput, HeadroomError, NotReady, Place, PlanError, PlanProblem
from shared.problems import Problem

RAISED: dict[str, Exception] = {
    "problem": Problem(409, "it is taken", "By another.", owner="ana"),
    "bad": BadInput("no product", where="line 3", why="the column is empty", do="Fill it in."),
    "late": NotReady("the broker does not answer"),
    "plan": PlanError([PlanProblem(Place("plan.yaml", 3, 5), "unknown pool 'suport'", "products.x", "  - suport")]),
    "large": HTTPException(413, "the body is over 5 bytes"),
    "other": HeadroomError("inner words", where="/secret/place"),
}


@pytest.fixture
async def client() -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    problems.install(app)

    @app.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise RAISED[name]

    @app.get("/number")
    async def number(n: int) -> int:
        return n

    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as made:
        yield made


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/raise/problem", 409),
        ("/raise/bad", 400),
        ("/raise/late", 503),
        ("/raise/plan", 422),
        ("/raise/other", 500),
        ("/number?n=x", 422),
        ("/nowhere", 404),
    ],
)
async def test_errors_are_problem_details(client: AsyncClient, path: str, status: int) -> None:
    answer = await client.get(path)
    body = json.loads(answer.text)
    assert answer.status_code == status == body["status"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["title"]
    assert body["instance"].startswith("urn:uuid:")
    assert "secret" not in answer.text


async def test_an_address_that_is_not_there_says_where_to_look(client: AsyncClient) -> None:
    body = (await client.get("/v1/foo")).json()
    assert body["detail"] == "There is no /v1/foo; the paths are listed at /docs, for programs at /openapi.json."
    assert (await client.get("/docs")).status_code == (await client.get("/openapi.json")).status_code == 200


async def test_a_method_that_is_not_taken_says_which_is(client: AsyncClient) -> None:
    answer = await client.delete("/number")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    assert answer.json()["detail"] == "/number takes GET, not DELETE."


async def test_other_refusals_of_the_framework_keep_their_words(client: AsyncClient) -> None:
    body = (await client.get("/raise/large")).json()
    assert (body["title"], body["detail"]) == (HTTPStatus(413).phrase.lower(), "the body is over 5 bytes")


async def test_a_plan_problem_says_where(client: AsyncClient) -> None:
    (problem,) = (await client.get("/raise/plan")).json()["problems"]
    assert (problem["line"], problem["column"], problem["reason"]) == (3, 5, "unknown pool 'suport'")


async def test_a_service_that_is_not_ready_says_when_to_come_back(client: AsyncClient) -> None:
    assert (await client.get("/raise/late")).headers["retry-after"] == "1"


async def test_further_members_are_kept(client: AsyncClient) -> None:
    assert (await client.get("/raise/problem")).json()["owner"] == "ana"
