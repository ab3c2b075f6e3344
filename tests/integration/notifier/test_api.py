"""The API: subscriptions, deliveries, scopes and problems."""

import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.store.recalibrations import Recalibrations
from tests.integration.notifier.made import arrivals, recalibration, subscribe
from tests.integration.notifier.receiver import Receiver
from tests.integration.notifier.service import Service, key
from tests.waiting import eventually

NOBODY = str(uuid.uuid4())


# -- subscriptions


async def test_a_subscription_from_beginning_to_end(service: Service) -> None:
    wanted = {"pools": ["engineering"], "severity": "warning"}
    new = {"name": "ops", "url": "https://hooks.example.com/in", "filters": wanted}
    status, made = await service.call("POST", "/v1/subscriptions", new)
    assert status == 201
    assert made["secret"].startswith("whsec_")
    path = f"/v1/subscriptions/{made['id']}"
    status, got = await service.call("GET", path)
    assert status == 200
    assert got["filters"] == {"pools": ["engineering"], "triggers": [], "kinds": [], "severity": "warning"}
    assert "secret" not in got
    status, changed = await service.call("PATCH", path, {"enabled": False, "name": "operations"})
    assert (status, changed["name"], changed["url"]) == (200, "operations", new["url"])
    assert (changed["enabled"], changed["disabled_reason"]) == (False, "paused by its owner")
    assert (await service.call("POST", f"{path}/test"))[0] == 409
    assert (await service.call("PATCH", path, {"enabled": True}))[1]["disabled_reason"] is None
    status, rotated = await service.call("POST", f"{path}/rotate", {"overlap_hours": 2})
    assert status == 200
    assert rotated["secret"] != made["secret"]
    assert [one["id"] for one in (await service.call("GET", "/v1/subscriptions"))[1]["items"]] == [made["id"]]
    assert (await service.call("DELETE", path))[0] == 204
    for method, where in (("GET", path), ("DELETE", path), ("POST", f"{path}/rotate"), ("POST", f"{path}/test")):
        assert (await service.call(method, where))[0] == 404
    assert (await service.call("GET", "/v1/subscriptions"))[1]["items"] == []


async def test_a_test_message_can_be_followed_to_its_end(service: Service, receiver: Receiver) -> None:
    _, made = await service.call("POST", "/v1/subscriptions", {"name": "ops", "url": receiver.url()})
    status, planned = await service.call("POST", f"/v1/subscriptions/{made['id']}/test")
    assert (status, planned["type"], planned["state"]) == (202, "test", "pending")

    async def delivered() -> Any:
        _, delivery = await service.call("GET", f"/v1/deliveries/{planned['id']}")
        return delivery if delivery["state"] == "delivered" else None

    delivery = await eventually(delivered)
    assert [line["answer"] for line in delivery["log"]] == ["thanks"]
    assert receiver.got[0].verified(made["secret"])["type"] == "test"
    status, again = await service.call("POST", f"/v1/deliveries/{planned['id']}/replay")
    assert (status, again["event"]) == (202, planned["event"])
    await eventually(lambda: len(receiver.got) == 2)


async def test_a_url_that_must_not_be_called_is_refused(service: Service) -> None:
    _, made = await service.call("POST", "/v1/subscriptions", {"name": "ops", "url": "https://example.com/"})
    for url in ("https://10.0.0.1/x", "ftp://example.com/", "https://a:b@example.com/", "nonsense"):
        status, problem = await service.call("POST", "/v1/subscriptions", {"name": "ops", "url": url})
        assert (status, problem["title"]) == (422, "the URL cannot be called"), url
        assert (await service.call("PATCH", f"/v1/subscriptions/{made['id']}", {"url": url}))[0] == 422


# -- deliveries


