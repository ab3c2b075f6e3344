"""One deal through the running system on a real broker: its trace, the latencies measured on its way, and the logs."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest

from headroom.local.system import PROGRAMS, LocalSystem
from shared.schemas.decision import decode
from shared.schemas.trace import trace_in
from shared.schemas.week import week_of
from shared.settings import KafkaSettings
from shared.topics import DECISIONS
from tests.contract.declared import declared
from tests.integration.streams import toy
from tests.integration.telemetry.collector import Collector
from tests.waiting import eventually

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
CLOSE = (datetime.now(UTC) + timedelta(weeks=3)).date()
PLAN = f"""
plan: traced
currency: EUR
timezone: UTC
start: {week_of(datetime.now(UTC).date())}
horizon_weeks: 12
people:
  owner: {{name: Head of Implementation}}
stages:
  won: {{class: won}}
pools:
  implementation:
    function: delivery
    kind: work
    unit: hours
    owner: owner
    capacity: {{per_week: 40}}
products:
  service:
    needs:
      - {{pool: implementation, effort: 120, curve: {{shape: flat, weeks: 1}}}}
triggers:
  - trigger: overcommitted
    watch: position
    when: utilisation > 1.0
    severity: critical
    ask: {{owners: [pool.owner], acknowledge_within: 4h, decide_within: 2d}}
"""


def deal(number: str, quantity: float = 1) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "type": "com.headroom.deal.changed",
        "source": "crm",
        "id": f"{number}-won",
        "subject": number,
        "time": datetime.now(UTC).isoformat(),
        "data": {
            "stage": "won",
            "close": CLOSE.isoformat(),
            "lines": [{"product": "service", "quantity": quantity, "amount": 1000}],
        },
    }


@dataclass(frozen=True)
class Running:
    system: LocalSystem
    collector: Collector
    http: aiohttp.ClientSession
    bootstrap: str
    prefix: str

    async def post(self, url: str, body: Any, content_type: str, **headers: str) -> int:
        said = {"Content-Type": content_type, **headers}
        async with self.http.post(url, data=json.dumps(body), headers=said) as answer:
            return answer.status

    async def series(self, process: str) -> str:
        async with self.http.get(f"{self.system.urls[process]}/metrics") as answer:
            return await answer.text()

    def log(self, process: str) -> list[dict[str, Any]]:
        text = (self.system.data / "logs" / f"{process}.log").read_text()
        return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
async def running(
    request: pytest.FixtureRequest, kafka: str, topic_prefix: str, database_url: str
) -> AsyncIterator[Running]:
    """The whole system; the fixture's parameter says which exporter its processes have."""
    async with Collector() as collector:
        environment = {
            "HEADROOM_KAFKA__BOOTSTRAP": kafka,
            "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix,
            "HEADROOM_KAFKA__PARTITIONS": "2",
            "HEADROOM_DATABASE_URL": database_url,
            "HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            "HEADROOM_TRACING__EXPORTER": request.param,
            "HEADROOM_TRACING__ENDPOINT": collector.traces_url,
            "HEADROOM_KAFKA__SASL_PASSWORD": "canary-in-the-settings",
        }
        async with LocalSystem(environment=environment) as system, aiohttp.ClientSession() as http:
            http.headers["Authorization"] = f"Bearer {system.api_key}"
            made = Running(system, collector, http, kafka, topic_prefix)
            await publish_and_subscribe(made)
            yield made


async def publish_and_subscribe(running: Running) -> None:
    headers = {"Content-Type": "application/yaml"}
    async with running.http.put(f"{running.system.door_url}/v1/plans/traced", data=PLAN, headers=headers) as answer:
        assert answer.status == 201, await answer.text()
    subscription = {"name": "traced", "url": running.collector.webhook_url}
    assert (
        await running.post(f"{running.system.notifier_url}/v1/subscriptions", subscription, "application/json") == 201
    )

    async def projected() -> bool:
        async with running.http.get(f"{running.system.capacity_url}/v1/pools") as answer:
            return answer.status == 200

    # Else the plan, not the deal, may be what brings the frame about, and the webhook would carry no trace of a deal.
    await eventually(projected, within=60, what="the plan is projected")


async def send(running: Running, number: str, **headers: str) -> dict[str, str]:
    """Post a deal that tips the pool; the headers of the webhook that follows from it."""
    before = len(running.collector.webhooks)
    url = f"{running.system.door_url}/v1/events"
    assert await running.post(url, deal(number), "application/cloudevents+json", **headers) == 202
    await eventually(lambda: len(running.collector.webhooks) > before, within=40, what="the webhook")
    return running.collector.webhooks[-1]


