"""The door over real HTTP and a real broker: what it takes, what it keeps, and what it refuses without effect."""

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shared.schemas.inbox import KIND_HEADER, RECEIVED_HEADER, SOURCE_HEADER
from shared.topics import INBOX
from tests.integration.ingest.doors import BATCH, JSON, STRUCTURED, Door, add_key, header
from tests.unit.ingest.test_ingest_strict_json import HOSTILE

DATA = Path(__file__).parents[3].parent / "shared" / "data"
TRACE = "00-12345678901234567890123456789012-1234567890123456-01"
OWN_TRACE = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-1234567890123456-01"


def event(subject: str, **more: Any) -> dict[str, Any]:
    base = {"specversion": "1.0", "id": f"e-{subject}", "source": "crm", "type": "com.headroom.deal.changed"}
    return {**base, "subject": subject, "time": "2026-04-01T12:00:00Z", "data": {"stage": "open"}, **more}


async def kept(door: Door, *keys: str) -> list[Any]:
    """The inbox records of these keys."""
    wanted = {key.encode() for key in keys}
    return [record for record in await door.read(INBOX) if record.key in wanted]


async def test_a_structured_event_is_kept_byte_for_byte(door: Door) -> None:
    body = (
        b'  {"specversion" : "1.0",\n "id":"e1","source":"crm","type":"com.headroom.deal.changed","subject":"one",'
        b' "time":"2026-04-01T12:00:00Z", "data":{"name":"\\u00c4cme", "amount": 1.50}, "unknown": {"a": [1]}}\n'
    )
    answer = await door.send(body, headers={"traceparent": TRACE, "cookie": "secret=1", "x-request-id": "r-1"})
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "ids": ["e1"]})
    (record,) = await kept(door, "crm/one")
    assert record.value == body
    assert header(record, "content-type") == STRUCTURED
    assert (header(record, SOURCE_HEADER), header(record, KIND_HEADER)) == ("cloudevents", "deal")
    assert header(record, RECEIVED_HEADER)
    assert header(record, "ce_traceparent") == TRACE
    assert header(record, "http_x-request-id") == "r-1"
    assert not any(b"secret" in value or door.key.encode() in value for _, value in record.headers)


async def test_a_batch_is_one_record_for_each_event(door: Door) -> None:
    parts = [json.dumps(event(f"batch-{n}")).encode() for n in range(50)]
    answer = await door.send(b"[" + b" ,\n ".join(parts) + b"]", BATCH)
    assert answer.json() == {"accepted": 50, "ids": [f"e-batch-{n}" for n in range(50)]}
    records = await kept(door, *(f"crm/batch-{n}" for n in range(50)))
    assert sorted(record.value for record in records) == sorted(parts)
    assert {record.partition for record in records} == {0, 1}


async def test_an_empty_batch_is_nothing(door: Door) -> None:
    assert (await door.send(b" [ ] ", BATCH)).json() == {"accepted": 0, "ids": []}


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8", "application/vnd.crm+json"])
async def test_a_binary_event_is_kept_as_its_data(door: Door, content_type: str) -> None:
    subject = f"binary {content_type}"
    headers = {
        "ce-specversion": "1.0",
        "CE-ID": "b1",
        "ce-source": "crm%20of%20%C3%84cme",
        "ce-type": "com.headroom.deal.changed",
        "ce-subject": subject.replace(" ", "%20"),
        "ce-unknownextension": "x",
    }
    assert (await door.send(b'{"stage": "open"}', content_type, headers)).status_code == 202
    (record,) = await kept(door, f"crm of Äcme/{subject}")
    assert record.value == b'{"stage": "open"}'
    assert (header(record, "ce_source"), header(record, "ce_subject")) == ("crm of Äcme", subject)
    assert header(record, "content-type") == content_type.split(";", maxsplit=1)[0]


async def test_reports_and_signals_are_kept_under_their_object(door: Door) -> None:
    data = {"kind": "capacity", "pool": "p", "week": "2026-W20", "amount": 1}
    await door.send(event("r1", type="com.headroom.capacity.reported", data=data))
    await door.send(event("s1", type="com.headroom.signal.observed", data={"kind": "x"}))
    assert [header(record, KIND_HEADER) for record in await kept(door, "crm/r1")] == ["report"]
    assert [header(record, KIND_HEADER) for record in await kept(door, "crm/s1")] == ["signal"]


