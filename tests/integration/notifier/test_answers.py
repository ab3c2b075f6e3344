"""Recalibrations over the API: how they are listed, and answers that stay the same when asked again."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.tables import outbox
from tests.integration.notifier.made import arrivals, plan_record, recalibration
from tests.integration.notifier.service import Service
from tests.unit.triggers.scenes import Written


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


async def test_a_pool_that_neither_plan_nor_recalibration_knows_is_a_slip(
    service: Service, engine: AsyncEngine
) -> None:
    await Recalibrations(engine).take_in(arrivals(recalibration("r1", pool="former")))
    assert (await service.call("GET", "/v1/recalibrations?pool=suport"))[0] == 200, "no plan says what there is"
    service.notifier.plans.add(Written(0, b"p@1", plan_record()))
    for pool, status in (("former", 200), ("support", 200), ("suport", 404)):
        assert (await service.call("GET", f"/v1/recalibrations?pool={pool}"))[0] == status, pool


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
