"""The same handler of records, run by our runtime and by an agent of stock Faust."""

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import faust

from shared.settings import KafkaSettings
from shared.streams.shards import Batch, SinkRole
from shared.streams.transport import BatchConsumer
from tests.integration.streams import toy
from tests.integration.streams.toy import INPUT

GROUP = "sink"
Handle = Callable[[Any], Awaitable[None]]


@dataclass
class Agent:
    """A worker of INPUT: what ended it, and the consumer it commits through once it runs."""

    consumers: list[Any]
    failures: list[BaseException] = field(default_factory=list)


@asynccontextmanager
async def ours(system: KafkaSettings, handle: Handle) -> AsyncIterator[Agent]:
    class Handling:
        async def apply(self, batch: Batch) -> None:
            for record in batch.records:
                await handle(record.value)

    consumers: list[BatchConsumer] = []
    with mock.patch.object(BatchConsumer, "on_init", lambda self: consumers.append(self)):  # noqa: PLW0108 - a method
        async with toy.running(system, SinkRole(GROUP, (INPUT,), Handling())) as worker:
            yield Agent(consumers, worker.failures)


@asynccontextmanager
async def of_stock(
    system: KafkaSettings, handle: Handle, *, concurrency: int = 1, serializer: str = "raw"
) -> AsyncIterator[Agent]:
    """An app set as ours where it can be; the ``stream_ack`` settings say what they should do."""
    with tempfile.TemporaryDirectory() as folder:
        app = faust.App(
            system.topic_prefix + GROUP,
            broker=f"aiokafka://{system.bootstrap}",
            datadir=folder,
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            broker_session_timeout=6.0,
            broker_heartbeat_interval=1.2,
            broker_commit_interval=0.2,
            stream_wait_empty=False,
            stream_ack_cancelled_tasks=False,
            stream_ack_exceptions=False,
        )
        topic = app.topic(system.topic_prefix + INPUT.name, key_serializer="raw", value_serializer=serializer)

        async def consume(stream: Any) -> None:
            async for event in stream.events():
                await handle(event.value)

        app.agent(topic, name=GROUP, concurrency=concurrency)(consume)
        await app.start()
        try:
            yield Agent([app.consumer])
        finally:
            await app.stop()
