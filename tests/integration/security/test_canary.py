"""Secrets are planted, the whole system is exercised on good ways and bad, and then they are looked for everywhere.

Looked through: every process's log, series and spans, every answer, every record of every topic with key and headers,
and every column of every table. One place holds a secret in clear, because a signature cannot be made from a hash: the
signing secrets of webhooks in ``subscription_secrets.secret``. The answer that hands one out once is not counted.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import sqlalchemy as sa
from pydantic import ValidationError
from sqlalchemy import make_url

from headroom.local.ports import free_ports
from headroom.local.system import PROGRAMS, ROOT, LocalSystem
from services.ingest.domain.signature import sign_v3
from services.ingest.settings import IngestSettings
from shared.access import hash_key
from shared.db import create_engine
from shared.settings import ClockSettings
from shared.topics import ALL, DEAD_LETTERS, DEALS, INBOX, RECALIBRATIONS
from tests.e2e.test_walk import DAY, DEAL, PLAN
from tests.e2e.topics import records
from tests.integration.notifier.receiver import Receiver
from tests.integration.operator.processes import headroom
from tests.integration.telemetry.collector import Collector
from tests.waiting import eventually, eventually_sync

KEY = "hr_canary-key-5f0d1c7e9a42"
STRANGER = "hr_canary-unknown-77aa31c05b"
HUBSPOT = "canary-hubspot-0d9b64e2"
COOKIE = "canary-cookie-b2810f"
PASSWORD = "canary-database-41c6e0"
SASL = "canary-sasl-93bd17"
URI = "https://hooks.example.com/hubspot/acme"
CONNECTIONS = json.dumps({"acme": {"secrets": [HUBSPOT], "uri": URI}})
SPANS = ("door", "normalise", "fold", "project", "views", "triggers", "notifier")
LAST = "1a57" * 8
"""The trace of the last requests."""
CHANGE = [{"portalId": 1, "objectId": 2, "occurredAt": 1_774_000_000_000, "subscriptionType": "deal.creation"}]


@dataclass
class Exercise:
    """The running system, a caller, everything it was answered, and the secrets that came up on the way."""

    system: LocalSystem
    http: aiohttp.ClientSession
    collector: Collector
    answers: list[str] = field(default_factory=list)
    secrets: list[str] = field(default_factory=lambda: [KEY, STRANGER, HUBSPOT, COOKIE, PASSWORD, SASL])

    async def ask(self, method: str, url: str, *, keep: bool = True, **more: Any) -> tuple[int, str]:
        """One request; its answer is kept with its headers."""
        async with self.http.request(method, url, **more) as answer:
            text = await answer.text()
            if keep:
                self.answers.append(f"{answer.status} {answer.headers} {text}")
            return answer.status, text

    async def handed_out(self, status: int, method: str, url: str, **more: Any) -> dict[str, Any]:
        """A request whose answer shows a secret this once."""
        code, text = await self.ask(method, url, keep=False, **more)
        assert code == status, text
        made = json.loads(text)
        self.secrets.append(made["secret"].removeprefix("whsec_"))
        return dict(made)


@pytest.fixture
async def collector() -> AsyncIterator[Collector]:
    """Takes every span of every process."""
    async with Collector() as collector:
        yield collector


@pytest.fixture
async def exercise(kafka: str, topic_prefix: str, database_url: str, collector: Collector) -> AsyncIterator[Exercise]:
    """The system with every secret set."""
    environment = {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka,
        "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": "1",
        "HEADROOM_KAFKA__SASL_PASSWORD": SASL,
        "HEADROOM_DATABASE_URL": make_url(database_url).set(password=PASSWORD).render_as_string(hide_password=False),
        "HEADROOM_BOOTSTRAP_KEY_HASH": hash_key(KEY),
        "HEADROOM_INGEST__HUBSPOT": CONNECTIONS,
        "HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]',
        "HEADROOM_LOG_LEVEL": "debug",
        "HEADROOM_TRACING__EXPORTER": "otlp",
        "HEADROOM_TRACING__ENDPOINT": collector.traces_url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",  # ms that spans may wait for others
    }
    async with (
        LocalSystem(environment=environment, clock=ClockSettings(as_of=DAY)) as system,
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {KEY}"}) as http,
    ):
        yield Exercise(system, http, collector)


async def test_no_secret_is_found_where_it_does_not_belong(exercise: Exercise) -> None:
    await good_ways(exercise)
    await bad_ways(exercise)
    places = await everything(exercise)
    for what in (
        "log door",
        "metrics notifier",
        f"topic {INBOX.name}",
        f"topic {RECALIBRATIONS.name}",
        "table decisions",
        *(f"spans {name}" for name in SPANS),
    ):
        assert len(places[what]) > 20, f"{what} must be among what is looked through"
    assert "STATUS_CODE_ERROR" in places["spans notifier"], "the attempt that failed is among what is looked through"
    assert any("hubspot-1/2" in text for text in places.values()), "what was signed was taken in"
    for secret in exercise.secrets:
        found = {place for place, text in places.items() if secret in text}
        allowed = (
            {"table subscription_secrets"} if secret not in (KEY, STRANGER, HUBSPOT, COOKIE, PASSWORD, SASL) else set()
        )
        assert found <= allowed, f"{secret[:14]}… is in {found - allowed}"


async def good_ways(exercise: Exercise) -> None:
    """A plan, a deal that tips a pool, a signed webhook, a subscription that is told, an answer."""
    door, notifier = exercise.system.door_url, exercise.system.notifier_url
    async with Receiver() as receiver:
        made = await exercise.handed_out(
            201, "POST", f"{notifier}/v1/subscriptions", json={"name": "board", "url": receiver.url()}
        )
        await exercise.handed_out(200, "POST", f"{notifier}/v1/subscriptions/{made['id']}/rotate", json={})
        assert (await exercise.ask("PUT", f"{door}/v1/plans/walk", data=PLAN.encode()))[0] == 201

        async def projected() -> bool:
            return (await exercise.ask("GET", f"{exercise.system.capacity_url}/v1/pools"))[0] == 200

        # Else the plan, not the deal, may be what tips the pool, and what follows would have no trace and no spans.
        await eventually(projected, within=60, what="the plan is projected")
        event = {"content-type": "application/cloudevents+json", "cookie": f"session={COOKIE}", "x-token": COOKIE}
        assert (await exercise.ask("POST", f"{door}/v1/events", data=json.dumps(DEAL), headers=event))[0] == 202
        assert (await signed(exercise, json.dumps(CHANGE).encode(), HUBSPOT))[0] == 202

        async def asked() -> list[dict[str, Any]]:
            _, text = await exercise.ask("GET", f"{notifier}/v1/recalibrations?state=open")
            return list(json.loads(text)["items"])

        (one, *_) = await eventually(asked, within=90, what="the recalibration")
        await eventually(lambda: bool(receiver.got), within=60, what="its webhook")
        answer = f"{notifier}/v1/recalibrations/{one['recalibration']['id']}"
        headers = {"Idempotency-Key": "once"}
        seen = await exercise.ask("POST", f"{answer}/acknowledge", json={"by": "owner"}, headers=headers)
        assert seen[0] == 201, seen
        decided = {"by": "owner", "why": "contractors", "action": "contractors"}
        assert (await exercise.ask("POST", f"{answer}/decide", json=decided))[0] == 201
        for path in ("subscriptions", "deliveries", "recalibrations"):
            await exercise.ask("GET", f"{notifier}/v1/{path}")
        for path in ("positions", "pools", "work", "listed", "deals/crm/42"):
            await exercise.ask("GET", f"{exercise.system.capacity_url}/v1/{path}")
    made_key = await headroom("keys", "new", "crm", "-s", "ingest", "--json", variables=exercise.system.environment)
    exercise.secrets.append(json.loads(made_key.stdout)["key"])
    listed = await headroom("keys", "list", "--json", variables=exercise.system.environment)
    examined = await headroom("doctor", "--json", variables=exercise.system.environment, exit_code=0)
    exercise.answers += [listed.output, examined.output]


async def bad_ways(exercise: Exercise) -> None:
    """Wrong keys in every place, wrong signatures, broken bodies, persons who may not answer, a dead receiver."""
    urls = exercise.system.urls
    for name in ("door", "views", "notifier"):
        for headers in (
            {"Authorization": f"Bearer {STRANGER}"},
            {"Authorization": f"Basic {STRANGER}"},
            {"Authorization": "", "X-API-Key": STRANGER},
        ):
            for path in (
                "events",
                "plans/x",
                "positions",
                "subscriptions",
                "recalibrations",
                "nowhere",
                f"x?k={COOKIE}",
            ):
                for method in ("GET", "POST", "PUT"):
                    await exercise.ask(method, f"{urls[name]}/v1/{path}", headers=headers, data=b"{")
    door, notifier = urls["door"], urls["notifier"]
    await signed(exercise, json.dumps(CHANGE).encode(), "wrong")
    await signed(exercise, b"\xff\xfe", HUBSPOT)
    await exercise.ask("POST", f"{door}/v1/webhooks/hubspot/nobody", data=b"[]")
    for content_type in ("application/cloudevents+json", "application/cloudevents-batch+json", "text/plain"):
        await exercise.ask(
            "POST", f"{door}/v1/events", data=b'{"specversion": 1', headers={"content-type": content_type}
        )
    await exercise.ask("PUT", f"{door}/v1/plans/walk", data=b"plan: [")
    dead = {"name": "dead", "url": f"http://127.0.0.1:{free_ports(1)[0]}/hook"}
    made = await exercise.handed_out(201, "POST", f"{notifier}/v1/subscriptions", json=dead)
    await exercise.ask("POST", f"{notifier}/v1/subscriptions/{made['id']}/test")
    await exercise.ask("POST", f"{notifier}/v1/subscriptions", json={"name": "x", "url": "http://169.254.169.254/"})
    await exercise.ask("POST", f"{notifier}/v1/recalibrations/unknown/acknowledge", json={"by": "owner"})

    async def buried() -> bool:
        return bool(await records_of(exercise, DEAD_LETTERS))

    await eventually(buried, within=60, what="the dead letter of what could not be read")

    async def failed() -> bool:
        _, text = await exercise.ask("GET", f"{notifier}/v1/deliveries?subscription={made['id']}")
        return bool(json.loads(text)["items"][0]["attempts"])

    await eventually(failed, within=60, what="an attempt on the dead receiver")


async def signed(exercise: Exercise, body: bytes, secret: str) -> tuple[int, str]:
    at = str(int(time.time() * 1000))
    headers = {
        "content-type": "application/json",
        "x-hubspot-signature-v3": sign_v3(secret, "POST", URI, body, at),
        "x-hubspot-request-timestamp": at,
        "cookie": f"session={COOKIE}",
    }
    return await exercise.ask(
        "POST", f"{exercise.system.door_url}/v1/webhooks/hubspot/acme", data=body, headers=headers
    )


async def records_of(exercise: Exercise, topic: Any) -> list[Any]:
    settings = exercise.system.settings.kafka
    return list(await records(settings.bootstrap, settings.topic_prefix, topic))


async def everything(exercise: Exercise) -> dict[str, str]:
    """All that is to be looked through, by place."""
    places = {"answers": "\n".join(exercise.answers)} | await spans(exercise)
    for name, url in exercise.system.urls.items():
        _, places[f"metrics {name}"] = await exercise.ask("GET", f"{url}/metrics", keep=False)
        places[f"log {name}"] = log_of(exercise.system, name)
    for topic in ALL:
        places[f"topic {topic.name}"] = repr(await records_of(exercise, topic))
    engine = create_engine(exercise.system.database_url)
    async with engine.connect() as connection:
        names = await connection.scalars(sa.text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        for name in names.all():
            rows = await connection.scalars(sa.text(f'SELECT CAST(whole AS text) FROM "{name}" AS whole'))
            places[f"table {name}"] = "\n".join(rows.all())
    await engine.dispose()
    assert places[f"topic {DEALS.name}"]
    return places


async def spans(exercise: Exercise) -> dict[str, str]:
    """What each process has told of its spans, whole: names, attributes, events, status; after its last request's."""
    for name in ("door", "views", "notifier"):
        headers = {"traceparent": f"00-{LAST}-{'1' * 16}-01"}
        await exercise.ask("GET", f"{exercise.system.urls[name]}/v1/nowhere", headers=headers)

    def told() -> bool:
        found = exercise.collector.spans
        last = {span.service for span in found if span.trace == LAST}
        return len(last) == 3 and {f"headroom-{name}" for name in SPANS} <= {span.service for span in found}

    await eventually(told, within=30, what="the spans of every process, and of the last requests")
    return {
        f"spans {name}": "\n".join(text for text in exercise.collector.sent if f'"headroom-{name}"' in text)
        for name in SPANS
    }


