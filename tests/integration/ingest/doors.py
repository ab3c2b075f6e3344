"""A door on a real socket over a real broker and database, and a look at what it left on the topics."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from httpx2 import AsyncClient, HTTPError, Response

from headroom.local.ports import free_ports
from services.ingest.app import create_door
from services.ingest.domain.signature import sign_v3
from services.ingest.settings import IngestSettings
from shared.access import Scope, api_keys, hash_key, new_key
from shared.db import create_engine
from shared.http import serve
from shared.settings import HttpSettings, KafkaSettings
from shared.topics import Topic
from tests.waiting import eventually

SECRET = "c0ffee00-0000-4000-8000-000000000000"
URI = "https://hooks.example.com/v1/webhooks/hubspot/acme"
STRUCTURED, BATCH, JSON = "application/cloudevents+json", "application/cloudevents-batch+json", "application/json"
PARTITIONS = 2


def settings_for(kafka: str, prefix: str, database_url: str, port: int, **door: Any) -> IngestSettings:
    """Settings of a system on ``kafka`` with one HubSpot connection."""
    connection = {
        "secrets": ["an-older-secret", SECRET],
        "uri": URI,
        "timezone": "Europe/Berlin",
        "stages": {"qualifiedtobuy": "qualified", "closedwon": "won"},
    }
    return IngestSettings.model_validate(
        {
            "kafka": KafkaSettings(bootstrap=kafka, topic_prefix=prefix, partitions=PARTITIONS, session_timeout=6.0),
            "http": HttpSettings(port=port),
            "database_url": database_url,
            "ingest": {"hubspot": {"acme": connection, "old": connection | {"signatures": ["v1", "v2"]}}, **door},
        }
    )


@dataclass
class Door:
    """A running door: its client, a key with every scope, and where it writes."""

    settings: IngestSettings
    client: AsyncClient
    key: str

    async def send(
        self, body: Any, content_type: str = STRUCTURED, headers: Mapping[str, str] | Sequence[tuple[str, str]] = ()
    ) -> Response:
        """POST to ``/v1/events`` with the key; a body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = [("content-type", content_type), ("x-api-key", self.key), *dict(headers).items()]
        return await self.client.post("/v1/events", content=content, headers=sent)

    async def hubspot(self, body: bytes, connection: str = "acme", **signed: Any) -> Response:
        """POST a body to a connection, signed as HubSpot does now, or as ``signed`` says."""
        at = signed.get("at", str(int(time.time() * 1000)))
        signature = sign_v3(signed.get("secret", SECRET), "POST", signed.get("uri", URI), body, at)
        headers = {
            "content-type": JSON,
            "x-hubspot-signature-v3": signature,
            "x-hubspot-request-timestamp": at,
        }
        return await self.client.post(f"/v1/webhooks/hubspot/{connection}", content=body, headers=headers)

    async def read(self, topic: Topic) -> list[ConsumerRecord]:
        """Everything committed on a topic now, by partition and offset."""
        return await read_topic(self.settings.kafka, topic)


@asynccontextmanager
async def running_door(settings: IngestSettings, *, ready: bool = True) -> AsyncIterator[Door]:
    """Serve a door until the end of the block."""
    stop = asyncio.Event()
    key = new_key()
    settings = settings.model_copy(update={"bootstrap_key_hash": hash_key(key)})
    serving = asyncio.create_task(serve(create_door(settings), settings.http, stop))
    try:
        async with AsyncClient(base_url=f"http://127.0.0.1:{settings.http.port}", timeout=30) as client:
            door = Door(settings, client, key)
            await eventually(lambda: answers(door, "/readyz" if ready else "/healthz"), what="the door")
            yield door
    finally:
        stop.set()
        await serving


async def answers(door: Door, path: str) -> bool:
    """Whether the door says 200 at ``path``."""
    try:
        return (await door.client.get(path)).status_code == 200
    except HTTPError:
        return False


async def add_key(database_url: str, *scopes: Scope) -> str:
    """A key with some scopes in the database."""
    key = new_key()
    engine = create_engine(database_url)
    row = {"id": f"key-{key[-8:]}", "name": "some key", "hash": hash_key(key), "scopes": list(scopes)}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(api_keys).values(row))
    await engine.dispose()
    return key


async def read_topic(kafka: KafkaSettings, topic: Topic) -> list[ConsumerRecord]:
    """Everything committed on ``topic`` now."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        numbers = range(topic.partitions(kafka.partitions))
        partitions = [TopicPartition(kafka.topic_prefix + topic.name, number) for number in numbers]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(tp) < end for tp, end in ends.items()]):
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return sorted(found, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


def header(record: ConsumerRecord, name: str) -> str | None:
    """One Kafka header as text."""
    return next((value.decode() for key, value in record.headers if key == name), None)


def free_port() -> int:
    return free_ports(1)[0]
