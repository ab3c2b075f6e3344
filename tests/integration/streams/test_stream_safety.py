"""Holes of stock Faust in its producer, commits, assignments and fetches; and how a worker fails and stops."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.cluster import ClusterMetadata
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import FutureMessage, PendingMessage

from shared.settings import KafkaSettings
from shared.streams import fetching
from shared.streams.fetching import FETCH_WAIT_MS
from shared.streams.safety import StrictProducer
from shared.streams.shards import Batch, Role, SinkRole
from shared.streams.transport import BatchConsumer
from tests.groups import committed
from tests.integration.streams import toy
from tests.integration.streams.toy import COUNTS, INPUT, Counter
from tests.stock import naive, stock
from tests.waiting import eventually


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 4, INPUT, COUNTS)
    return settings


@pytest.mark.parametrize(
    "kind", [StrictProducer, stock(driver.Producer, because="flush gives up after 100 ms without progress")]
)
async def test_flush_waits_for_a_slow_send(system: KafkaSettings, kind: type[Any]) -> None:
    app: Any = faust.App("flush", broker=f"aiokafka://{system.bootstrap}")
    app.kafka = system
    producer = kind(app.transport)
    gate = asyncio.Event()

    async def publish(message: FutureMessage, wait: bool) -> None:
        await gate.wait()

    await producer.start()
    try:
        channel: Any = SimpleNamespace(publish_message=publish)
        for _ in range(3):
            producer.send_soon(FutureMessage(PendingMessage(channel, b"k", b"v", None, None, None, None, None, None)))
        flushing = asyncio.create_task(producer.flush())
        done, _ = await asyncio.wait({flushing}, timeout=1.5)
        assert not done, "flush returned with records unsent"
        gate.set()
        await flushing
        assert producer.buffer.size == 0
    finally:
        gate.set()
        await producer.stop()


@pytest.mark.parametrize("kind", [StrictProducer, stock(driver.Producer, because="a failed send is only logged")])
async def test_a_failed_send_ends_the_process(system: KafkaSettings, kind: type[Any]) -> None:
    tight = toy.Topic("tight", "", "", "delete")
    await toy.create(system, 1, tight, **{"max.message.bytes": "1000"})
    failures: list[BaseException] = []
    async with producing(system, kind, failures) as producer:
        await send_soon(producer, tight, b"x" * 10_000)
        assert failures, "the flush is through, the record is lost, and a commit would follow"


@pytest.mark.parametrize("kind", [StrictProducer, stock(driver.Producer, because="the producer is not idempotent")])
async def test_the_producer_is_idempotent(system: KafkaSettings, kind: type[Any]) -> None:
    async with producing(system, kind) as producer:
        assert producer._producer._txn_manager is not None, "a send that is tried again may be written twice"


@pytest.mark.parametrize(
    ("kind", "threaded"),
    [
        (StrictProducer, False),
        stock(driver.Producer, True, because="what the producer's thread holds is not flushed before the commit"),
    ],
)
async def test_what_is_flushed_is_in_the_log(system: KafkaSettings, kind: type[Any], threaded: bool) -> None:
    """We leave ``producer_threaded`` off: the one producer there is has everything."""
    told: list[FutureMessage] = []
    async with producing(system, kind, producer_threaded=threaded, producer_linger=1.0) as producer:
        await send_soon(producer, INPUT, b"v", told.append)
        assert told, "the flush is through while the record still waits for others to go with it"


@asynccontextmanager
async def producing(
    system: KafkaSettings, kind: type[Any], failures: list[BaseException] | None = None, **settings: Any
) -> AsyncIterator[Any]:
    """A producer of ``kind`` as the one of its app; what ends the process is collected."""
    app: Any = faust.App("send", broker=f"aiokafka://{system.bootstrap}", **settings)
    app.kafka = system
    app.fail = (failures if failures is not None else []).append
    app.producer = producer = kind(app.transport)
    app.consumer_generation_id = 0
    await producer.start()
    thread = producer.threaded_producer
    if thread is not None:
        # On this loop, for a thread that is stopped does not end: ``_shutdown_thread`` of stock is no coroutine.
        thread.thread_loop = asyncio.get_running_loop()
        await thread.on_start()
    try:
        yield producer
    finally:
        if thread is not None:
            await thread.on_thread_stop()
        await producer.stop()


async def send_soon(producer: Any, topic: toy.Topic, value: bytes, told: Any = None) -> None:
    """Send as an agent does, and flush as the commit does; ``told`` is called with what the broker has confirmed."""
    channel = producer.app.topic(producer.app.kafka.topic_prefix + topic.name, value_serializer="raw")
    producer.send_soon(FutureMessage(PendingMessage(channel, b"k", value, 0, None, None, None, None, told)))
    await producer.flush()


@pytest.mark.parametrize(
    "kind", [BatchConsumer, stock(driver.Consumer, because="the bookkeeping advances although the commit failed")]
)
async def test_a_failed_commit_does_not_count(kind: type[Any]) -> None:
    tp = TP("topic", 0)

    async def nothing(*_: object) -> bool:
        return False

    consumer: Any = SimpleNamespace(
        assignment=lambda: {tp},
        app=SimpleNamespace(
            producer=SimpleNamespace(flush=nothing), monitor=SimpleNamespace(on_tp_commit=lambda _: None)
        ),
        in_transaction=False,
        log=SimpleNamespace(dev=lambda *_: None, **dict.fromkeys(("info", "warning", "log"), lambda *_, **__: None)),
        _commit=nothing,
        _committed_offset={tp: 3},
    )
    assert await kind._commit_offsets(consumer, {tp: 7}) is False
    assert consumer._committed_offset == {tp: 3}


@pytest.mark.parametrize(
    "kind", [BatchConsumer, stock(driver.Consumer, because="without tables and standbys it assigns by round robin")]
)
async def test_partitions_of_one_number_are_assigned_together(kind: type[Any]) -> None:
    """Three partitions of two topics, two members, and the assignor that the driver gives the group."""
    app: Any = faust.App("assign", broker="aiokafka://nowhere", table_standby_replicas=0)
    app.kafka = KafkaSettings()
    consumer = kind(app.transport, *[lambda *_: None] * 3)
    consumer._thread._create_worker_consumer(app.transport)
    assignor = consumer._thread._assignor
    cluster: Any = SimpleNamespace(spec=ClusterMetadata, partitions_for_topic=lambda _: {0, 1, 2})
    members = {name: assignor.metadata({"a", "b"}) for name in ("first", "second")}
    for assignment in assignor.assign(cluster, members).values():
        numbers = dict(assignment.assignment)
        assert sorted(numbers["a"]) == sorted(numbers["b"])


async def test_an_exception_in_a_shard_ends_the_worker_before_anything_is_committed(system: KafkaSettings) -> None:
    class Poisoned(Counter):
        def apply(self, batch: Batch) -> None:
            if any(record.value == b"poison" for record in batch.records):
                raise ValueError("poison")
            super().apply(batch)

    await toy.produce(system, INPUT, [(0, b"k", b"poison"), (0, b"k", b"fine")])
    async with toy.running(system, Role("counter", (COUNTS,), (INPUT,), Poisoned)) as worker:
        await eventually(lambda: worker.failures)
        assert isinstance(worker.failures[0], ValueError)
    assert not any((await committed(system, "counter", INPUT)).values())
    async with toy.running(system):
        await eventually(lambda: toy.counts_are(system, {b"k": (2, 1)}))


async def test_an_exception_in_a_sink_ends_the_worker_before_anything_is_committed(system: KafkaSettings) -> None:
    class Failing:
        async def apply(self, batch: Batch) -> None:
            raise OSError("disk")

    await toy.produce(system, INPUT, toy.load(4, 40))
    async with toy.running(system, SinkRole("sink", (INPUT,), Failing())) as worker:
        await eventually(lambda: worker.failures)
        assert isinstance(worker.failures[0], OSError)
    assert not any((await committed(system, "sink", INPUT)).values())


@pytest.mark.parametrize(
    "wait", [FETCH_WAIT_MS, naive(15_000, because="a fetch of idle partitions lasts until something comes of them")]
)
async def test_idle_partitions_do_not_starve_a_busy_one(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch, wait: int
) -> None:
    """A partition that is not emptied at once is left out of the next fetch, which waits for the idle ones.

    Stock lets it wait for 1.5 s; the naive run for ten times that, so that a busy machine does not look like it.
    """

    class Slow(Counter):
        def apply(self, batch: Batch) -> None:
            super().apply(batch)
            time.sleep(0.15)  # stands for work that leaves the loop no time

    shards: dict[int, Slow] = {}
    role = Role("counter", (), (INPUT,), lambda number: shards.setdefault(number, Slow(number)))

    async def feed() -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=system.bootstrap) as producer:
            for _ in range(20):
                await producer.send_and_wait(system.topic_prefix + INPUT.name, b"v", key=b"k", partition=0)
                await asyncio.sleep(0.02)

    async with toy.running(system, role) as worker:
        await eventually(lambda: worker.health.ready)
        monkeypatch.setattr(fetching, "FETCH_WAIT_MS", wait)
        await asyncio.to_thread(lambda: asyncio.run(feed()))
        await eventually(lambda: shards[0].counts.get(b"k") == (20, 19), within=4)


async def test_topics_of_different_sizes_are_refused(system: KafkaSettings) -> None:
    """They cannot form shards, and the error says so."""
    narrow = toy.Topic("narrow", "", "", "delete")
    await toy.create(system, 2, narrow)
    async with toy.running(system, Role("odd", (COUNTS,), (narrow,), Counter)) as worker:
        await eventually(lambda: worker.failures)
        assert "same number of partitions" in str(worker.failures[0])


async def test_two_workers_in_one_group_share_the_shards(system: KafkaSettings) -> None:
    await toy.produce(system, INPUT, toy.load(4, 4_000))
    async with toy.running(system) as first:
        await eventually(lambda: first.health.ready and len(first.health.restore) == 4)
        async with toy.running(system) as second:
            await eventually(lambda: len(first.health.restore) == len(second.health.restore) == 2)
            await eventually(lambda: first.health.ready and second.health.ready)
            assert first.health.restore.keys() | second.health.restore.keys() == {0, 1, 2, 3}
            assert sorted(first.made) == [0, 1, 2, 3], "a held shard was made anew"
        await eventually(lambda: len(first.health.restore) == 4 and first.health.ready)
    assert await toy.counts(system) == toy.tally(toy.load(4, 4_000))


async def test_a_worker_without_partitions_is_a_ready_standby(system: KafkaSettings) -> None:
    single_in, single_out = toy.Topic("one-in", "", "", "delete"), toy.Topic("one-out", "", "", "compact")
    await toy.create(system, 1, single_in, single_out)
    role = Role("single", (single_out,), (single_in,), Counter)
    async with toy.running(system, role) as owner:
        await eventually(lambda: owner.health.ready)
        async with toy.running(system, role) as standby:
            await eventually(lambda: standby.health.ready and owner.health.ready)
            assert len(owner.health.restore) + len(standby.health.restore) == 1


async def test_cancelled_while_starting_it_stops(system: KafkaSettings) -> None:
    async with toy.running(system) as worker:
        await asyncio.sleep(0)
    assert worker.task is not None
    assert worker.task.cancelled()
    assert not worker.failures
