"""Plans put at the door: versions, problems with their place, and two doors at once."""

import asyncio
import json
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from headroom import topics
from shared.kafka import connection_options, create_producer
from shared.schemas import published_plan
from shared.topics import HISTORY, PLANS
from tests.integration.ingest.doors import Door, add_key, free_port, running_door

PLAN = """\
plan: {id}
currency: EUR
people: {{ana: {{name: Ana}}}}
stages: {{commit: {{class: open, probability: 0.5}}, won: {{class: won}}}}
pools:
  delivery: {{kind: work, unit: hours, owner: ana, capacity: {{per_week: {hours}}}}}
"""


def plan(plan_id: str, hours: int = 300) -> str:
    return PLAN.format(id=plan_id, hours=hours)


async def put(door: Door, plan_id: str, text: str, key: str | None = None) -> Any:
    headers = {"x-api-key": key or door.key}
    return await door.client.put(f"/v1/plans/{plan_id}", content=text.encode(), headers=headers)


async def get(door: Door, path: str) -> Any:
    return await door.client.get(path, headers={"x-api-key": door.key})


async def test_a_plan_is_published_with_its_version_and_read_back(door: Door) -> None:
    answer = await put(door, "first", plan("first"))
    assert answer.status_code == 201
    assert (answer.json()["name"], answer.json()["outcome"]) == ("first@1", "created")
    again = await put(door, "first", "# laid out otherwise\n" + plan("first") + "horizon_weeks: 39\n")
    assert (again.status_code, again.json()["name"], again.json()["outcome"]) == (200, "first@1", "unchanged")
    assert (await put(door, "first", plan("first", 310))).json()["name"] == "first@2"
    back = await put(door, "first", plan("first"))
    assert (back.status_code, back.json()["name"], back.json()["outcome"]) == (200, "first@1", "reinstated")

    listed = (await get(door, "/v1/plans")).json()
    assert listed["in_force"] == "first@1"
    assert [p["name"] for p in listed["plans"] if p["id"] == "first"] == ["first@2", "first@1"]
    newest = (await get(door, "/v1/plans/first")).json()
    assert (newest["name"], newest["plan"]["version"], newest["in_force"]) == ("first@2", 2, False)
    first = (await get(door, "/v1/plans/first?version=1")).json()
    assert first["plan"]["pools"]["delivery"]["capacity"]["per_week"] == 300
    assert first["text"] == plan("first")


async def test_a_plan_and_its_history_are_written_together(door: Door) -> None:
    await put(door, "written", plan("written"))
    on_plans = [r for r in await door.read(PLANS) if r.key == b"written@1"]
    on_history = [r for r in await door.read(HISTORY) if r.key == b"written@1"]
    assert len(on_plans) == len(on_history) == 1
    assert on_plans[0].value == on_history[0].value
    made = published_plan.decode(on_plans[0].value)
    assert (made.id, made.version, made.publisher) == ("written", 1, "bootstrap")


async def test_a_record_that_is_no_plan_is_left_out_and_its_version_is_not_given_again(door: Door) -> None:
    assert (await put(door, "amid", plan("amid"))).json()["name"] == "amid@1"
    async with create_producer(door.settings.kafka) as producer:
        await producer.send_and_wait(door.settings.kafka.topic_prefix + PLANS.name, b"{}", b"amid@2", partition=0)
    listed = (await get(door, "/v1/plans")).json()
    assert listed["in_force"] == "amid@1"
    assert [p["name"] for p in listed["plans"] if p["id"] == "amid"] == ["amid@1"]
    assert (await put(door, "amid", plan("amid"))).json()["outcome"] == "unchanged"
    assert (await put(door, "amid", plan("amid", 310))).json()["name"] == "amid@3"


async def test_json_is_a_plan_too(door: Door) -> None:
    content = {
        "plan": "json",
        "currency": "EUR",
        "people": {"ana": {"name": "Ana"}},
        "stages": {"won": {"class": "won"}},
        "pools": {"delivery": {"kind": "work", "unit": "hours", "owner": "ana", "capacity": {"per_week": 1}}},
    }
    assert (await put(door, "json", json.dumps(content))).status_code == 201