async def test_an_events_own_trace_counts_when_the_request_has_none(door: Door) -> None:
    await door.send(event("traced", traceparent=OWN_TRACE))
    await door.send(event("traced twice", traceparent=OWN_TRACE), headers={"traceparent": TRACE})
    assert header((await kept(door, "crm/traced"))[0], "ce_traceparent") == OWN_TRACE
    assert header((await kept(door, "crm/traced twice"))[0], "ce_traceparent") == TRACE


async def test_gzip_and_chunks_are_understood(door: Door) -> None:
    body = json.dumps(event("zipped")).encode()
    zipped = gzip.compress(body[:40]) + gzip.compress(body[40:])
    assert (await door.send(zipped, headers={"content-encoding": "gzip"})).status_code == 202

    async def chunks() -> AsyncIterator[bytes]:
        for n in range(0, len(body), 7):
            yield body[n : n + 7].replace(b"zipped", b"pieces")

    headers = {"content-type": STRUCTURED, "authorization": f"Bearer {door.key}"}
    assert (await door.client.post("/v1/events", content=chunks(), headers=headers)).status_code == 202
    assert [record.value for record in await kept(door, "crm/zipped")] == [body, body]


async def test_a_bad_event_refuses_the_whole_batch_and_every_bad_one_is_named(door: Door) -> None:
    batch = [event("never-1"), event("never-2", type="x"), event("never-3", data={"amount": "10"}), {}, 7]
    answer = await door.send(batch, BATCH)
    problem = answer.json()
    assert (answer.status_code, problem["title"]) == (400, "4 of 5 events cannot be used")
    assert [(error["index"], error["reason"]) for error in problem["errors"]] == [
        (1, "unknown-type"),
        (2, "wrong-shape"),
        (3, "wrong-shape"),
        (4, "wrong-shape"),
    ]
    assert "amount" in problem["errors"][1]["detail"]
    assert await kept(door, "crm/never-1") == []


@pytest.mark.parametrize("name", sorted(HOSTILE))
@pytest.mark.parametrize("where", ["event", "data", "batch", "binary"])
async def test_hostile_json_is_a_clear_400(door: Door, where: str, name: str) -> None:
    hostile = HOSTILE[name]
    whole = json.dumps(event("hostile", data="HERE")).encode().replace(b'"HERE"', hostile)
    before = len(await kept(door, "crm/hostile"))
    if where == "event":
        answer = await door.send(hostile)
    elif where == "data":
        answer = await door.send(whole)
    elif where == "batch":
        answer = await door.send(b"[" + json.dumps(event("hostile")).encode() + b"," + whole + b"]", BATCH)
    else:
        headers = {f"ce-{key}": value for key, value in event("hostile").items() if isinstance(value, str)}
        answer = await door.send(hostile, JSON, headers)
    assert_problem(answer, 400)
    assert len(await kept(door, "crm/hostile")) == before


@pytest.mark.parametrize("text", ["a\r\nBcc: x@y", "a\u0000b", "a\u2028b"])
async def test_text_that_breaks_lines_is_refused(door: Door, text: str) -> None:
    assert_problem(await door.send(event("crlf", data={"name": text})), 400)
    assert_problem(await door.send(event(text)), 400)


async def test_the_conformance_events_are_read_and_refused_for_their_type_alone(door: Door) -> None:
    folder = DATA / "payloads" / "cloudevents"
    vectors = DATA / "vectors" / "cloudevents.json"
    if not vectors.exists():
        pytest.skip("the customer's data (../shared) is not here")
    said = json.loads(vectors.read_text())
    for content_type in said["structured"]["Content-Type"]:
        problem = assert_problem(await door.send(said["structured"]["body"], content_type), 400)
        assert problem["reason"] == "unknown-type"
    binary = said["http_binary"]
    attributes = {name: value for name, value in binary["headers"].items() if name.startswith("ce-")}
    for content_type in binary["headers"]["Content-Type"]:
        problem = assert_problem(await door.send(binary["body"].encode(), content_type, attributes), 400)
        assert problem["reason"] == "unknown-type"
        ours = attributes | {"ce-type": "com.headroom.deal.changed", "ce-subject": "conformance"}
        assert (await door.send(b'{"stage": "open"}', content_type, ours)).status_code == 202
    for example in sorted(folder.glob("json-format-example-*.json")):
        body = example.read_bytes()
        batch = body.lstrip().startswith(b"[")
        if body.strip() == b"[]":
            assert (await door.send(body, BATCH)).status_code == 202
            continue
        problem = assert_problem(await door.send(body, BATCH if batch else STRUCTURED), 400)
        reasons = {error["reason"] for error in problem["errors"]} if batch else {problem["reason"]}
        assert reasons == {"unknown-type"}, (example.name, problem)


