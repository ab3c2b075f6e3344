"""The log as an operator reads it: a partition from some offset up to its present end, committed records only."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Self, TypeVar

import aiokafka
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NotCoordinatorForGroupError,
)

from headroom.reasons import reason
from shared.errors import NotReady
from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.streams.shards import Record
from shared.topics import Topic

T = TypeVar("T")


@contextmanager
def answering(kafka: KafkaSettings) -> Iterator[None]:
    """Whatever Kafka refuses inside becomes a ``NotReady`` that names the broker."""
    try:
        yield
    except KafkaError as failure:
        raise NotReady(
            "the broker does not answer as it should",
            where=kafka.bootstrap,
            why=reason(failure),
            do="`headroom doctor` says what is the matter",
        ) from failure


class Partition:
    """One partition as an async context manager. ``position`` is the offset at which reading goes on."""

    def __init__(self, kafka: KafkaSettings, topic: Topic, number: int, position: int = 0) -> None:
        self._tp = TopicPartition(kafka.topic_prefix + topic.name, number)
        self._kafka = kafka
        self._consumer: Any = None
        self.position = position

    async def __aenter__(self) -> Self:
        self._consumer = aiokafka.AIOKafkaConsumer(
            **connection_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await self._consumer.start()
        self._consumer.assign([self._tp])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._consumer.stop()

    async def begin(self) -> int:
        """The first offset that is kept."""
        return int((await self._consumer.beginning_offsets([self._tp]))[self._tp])

    async def end(self) -> int:
        """Where the next record goes; what an open transaction holds back is beyond it."""
        return int((await self._consumer.end_offsets([self._tp]))[self._tp])

    async def new(self, end: int | None = None) -> AsyncIterator[Sequence[Record]]:
        """Everything from ``position`` up to ``end``, else the present end, in batches; moves ``position`` there."""
        end = await self.end() if end is None else end
        self._consumer.seek(self._tp, max(self.position, await self.begin()))
        while (at := await self._consumer.position(self._tp)) < end:
            fetched = (await self._consumer.getmany(self._tp, timeout_ms=200, max_records=4000)).get(self._tp, [])
            if records := [record for record in fetched if record.offset < end]:
                yield records
        self.position = max(self.position, at)

    async def back(self, width: int = 2000) -> AsyncIterator[Sequence[Record]]:
        """Everything from the present end to the beginning in pieces, the newest first; each is 8 times as wide."""
        begin, upto = await self.begin(), await self.end()
        while upto > begin:
            self.position = max(begin, upto - width)
            start = self.position
            yield [record async for records in self.new(upto) for record in records]
            upto, width = start, width * 8


async def ends(kafka: KafkaSettings, topic: Topic, partitions: int) -> list[int]:
    """Where each partition of a topic ends."""
    tps = [TopicPartition(kafka.topic_prefix + topic.name, number) for number in range(partitions)]
    consumer = aiokafka.AIOKafkaConsumer(
        **connection_options(kafka), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    try:
        found = await consumer.end_offsets(tps)
    finally:
        await consumer.stop()
    return [int(found[tp]) for tp in tps]


async def about_group(ask: Callable[[], Awaitable[T]], within: float = 20.0) -> T:
    """The answer to a question about a group, asked again for as long as no broker keeps the group's places yet.

    The first such question in a broker's life makes it create the topic in which it keeps them. Raises ``KafkaError``.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            return await ask()
        except (GroupCoordinatorNotAvailableError, NotCoordinatorForGroupError, GroupLoadInProgressError):
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(0.1)


@asynccontextmanager
async def admin(kafka: KafkaSettings, timeout: float = 20.0) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client for questions about topics and groups; each request has ``timeout`` seconds."""
    client = AIOKafkaAdminClient(**connection_options(kafka), request_timeout_ms=int(timeout * 1000))
    try:
        await client.start()
        yield client
    finally:
        await client.close()