async def test_deliveries_are_listed_in_pages_and_by_what_they_are(
    service: Service, engine: AsyncEngine, receiver: Receiver
) -> None:
    one = await subscribe(engine, receiver.url("one"))
    await subscribe(engine, receiver.answer("two", 400))
    await Recalibrations(engine).take_in(arrivals(*(recalibration(f"r{n}") for n in range(5))))

    async def ended() -> bool:
        return not (await service.call("GET", "/v1/deliveries?state=pending"))[1]["items"]

    await eventually(ended)
    seen, mark = [], ""
    while True:
        _, page = await service.call("GET", f"/v1/deliveries?limit=3{mark}")
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        mark = f"&before={page['next']}"
    assert len(seen) == 10
    assert seen == sorted(seen, reverse=True)
    for query, count in (
        (f"subscription={one.id}", 5),
        ("state=given-up", 5),
        ("recalibration=r3", 2),
        (f"event={recalibration('r2').event_id}&state=delivered", 1),
        (f"subscription={NOBODY}", 0),
    ):
        assert len((await service.call("GET", f"/v1/deliveries?{query}"))[1]["items"]) == count, query


# -- who may do what


def api_routes(routes: Iterable[Any]) -> Iterator[APIRoute]:
    """The routes of the API, those of included routers too."""
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        elif (included := getattr(route, "original_router", None)) is not None:
            yield from api_routes(included.routes)


async def test_every_route_declares_a_scope(service: Service) -> None:
    routes = list(api_routes(service.notifier.api.routes))
    assert len(routes) >= 14
    for route in routes:
        scopes = [getattr(one.call, "scopes", ()) for one in route.dependant.dependencies]
        wanted = (
            ("read",)
            if "GET" in (route.methods or ())
            else ("decide",)
            if "recalibrations" in route.path
            else ("admin",)
        )
        assert scopes == [wanted], route.path


async def test_keys_do_what_their_scopes_allow(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    reader, decider = await key(engine, "read"), await key(engine, "decide", person="ada")
    new = {"name": "ops", "url": "https://example.com/"}
    acknowledge = "/v1/recalibrations/r1/acknowledge"
    for headers, method, path, body, status in (
        ({"X-API-Key": ""}, "GET", "/v1/subscriptions", None, 401),
        ({"X-API-Key": "hr_wrong"}, "GET", "/v1/stream", None, 401),
        (reader, "GET", "/v1/subscriptions", None, 200),
        (reader, "POST", "/v1/subscriptions", new, 403),
        (reader, "POST", acknowledge, {"by": "ada"}, 403),
        (decider, "GET", "/v1/recalibrations", None, 403),
        (decider, "POST", acknowledge, {"by": "grace"}, 403),
        (decider, "POST", acknowledge, {"by": "ada"}, 201),
    ):
        assert (await service.call(method, path, body, headers=headers))[0] == status, (method, path)


# -- what does not fit


ODD = (
    "/v1/deliveries/0",
    "/v1/deliveries/99999999999999999999",
    "/v1/deliveries/x",
    "/v1/deliveries?limit=100000",
    "/v1/deliveries?before=99999999999999999999",
    "/v1/deliveries?recalibration=%00",
    "/v1/recalibrations?pool=%00",
    "/v1/recalibrations?after=nonsense",
    "/v1/recalibrations?after=WzEsMl0=",
    "/v1/recalibrations/%00",
    "/v1/recalibrations?state=sideways",
    "/v1/subscriptions/not-a-uuid",
    "/v1/stream?since=-1",
)


async def test_odd_requests_are_answered_with_a_problem(service: Service) -> None:
    for path in ODD:
        status, problem = await service.call("GET", path)
        assert (status, problem["status"]) == (422, 422), path


BROKEN = [
    b"{",
    b"",
    b"[" * 100_000,
    b'{"name": "\\ud800", "url": "https://example.com/"}',
    b'{"name": NaN}',
    b"\xff",
    b"null",
]


async def test_bodies_that_are_not_what_they_should_be(service: Service) -> None:
    for body in BROKEN:
        headers = {"Content-Type": "application/json"}
        async with service.api.post("/v1/subscriptions", data=body, headers=headers) as response:
            problem = await response.json(content_type="application/problem+json")
        assert response.status in (400, 422), body[:20]
        assert problem["status"] == response.status


async def test_a_body_over_the_limit_is_not_read_to_its_end(service: Service) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 65536

    for body in (b"x" * 2_000_000, endless()):
        async with service.api.post("/v1/subscriptions", data=body) as response:
            assert response.status == 413
            assert (await response.json(content_type=None))["detail"] == "the body is over 1048576 bytes"