async def test_problems_name_line_column_and_reason(door: Door) -> None:
    broken = plan("broken").replace("owner: ana", "owner: nobody").replace("0.5", "1.5")
    answer = await put(door, "broken", broken)
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    places = {(p["line"], p["path"]) for p in answer.json()["problems"]}
    assert (6, "pools.delivery.owner") in places
    assert any(line == 4 for line, _ in places)
    assert all(p["reason"] and p["column"] >= 1 for p in answer.json()["problems"])


async def test_a_plan_goes_to_the_address_of_its_name(door: Door) -> None:
    answer = await put(door, "other", plan("one"))
    assert answer.status_code == 422
    assert answer.json()["problems"][0]["line"] == 1


async def test_what_is_no_plan_is_a_problem(door: Door) -> None:
    for text in ("", "[", "a: b: c", "- 1", "plan: x\nplan: y", "\x00", "*a", "{" * 5000):
        assert (await put(door, "none", text)).status_code == 422, text[:20]
    headers = {"x-api-key": door.key}
    assert (await door.client.put("/v1/plans/none", content=b"\xff\xfe", headers=headers)).status_code == 400
    assert (await door.client.put("/v1/plans/none", content=b" " * 2**21, headers=headers)).status_code == 413
    assert (await get(door, "/v1/plans/none")).status_code == 404
    assert (await get(door, "/v1/plans/none?version=0")).status_code == 422


def large(plan_id: str, people: int) -> bytes:
    """A plan of about 60 bytes for each of its people."""
    content: dict[str, Any] = {"plan": plan_id, "currency": "EUR", "stages": {"won": {"class": "won"}}}
    content["people"] = {f"person-{number}": {"name": f"Somebody of team {number:09}"} for number in range(people)}
    content["pools"] = {"delivery": {"kind": "work", "unit": "hours", "owner": "person-0", "capacity": {"per_week": 1}}}
    return json.dumps(content).encode()


async def test_a_plan_of_a_megabyte_is_published_and_read_back(door: Door) -> None:
    """With its text it is more than a broker takes where nobody says otherwise."""
    text = large("large", 18_500)
    assert len(text) > 1_000_000
    answer = await put(door, "large", text.decode())
    assert (answer.status_code, answer.json().get("name")) == (201, "large@1")
    assert len((await get(door, "/v1/plans/large")).json()["plan"]["people"]) == 18_500


async def test_a_plan_that_an_older_topic_does_not_take_is_refused_with_what_to_do(door: Door) -> None:
    kafka = door.settings.kafka
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    await admin.start()
    name = kafka.topic_prefix + PLANS.name
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": "2000"})])
    await admin.close()
    answer = await put(door, "larger", large("larger", 100).decode())
    assert (answer.status_code, answer.json()["title"]) == (400, "the plan is too large for its topic")
    assert "topics apply" in answer.json()["detail"]
    assert (await get(door, "/v1/plans/larger")).status_code == 404
    assert {each.topic for each in await topics.apply(kafka)} == {name}
    assert (await put(door, "larger", large("larger", 100).decode())).status_code == 201


async def test_only_an_administrator_publishes(door: Door) -> None:
    key = await add_key(door.settings.database_url, "ingest", "read")
    assert (await put(door, "scoped", plan("scoped"), key)).status_code == 403
    assert (await door.client.get("/v1/plans", headers={"x-api-key": key})).status_code == 200


async def test_two_doors_never_make_one_version_twice(door: Door) -> None:
    http = door.settings.http.model_copy(update={"port": free_port()})
    async with running_door(door.settings.model_copy(update={"http": http})) as second:
        puts = [put((door, second)[n % 2], "raced", plan("raced", 400 + n % 5)) for n in range(10)]
        answers = await asyncio.gather(*puts)
    assert {answer.status_code for answer in answers} <= {200, 201}
    versions = {n % 5: set() for n in range(10)}
    for n, answer in enumerate(answers):
        versions[n % 5].add(answer.json()["version"])
    assert all(len(of_content) == 1 for of_content in versions.values())
    assert set.union(*versions.values()) == {1, 2, 3, 4, 5}
    records = [published_plan.decode(r.value) for r in await door.read(PLANS) if r.key.startswith(b"raced@")]
    assert {(r.version, r.sha256) for r in records} == {(a.json()["version"], a.json()["sha256"]) for a in answers}
