"""Notifier processes as they run in production, which a test may kill, and a client of their API."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from headroom import topics as broker_topics
from shared.access import hash_key, new_key
from shared.kafka import create_producer
from shared.schemas import decision as decisions
from shared.schemas import recalibration as records
from shared.schemas.decision import Decision
from shared.schemas.envelope import headers
from shared.schemas.recalibration import Recalibration
from shared.settings import KafkaSettings
from shared.topics import DEAD_LETTERS, DECISIONS, PLANS, RECALIBRATIONS, Topic
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
KEY = new_key()


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


class Process:
    """One ``python -m services.notifier`` and a session with its API."""

    def __init__(self, kafka: KafkaSettings, database_url: str, log: Path, **settings: str) -> None:
        self.port = free_port()
        self.log = log
        self._environment = {
            **os.environ,
            "HEADROOM_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "HEADROOM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "HEADROOM_KAFKA__SESSION_TIMEOUT": str(kafka.session_timeout),
            "HEADROOM_DATABASE_URL": database_url,
            "HEADROOM_HTTP__PORT": str(self.port),
            "HEADROOM_BOOTSTRAP_KEY_HASH": hash_key(KEY),
            "HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]',
            **settings,
        }
        self._child: subprocess.Popen[bytes] | None = None
        self.api: aiohttp.ClientSession

    def start(self) -> None:
        with self.log.open("ab") as log:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "services.notifier"], cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    async def ready(self) -> None:
        async def answers() -> bool:
            assert self.child.poll() is None, self.log.read_text()[-5000:]
            try:
                async with self.api.get("/readyz") as response:
                    return response.status == 200
            except aiohttp.ClientError:
                return False

        await eventually(answers, within=60)

    @property
    def child(self) -> subprocess.Popen[bytes]:
        assert self._child is not None
        return self._child

    def kill(self) -> None:
        """As the machine's end would: no handler runs."""
        self.child.kill()
        self.child.wait()

    async def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.child.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.child.wait, 20)

    async def post(self, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        async with self.api.post(path, json=body, **more) as response:
            return response.status, await response.json(content_type=None)

    async def get(self, path: str, **parameters: str) -> tuple[int, Any]:
        async with self.api.get(path, params=parameters) as response:
            return response.status, await response.json(content_type=None)

    async def subscribe(self, url: str, **filters: Any) -> dict[str, Any]:
        status, made = await self.post("/v1/subscriptions", {"name": "test", "url": url, "filters": filters})
        assert status == 201, made
        return dict(made)


class System:
    """Topics, a database, and any number of notifiers on them."""

    def __init__(self, kafka: KafkaSettings, database_url: str, folder: Path, stack: AsyncExitStack) -> None:
        self.kafka, self.database_url = kafka, database_url
        self._folder, self._stack = folder, stack
        self._producer: AIOKafkaProducer | None = None
        self._count = 0

    async def start(self, **settings: str) -> Process:
        """Another notifier, ready."""
        process = await self.spawn(**settings)
        await process.ready()
        return process

    async def spawn(self, **settings: str) -> Process:
        """Another notifier, on its way."""
        self._count += 1
        process = Process(self.kafka, self.database_url, self._folder / f"notifier-{self._count}.log", **settings)
        process.api = await self._stack.enter_async_context(
            aiohttp.ClientSession(f"http://127.0.0.1:{process.port}", headers={"X-API-Key": KEY})
        )
        process.start()
        self._stack.callback(process.kill)
        return process

    async def tell(self, *ones: Recalibration) -> None:
        """Write recalibrations to the log, as triggers would."""
        for one in ones:
            envelope = headers(records.TYPE, one.event_id, "triggers", one.at)
            await self.write(RECALIBRATIONS, records.encode(one), one.id.encode(), headers=envelope)

    async def write(self, topic: Topic, value: bytes, key: bytes = b"k", **more: Any) -> None:
        """Write one record."""
        if self._producer is None:
            self._producer = create_producer(self.kafka, linger_ms=0)
            await self._producer.start()
            self._stack.push_async_callback(self._producer.stop)
        await self._producer.send_and_wait(self.kafka.topic_prefix + topic.name, value, key, **more)

    async def decided(self, count: int) -> list[Decision]:
        """The first ``count`` decisions on the log, repetitions included."""
        async with asyncio.timeout(60), self._decisions() as consumer:
            return [decisions.decode((await consumer.getone()).value) for _ in range(count)]

    async def has_decided(self, wanted: Sequence[str]) -> bool:
        """Whether the log has exactly these decisions in this order, when readers drop ids already seen."""
        async with self._decisions() as consumer:
            found = await consumer.getmany(timeout_ms=2000)
        records = [record for some in found.values() for record in some]
        return list(dict.fromkeys(decisions.decode(record.value).id for record in records)) == list(wanted)

    @asynccontextmanager
    async def _decisions(self) -> AsyncIterator[AIOKafkaConsumer]:
        consumer = AIOKafkaConsumer(
            self.kafka.topic_prefix + DECISIONS.name,
            bootstrap_servers=self.kafka.bootstrap,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            yield consumer
        finally:
            await consumer.stop()


@asynccontextmanager
async def system(bootstrap: str, prefix: str, database_url: str, folder: Path) -> AsyncIterator[System]:
    """The topics a notifier needs, on which notifiers can be started; all end with the block."""
    kafka = KafkaSettings(bootstrap=bootstrap, topic_prefix=prefix, session_timeout=6)
    needed: Sequence[Any] = (PLANS, RECALIBRATIONS, DECISIONS, DEAD_LETTERS)
    await broker_topics.apply(kafka, needed)
    async with AsyncExitStack() as stack:
        yield System(kafka, database_url, folder, stack)