@pytest.mark.parametrize(
    ("content_type", "body", "headers", "status"),
    [
        ("text/plain", b"hello", {}, 415),
        ("", b"hello", {}, 415),
        ("application/cloudevents+xml", b"<a/>", {}, 415),
        ("application/cloudevents+json; charset=utf-16", b"{}", {}, 415),
        (STRUCTURED, b"{}", {"content-encoding": "br"}, 415),
        (STRUCTURED, b"{}", {"content-encoding": "gzip"}, 400),
        (STRUCTURED, gzip.compress(b"{}", mtime=0)[:-3], {"content-encoding": "gzip"}, 400),
        (JSON, b'{"stage": "open"}', {}, 400),
        (JSON, b"{}", {"ce-specversion": "1.0", "ce-id": "%FF"}, 400),
        (STRUCTURED, b"{}", {}, 400),
        (STRUCTURED, b"[]", {}, 400),
        (BATCH, b"{}", {}, 400),
        (BATCH, b"7", {}, 400),
    ],
)
async def test_what_is_not_an_event_is_a_problem(
    door: Door, content_type: str, body: bytes, headers: dict[str, str], status: int
) -> None:
    assert_problem(await door.send(body, content_type, headers), status)


async def test_a_header_twice_is_a_problem(door: Door) -> None:
    headers = [("content-type", JSON), ("x-api-key", door.key), ("ce-id", "1"), ("ce-id", "2")]
    answer = await door.client.post("/v1/events", content=b"{}", headers=headers)
    assert "twice" in assert_problem(answer, 400)["detail"]


async def test_a_body_over_the_limit_is_refused_whichever_way_it_comes(door: Door) -> None:
    large = json.dumps(event("large", data={"name": "x" * 1024 * 1024})).encode()
    assert_problem(await door.send(large), 413)

    async def chunks() -> AsyncIterator[bytes]:
        for n in range(0, len(large), 65536):
            yield large[n : n + 65536]

    headers = {"content-type": STRUCTURED, "x-api-key": door.key}
    assert_problem(await door.client.post("/v1/events", content=chunks(), headers=headers), 413)
    bomb = gzip.compress(b" " * 50 * 1024 * 1024)
    assert_problem(await door.send(bomb, headers={"content-encoding": "gzip"}), 413)
    bombs = gzip.compress(b" " * 1024 * 1024) * 50
    assert_problem(await door.send(bombs, headers={"content-encoding": "gzip"}), 413)
    assert_problem(await door.send([event("many")] * 1001, BATCH), 413)
    one = gzip.compress(json.dumps(event("fat", data={"name": "x" * 700_000})).encode())
    assert_problem(await door.send(one, headers={"content-encoding": "gzip"}), 413)
    assert await kept(door, "crm/large", "crm/many", "crm/fat") == []


async def test_methods_and_paths_that_are_not_there(door: Door) -> None:
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        assert_problem(await door.client.request(method, "/v1/events"), 405)
    assert_problem(await door.client.post("/v1/nothing"), 404)


async def test_scopes(door: Door) -> None:
    report = event("scoped", type="com.headroom.capacity.reported")
    report["data"] = {"kind": "capacity", "pool": "p", "week": "2026-W20", "amount": 1}
    may_report = await add_key(door.settings.database_url, "report")
    may_read = await add_key(door.settings.database_url, "read")

    async def status(key: str | None, said: Any) -> int:
        headers = {"content-type": BATCH} | ({"x-api-key": key} if key else {})
        answer = await door.client.post("/v1/events", content=json.dumps(said).encode(), headers=headers)
        return answer.status_code

    assert await status(None, [report]) == 401
    assert await status("hr_wrong", [report]) == 401
    assert await status(may_read, [report]) == 403
    assert await status(may_report, [report]) == 202
    assert await status(may_report, [report, event("scoped")]) == 403
    assert await status(door.key, [report, event("scoped too")]) == 202
    assert await kept(door, "crm/scoped too") != []


def assert_problem(answer: Any, status: int) -> dict[str, Any]:
    """The answer is a problem of RFC 9457 with this status; its content."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["type"]
    assert problem["title"]
    assert problem["instance"].startswith("urn:uuid:")
    return problem