def log_of(system: LocalSystem, name: str) -> str:
    return (system.data / "logs" / f"{name}.log").read_text()


@pytest.mark.parametrize(
    "connections",
    [
        {"acme": {"secrets": HUBSPOT, "uri": URI}},
        {"acme": {"secrets": [HUBSPOT, 7], "uri": URI}},
        {"acme": {"secrets": [HUBSPOT], "uri": "nowhere"}},
        {"acme": {"secrets": [HUBSPOT], "uri": URI, "secret": HUBSPOT}},
        {"acme": {"secrets": [{"value": HUBSPOT}], "uri": URI}},
    ],
)
def test_a_wrong_setting_is_named_without_its_value(connections: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADROOM_INGEST__HUBSPOT", json.dumps(connections))
    with pytest.raises(ValidationError) as error:
        IngestSettings()
    assert "acme" in str(error.value)
    assert HUBSPOT not in str(error.value)


@pytest.mark.parametrize("name", ["door", "views", "notifier"])
def test_a_process_without_its_servers_does_not_tell_how_it_would_log_in(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    environment = {
        **os.environ,
        "HEADROOM_KAFKA__BOOTSTRAP": "127.0.0.1:9",
        "HEADROOM_KAFKA__SECURITY_PROTOCOL": "SASL_PLAINTEXT",
        "HEADROOM_KAFKA__SASL_USERNAME": "headroom",
        "HEADROOM_KAFKA__SASL_PASSWORD": SASL,
        "HEADROOM_DATABASE_URL": f"postgresql+asyncpg://headroom:{PASSWORD}@127.0.0.1:9/headroom",
        "HEADROOM_HTTP__PORT": "0",
        "HEADROOM_LOG_LEVEL": "debug",
    }
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *PROGRAMS[name]], cwd=ROOT, env=environment, stdout=out, stderr=out
        )
        try:
            eventually_sync(lambda: "127.0.0.1" in log.read_text(), within=60, what="it telling what it cannot reach")
            process.terminate()
            process.wait(30)
        finally:
            process.kill()
    said = log.read_text()
    assert SASL not in said
    assert PASSWORD not in said