@pytest.mark.parametrize("running", ["otlp"], indirect=True)
async def test_a_deal_and_its_webhook_are_one_trace_with_a_span_at_each_stop(running: Running) -> None:
    await a_first_deal(running)
    webhook = await send(running, "1", traceparent=f"00-{TRACE}-{CALLER}-01")
    _, trace, parent, flags = webhook["traceparent"].split("-")
    assert (trace, flags) == (TRACE, "01")

    spans = running.collector.spans
    stops = {"door", "normalise", "fold", "project", "views", "triggers", "notifier"}
    await eventually(
        lambda: {f"headroom-{stop}" for stop in stops} <= {span.service for span in spans if span.trace == TRACE},
        within=30,
        what="spans of every stop",
    )
    ours = [span for span in spans if span.trace == TRACE]
    (door,) = [span for span in ours if span.service == "headroom-door"]
    assert (door.name, door.parent) == ("POST /v1/events", CALLER)
    assert {span.parent for span in ours if span is not door} == {door.id}
    assert parent in {span.id for span in ours if span.name == "deliver"}
    await latencies_are_measured(running)
    await every_process_tells_its_build(running)
    logs_are_structured(running)


async def a_first_deal(running: Running) -> None:
    """One that tips nothing. How old the first is that a process sees says nothing about how long anything takes."""
    url = f"{running.system.door_url}/v1/events"
    assert await running.post(url, deal("0", quantity=0.1), "application/cloudevents+json") == 202

    async def shown() -> bool:
        found = re.search(r"^headroom_views_book_timestamp_seconds (\S+)$", await running.series("views"), re.MULTILINE)
        return found is not None and float(found[1]) > 0

    await eventually(shown, within=60, what="the first deal in the read models")


async def latencies_are_measured(running: Running) -> None:
    for process, name in (
        ("views", "headroom_views_event_to_position_seconds"),
        ("views", "headroom_views_received_to_position_seconds"),
        ("notifier", "headroom_notifier_event_to_delivery_seconds"),
        ("notifier", "headroom_notifier_received_to_delivery_seconds"),
        ("notifier", "headroom_notifier_delivery_latency_seconds"),
        ("normalise", "headroom_ingest_received_to_normalised_seconds"),
    ):
        text = await running.series(process)
        count = re.search(rf"^{name}_count (\S+)$", text, re.MULTILINE)
        total = re.search(rf"^{name}_sum (\S+)$", text, re.MULTILINE)
        assert count is not None, name
        assert total is not None, name
        assert float(count[1]) >= 1, name
        assert 0 <= float(total[1]) / float(count[1]) < 60, name


async def every_process_tells_its_build(running: Running) -> None:
    names = {series.name for series in declared()}
    for process in PROGRAMS:
        text = await running.series(process)
        assert re.search(rf'^headroom_build_info{{.*process="{process}".*}} 1\.0$', text, re.MULTILINE)
        assert "\nheadroom_ready 1.0\n" in text, process
        assert set(re.findall(r"^# TYPE (headroom_\S+) ", text, re.MULTILINE)) <= names


def logs_are_structured(running: Running) -> None:
    for process in PROGRAMS:
        lines = running.log(process)
        first = next(line for line in lines if line["event"] == "starting")
        assert first["settings"]["kafka"]["topic_prefix"]
        assert {line["process"] for line in lines} == {process}
        assert all({"timestamp", "level", "event"} <= line.keys() for line in lines)
        assert "canary-in-the-settings" not in json.dumps(lines)
        assert any(line["event"] == "ready" for line in lines), process
    for process in ("normalise", "fold", "project", "triggers"):
        restored = [line for line in running.log(process) if line["event"] == "restored"]
        assert restored, process
        assert all({"role", "shard", "seconds", "records"} <= line.keys() for line in restored)
    firing = next(line for line in running.log("triggers") if line["event"] == "firing")
    assert firing["trace_id"] == TRACE


@pytest.mark.parametrize("running", ["none"], indirect=True)
async def test_without_spans_the_trace_is_handed_on_as_it_came(running: Running) -> None:
    given = f"00-{TRACE}-{CALLER}-00"
    assert (await send(running, "1", traceparent=given))["traceparent"] == given
    assert running.collector.spans == []
    await a_decision_carries_its_trace(running)


async def a_decision_carries_its_trace(running: Running) -> None:
    """From the request to the log, and through the model to the webhook about what it changed."""
    url = f"{running.system.notifier_url}/v1/recalibrations"
    async with running.http.get(url) as answer:
        (one,) = (await answer.json())["items"]
    said = one["recalibration"]
    seen, decided = (f"00-{trace * 32}-{CALLER}-00" for trace in ("a", "b"))
    owner = {"by": "owner"}
    acknowledge = f"{url}/{said['id']}/acknowledge"
    assert await running.post(acknowledge, owner, "application/json", traceparent=seen) == 201
    effects = [{"pool": "implementation", "weeks": [said["from_week"]], "amount": 200}]
    before = len(running.collector.webhooks)
    body = owner | {"why": "more people", "effects": effects}
    assert await running.post(f"{url}/{said['id']}/decide", body, "application/json", traceparent=decided) == 201
    await eventually(lambda: len(running.collector.webhooks) > before, within=40, what="the webhook")
    assert running.collector.webhooks[-1]["traceparent"] == decided
    settings = KafkaSettings(bootstrap=running.bootstrap, topic_prefix=running.prefix)
    records = await toy.read_all(settings, DECISIONS)
    assert [(decode(one.value).kind, trace_in(one.headers)) for one in records] == [
        ("acknowledged", seen.encode()), ("decided", decided.encode()),
    ]  # fmt: skip
