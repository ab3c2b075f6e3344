"""The API: shapes, scopes, problems, and answers that stay the same when asked again."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.tables import outbox
from shared.access import api_keys, hash_key, new_key
from tests.integration.notifier.made import arrivals, plan_record, recalibration, subscribe
from tests.integration.notifier.receiver import Receiver
from tests.integration.notifier.service import Service, serving
from tests.unit.triggers.scenes import Written
from tests.waiting import eventually

NOBODY = str(uuid.uuid4())


@pytest.fixture
async def service(migrated_url: str) -> AsyncIterator[Service]:
    async with serving(migrated_url) as service:
        yield service


async def key(engine: AsyncEngine, *scopes: str, person: str | None = None) -> dict[str, str]:
    """A fresh key with these scopes, as a header."""
    made = new_key()
    row = {"id": str(uuid.uuid4()), "name": "test", "hash": hash_key(made), "scopes": list(scopes), "person": person}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(api_keys).values(**row, created=datetime.now(UTC)))
    return {"X-API-Key": made}


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


# -- recalibrations


async def test_recalibrations_are_listed_by_state_and_pool_in_pages(service: Service, engine: AsyncEngine) -> None:
    kinds = ("firing", "updated", "mitigated", "resolved", "reopened")
    await Recalibrations(engine).take_in(
        arrivals(*(recalibration(f"r{n}", kind=kinds[n % 5], pool=("a", "b")[n % 2]) for n in range(10)))
    )
    for query, count in (
        ("", 10),
        ("state=open", 8),
        ("state=firing", 6),
        ("state=mitigated&pool=a", 1),
        ("pool=c", 0),
    ):
        assert len((await service.call("GET", f"/v1/recalibrations?{query}"))[1]["items"]) == count, query
    _, first = await service.call("GET", "/v1/recalibrations?limit=6")
    _, second = await service.call("GET", f"/v1/recalibrations?limit=6&after={first['next']}")
    ids = [item["recalibration"]["id"] for item in first["items"] + second["items"]]
    assert ids == [f"r{n}" for n in range(9, -1, -1)]
    assert second["next"] is None


async def test_the_same_acknowledgement_is_the_same_answer(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    path = "/v1/recalibrations/r1/acknowledge"
    answers = await asyncio.gather(*(service.call("POST", path, {"by": "ada", "note": f"{n}"}) for n in range(8)))
    assert sorted(status for status, _ in answers) == [200] * 7 + [201]
    assert len({answer["id"] for _, answer in answers}) == 1
    status, other = await service.call("POST", path, {"by": "grace"})
    assert status == 201
    assert other["id"] != answers[0][1]["id"]
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(outbox)) == 2
    _, known = await service.call("GET", "/v1/recalibrations/r1")
    assert [answer["by"] for answer in known["answers"]] == ["ada", "grace"]


async def test_reopened_it_can_be_acknowledged_anew_and_an_old_answer_is_still_found_when_closed(
    service: Service, engine: AsyncEngine
) -> None:
    store = Recalibrations(engine)
    path, words = "/v1/recalibrations/r1/acknowledge", {"by": "ada"}
    await store.take_in(arrivals(recalibration()))
    _, first = await service.call("POST", path, words)
    await store.take_in(arrivals(recalibration(transition=2, kind="mitigated")))
    assert (await service.call("POST", path, words))[1]["id"] == first["id"]
    await store.take_in(arrivals(recalibration(transition=3, kind="reopened")))
    status, second = await service.call("POST", path, words)
    assert status == 201
    assert second["id"] != first["id"]
    await store.take_in(arrivals(recalibration(transition=4, kind="resolved")))
    assert (await service.call("POST", path, words)) == (200, second)
    assert (await service.call("POST", path, {"by": "grace"}))[0] == 409


async def test_a_decision_repeated_is_the_same_and_one_gone_back_to_is_new(
    service: Service, engine: AsyncEngine
) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    path = "/v1/recalibrations/r1/decide"
    statuses, ids = [], []
    for why in ("overtime", "overtime", "contractors", "contractors", "overtime", "overtime"):
        status, answer = await service.call("POST", path, {"by": "ada", "why": why})
        statuses.append(status)
        ids.append(answer["id"])
    assert statuses == [201, 200] * 3
    assert ids[::2] == ids[1::2]
    assert len(set(ids)) == 3


async def test_an_idempotency_key_binds_its_first_words(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    path, words, key = "/v1/recalibrations/r1/decide", {"by": "ada", "why": "overtime"}, {"Idempotency-Key": "k1"}
    status, first = await service.call("POST", path, words, headers=key)
    assert status == 201
    assert await service.call("POST", path, words, headers=key) == (200, first)
    status, problem = await service.call("POST", path, {**words, "why": "else"}, headers=key)
    assert (status, problem["title"]) == (422, "the idempotency key was used for another answer")
    status, other = await service.call("POST", path, words, headers={"Idempotency-Key": "k2"})
    assert (status, other["id"] == first["id"]) == (201, False)


REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("r1", {"by": "alan", "why": "x"}, 403),
    ("r1", {"by": "mallory", "why": "x"}, 403),
    ("done", {"by": "ada", "why": "x"}, 409),
    ("nothing", {"by": "ada", "why": "x"}, 404),
    ("r1", {"by": "ada"}, 422),
    ("r1", {"by": "ada", "why": ""}, 422),
    ("r1", {"by": "ada", "why": "a\0b"}, 422),
    ("r1", {"by": "ada", "why": "x", "extra": 1}, 422),
    ("r1", {"by": "ada", "why": "x", "effects": [{"pool": "engineering"}]}, 422),
    (
        "r1",
        {"by": "ada", "why": "x", "effects": [{"pool": "engineering", "weeks": ["2025-W53"], "amount": 1}]},
        422,
    ),
    ("r1", {"by": "ada", "why": "x", "effects": [{"weeks": ["2026-W14"], "amount": 1}]}, 422),
    ("r1", {"by": "ada", "why": "x", "effects": [{"pool": "e", "weeks": ["2026-W14"], "amount": "much"}]}, 422),
]


async def test_answers_that_are_not_taken(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration(), recalibration("done", kind="resolved")))
    for identity, words, status in REFUSED:
        got, problem = await service.call("POST", f"/v1/recalibrations/{identity}/decide", words)
        assert (got, problem["status"]) == (status, status), words
    async with engine.connect() as connection:
        assert await connection.scalar(sa.select(sa.func.count()).select_from(outbox)) == 0


WEEKS = ["2026-W14", "2026-W15"]


async def test_beyond_what_a_person_may_decide_the_next_in_the_escalation_may(
    service: Service, engine: AsyncEngine
) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    path = "/v1/recalibrations/r1/decide"
    effect = {"pool": "engineering", "weeks": WEEKS, "amount": 60, "unit": "hours"}
    words = {"by": "ada", "why": "contractors", "effects": [effect]}
    status, problem = await service.call("POST", path, words)
    assert (status, problem["title"]) == (409, "no plan is in force")

    service.notifier.plans.add(Written(0, b"p@1", plan_record(may_decide={"hours": 100})))
    async with service.api.post(path, json=words) as response:
        assert response.content_type == "application/problem+json"
        problem = await response.json(content_type=None)
    assert (problem["status"], problem["may"]) == (403, ["grace"])
    assert "up to 100 hours, this is 120; beyond it Grace (grace) may" in problem["detail"]
    assert (await service.call("POST", path, words | {"effects": [effect | {"amount": 50}]}))[0] == 201
    assert (await service.call("POST", path, words | {"by": "grace"}))[0] == 201
    # What was decided stays found when a later plan allows less.
    service.notifier.plans.add(Written(1, b"p@2", plan_record(may_decide={"hours": 0}, escalation=[])))
    assert (await service.call("POST", path, words | {"by": "grace"}))[0] == 200


@pytest.mark.parametrize(
    ("effect", "said"),
    [
        ({"pool": "sales", "weeks": WEEKS, "amount": 1}, "effects[0]: plan p has no pool 'sales'"),
        (
            {"pool": "engineering", "weeks": WEEKS, "amount": 1, "unit": "tickets"},
            "effects[0]: engineering is counted in hours, not in 'tickets'",
        ),
    ],
)
async def test_effects_on_what_the_plan_does_not_have_are_refused(
    service: Service, engine: AsyncEngine, effect: dict[str, Any], said: str
) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    service.notifier.plans.add(Written(0, b"p@1", plan_record()))
    words = {"by": "ada", "why": "x", "effects": [effect]}
    status, problem = await service.call("POST", "/v1/recalibrations/r1/decide", words)
    assert (status, problem["errors"]) == (422, [said])


async def test_no_earlier_plan_decides_while_the_plans_are_read(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    plans = service.notifier.plans
    plans.read = False
    plans.add(Written(0, b"p@1", plan_record()))
    path, effect = "/v1/recalibrations/r1/decide", {"pool": "engineering", "weeks": WEEKS, "amount": 60}
    words = {"by": "ada", "why": "contractors", "effects": [effect]}
    assert (await service.call("POST", path, words))[0] == 503
    assert (await service.call("POST", path, words | {"effects": []}))[0] == 201
    plans.add(Written(1, b"p@2", plan_record(may_decide={"hours": 0})))
    plans.read = True
    assert (await service.call("POST", path, words))[0] == 403


async def test_an_answer_is_timed_by_the_clock_of_the_system(service: Service, engine: AsyncEngine) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration()))
    before = datetime.now(UTC)
    _, answer = await service.call("POST", "/v1/recalibrations/r1/acknowledge", {"by": "ada"})
    assert before <= datetime.fromisoformat(answer["at"]) <= datetime.now(UTC)


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
