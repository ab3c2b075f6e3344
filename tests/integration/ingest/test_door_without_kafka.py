"""The door while its broker is away: 503 and nothing lost, and 202 again without a restart when it is back."""

import asyncio
import time

from httpx2 import Response

from headroom import topics
from headroom.local.kafka import EmbeddedKafka
from shared.access import metadata
from shared.db import create_engine
from shared.topics import INBOX
from tests.integration.ingest.doors import Door, answers, free_port, running_door, settings_for
from tests.integration.ingest.test_door_events import event
from tests.waiting import eventually


async def test_a_door_that_starts_without_kafka_says_so(database_url: str) -> None:
    settings = settings_for(f"127.0.0.1:{free_port()}", "away.", await with_keys(database_url), free_port())
    async with running_door(settings, ready=False) as door:
        assert_come_again(await door.send(event("1")))
        assert_come_again(await door.hubspot(b'[{"portalId": 1}]'))
        readiness = await door.client.get("/readyz")
        assert readiness.status_code == 503
        assert "Kafka" in readiness.json()["reasons"][0]
        assert (await door.client.get("/healthz")).status_code == 200


async def test_a_broker_that_dies_and_comes_back(database_url: str) -> None:
    with EmbeddedKafka(heap_mb=256) as broker:
        settings = settings_for(broker.bootstrap, "", await with_keys(database_url), free_port(), append_timeout=1.0)
        await topics.apply(settings.kafka, [INBOX])
        async with running_door(settings) as door:
            assert (await door.send(event("before"))).status_code == 202
            broker.kill()
            started = time.monotonic()
            assert_come_again(await door.send(event("while away")))
            assert time.monotonic() - started < 5, "senders wait no longer than five seconds"
            assert not await answers(door, "/readyz")
            await asyncio.to_thread(broker.restart)

            async def taken() -> bool:
                return (await door.send(event("after"))).status_code == 202

            await eventually(taken, within=60)
            await eventually(lambda: answers(door, "/readyz"))
            keys = [record.key for record in await door.read(INBOX)]
            assert keys.count(b"crm/before") == 1
            assert b"crm/after" in keys


async def test_a_topic_that_is_missing_is_named(kafka: str, topic_prefix: str, database_url: str) -> None:
    settings = settings_for(kafka, topic_prefix, await with_keys(database_url), free_port())
    async with running_door(settings, ready=False) as door:

        async def named() -> bool:
            return "inbox.v1" in (await door.client.get("/readyz")).text

        await eventually(named)
        assert_come_again(await door.send(event("1")))
        await topics.apply(settings.kafka, [INBOX])
        await eventually(lambda: answers(door, "/readyz"))
        assert (await door.send(event("1"))).status_code == 202


async def test_a_database_that_is_away_is_503(kafka: str, topic_prefix: str) -> None:
    nowhere = f"postgresql+asyncpg://postgres@127.0.0.1:{free_port()}/nowhere"
    settings = settings_for(kafka, topic_prefix, nowhere, free_port())
    await topics.apply(settings.kafka, [INBOX])
    async with running_door(settings) as door:
        assert (await door.send(event("1"))).status_code == 202
        unknown = Door(settings, door.client, "hr_another")
        assert_come_again(await unknown.send(event("1")))


async def with_keys(database_url: str) -> str:
    """The database with the table of API keys."""
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return database_url


def assert_come_again(answer: Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
