"""A role of no meaning: counts records per key, with what is needed to run, feed and read it."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiokafka
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from shared.settings import KafkaSettings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.shards import Batch, Outgoing, Role, SinkRole
from shared.topics import Topic
from tests.groups import committed

INPUT = Topic("input", "anything", "what is counted", "delete")
COUNTS = Topic("counts", "as the input", "how often each key came, and the offset up to which that holds", "compact")


PULSE = b"pulse"
"""A key that is no count."""

Written = tuple[int, bytes, bytes]
"""Partition, key and value."""


class Counter:
    """Counts per key. A count carries the offset it includes, so applying an input again changes nothing."""

    def __init__(self, number: int, writer: str = "") -> None:
        self.number = number
        self.writer = writer
        self.counts: dict[bytes, tuple[int, int]] = {}
        self.changed: set[bytes] = set()
        self.batches: list[Batch] = []
        self.ends: Mapping[Topic, int] | None = None

    def apply(self, batch: Batch) -> None:
        self.batches.append(batch)
        if batch.topic == COUNTS:
            if batch.restoring:
                self.counts |= {r.key: state(r.value) for r in batch.records if r.key and r.value}
            return
        for record in batch.records:
            assert record.key is not None
            count, upto = self.counts.get(record.key, (0, -1))
            if record.offset > upto:
                self.counts[record.key] = (count + 1, record.offset)
                self.changed.add(record.key)

    def restored(self, ends: Mapping[Topic, int]) -> None:
        self.ends = ends

    @property
    def waiting(self) -> bool:
        return False

    def flush(self, now: datetime) -> list[Outgoing]:
        changed, self.changed = self.changed, set()
        return [Outgoing(COUNTS, self.number, key, self.encode(key)) for key in changed]

    @property
    def counted(self) -> int:
        return sum(count for count, _ in self.counts.values())

    def encode(self, key: bytes) -> bytes:
        count, upto = self.counts[key]
        return json.dumps([count, upto, self.writer]).encode()


def state(value: bytes) -> tuple[int, int]:
    count, upto, _ = json.loads(value)
    return count, upto


@dataclass
class Running:
    """A role that runs in this process."""

    health: Health
    shards: dict[int, Counter] = field(default_factory=dict)
    made: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    task: "asyncio.Task[None] | None" = None

    def make(self, number: int) -> Counter:
        self.made.append(number)
        self.shards[number] = shard = Counter(number)
        return shard


@asynccontextmanager
async def running(kafka: KafkaSettings, role: Role | SinkRole | None = None, **options: Any) -> AsyncIterator[Running]:
    """Run ``role``, or the counting role, until the block ends; failures are collected, not fatal."""
    run_ = Running(Health())
    role = role or Role("counter", (COUNTS,), (INPUT,), run_.make, **options)
    run_.task = asyncio.create_task(run(role, kafka=kafka, health=run_.health, on_failure=run_.failures.append))
    try:
        yield run_
    finally:
        run_.task.cancel()
        with suppress(asyncio.CancelledError, *(type(failure) for failure in run_.failures)):
            await run_.task


# -- the log


def settings(bootstrap: str, prefix: str, **more: Any) -> KafkaSettings:
    return KafkaSettings(
        bootstrap=bootstrap, topic_prefix=prefix, session_timeout=more.pop("session_timeout", 6.0), **more
    )


async def create(kafka: KafkaSettings, partitions: int, *topics: Topic, **config: str) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        wanted = [
            NewTopic(kafka.topic_prefix + topic.name, partitions, 1, topic_configs=topic.config() | config)
            if topic.cleanup == "compact"
            else NewTopic(kafka.topic_prefix + topic.name, partitions, 1, topic_configs=config)
            for topic in topics
        ]
        answer = await admin.create_topics(wanted)
        assert all(error[1] == 0 for error in answer.topic_errors), answer
        return True
    finally:
        await admin.close()


async def delete(kafka: KafkaSettings, topic: Topic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([kafka.topic_prefix + topic.name])
    finally:
        await admin.close()


async def produce(kafka: KafkaSettings, topic: Topic, records: Iterable[Written]) -> None:
    """Write (partition, key, value) records and wait until they are there."""
    producer = aiokafka.AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, linger_ms=5, max_batch_size=256 * 1024)
    await producer.start()
    try:
        for partition, key, value in records:
            await producer.send(kafka.topic_prefix + topic.name, value, key=key, partition=partition)
        await producer.flush()
    finally:
        await producer.stop()


@asynccontextmanager
async def feeding(kafka: KafkaSettings, partitions: int, pause: float = 0.05) -> AsyncIterator[list[Written]]:
    """Write to INPUT, some hundred records at a time, while the block lasts; gives the list of what was written.

    So faults meet the load under way, however long they take.
    """
    written: list[Written] = []
    over = asyncio.Event()

    async def write() -> None:
        async with aiokafka.AIOKafkaProducer(
            bootstrap_servers=kafka.bootstrap, linger_ms=5, enable_idempotence=True
        ) as producer:
            while not over.is_set():
                for number in range(len(written), len(written) + 400):
                    partition = number % partitions
                    key = b"%d-%d" % (partition, number // partitions % 1000)
                    await producer.send(kafka.topic_prefix + INPUT.name, b"x" * 50, key=key, partition=partition)
                    written.append((partition, key, b""))
                await producer.flush()
                await asyncio.sleep(pause)

    task = asyncio.create_task(write())
    try:
        yield written
    finally:
        over.set()
        await task


async def read_all(kafka: KafkaSettings, topic: Topic, isolation: str = "read_committed") -> list[Any]:
    """Every record of a topic, in order per partition."""
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap,
        isolation_level=isolation,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        name = kafka.topic_prefix + topic.name
        await consumer._client._wait_on_metadata(name)
        tps = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        consumer.assign(tps)
        await consumer.seek_to_beginning(*tps)
        ends = await consumer.end_offsets(tps)
        found: list[Any] = []
        while [tp for tp in tps if await consumer.position(tp) < ends[tp]]:
            for records in (await consumer.getmany(timeout_ms=200)).values():
                found += records
        return found
    finally:
        await consumer.stop()


async def ends(kafka: KafkaSettings, topic: Topic) -> dict[int, int]:
    """Where each partition ends for a reader of committed records."""
    consumer = aiokafka.AIOKafkaConsumer(bootstrap_servers=kafka.bootstrap, isolation_level="read_committed")
    await consumer.start()
    try:
        name = kafka.topic_prefix + topic.name
        await consumer._client._wait_on_metadata(name)
        tps = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        return {tp.partition: end for tp, end in (await consumer.end_offsets(tps)).items()}
    finally:
        await consumer.stop()


async def counts(kafka: KafkaSettings) -> dict[bytes, tuple[int, int]]:
    """What the log says: the last count of every key."""
    return {record.key: state(record.value) for record in await read_all(kafka, COUNTS) if record.key != PULSE}


async def counts_are(kafka: KafkaSettings, expected: dict[bytes, tuple[int, int]]) -> bool:
    return await counts(kafka) == expected


async def commit(kafka: KafkaSettings, group: str, topic: Topic, offsets: dict[int, int]) -> None:
    """Commit in the name of a group that has no members."""
    name = kafka.topic_prefix + topic.name
    consumer = aiokafka.AIOKafkaConsumer(
        bootstrap_servers=kafka.bootstrap, group_id=kafka.topic_prefix + group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        consumer.assign([TopicPartition(name, number) for number in offsets])
        await consumer.commit({TopicPartition(name, number): offset for number, offset in offsets.items()})
    finally:
        await consumer.stop()


async def committed_is(kafka: KafkaSettings, group: str, topic: Topic, expected: dict[int, int]) -> bool:
    found = await committed(kafka, group, topic)
    assert found == expected
    return True


async def is_a_group(kafka: KafkaSettings, group: str) -> bool:
    """Whether anybody ever joined it."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        return kafka.topic_prefix + group in {name for name, *_ in await admin.list_consumer_groups()}
    finally:
        await admin.close()


def load(partitions: int, records: int, keys: int = 100) -> list[Written]:
    """``records`` records, spread evenly: partition, key and value."""
    return [(i % partitions, b"%d-%d" % (i % partitions, i // partitions % keys), b"x" * 50) for i in range(records)]


def tally(records: Iterable[Written]) -> dict[bytes, tuple[int, int]]:
    """What counting ``records``, written to empty partitions, must give: count and last offset by key."""
    offsets: dict[int, int] = {}
    result: dict[bytes, tuple[int, int]] = {}
    for partition, key, _ in records:
        offset = offsets.get(partition, 0)
        offsets[partition] = offset + 1
        result[key] = (result.get(key, (0, -1))[0] + 1, offset)
    return result
