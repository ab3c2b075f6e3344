"""Each hole of stock Faust that is closed, where it can be shown with stock's own class beside ours."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import aiokafka
import faust
import pytest
from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import FutureMessage, PendingMessage

from shared.settings import KafkaSettings
from shared.streams.safety import StrictProducer
from shared.streams.shards import Batch, Role, SinkRole
from shared.streams.transport import BatchConsumer
from tests.groups import committed
from tests.integration.streams import toy
from tests.integration.streams.toy import COUNTS, INPUT, Counter
from tests.waiting import eventually

STOCK_FAILS = pytest.mark.xfail(reason="a hole of stock Faust", raises=AssertionError, strict=True)


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 4, INPUT, COUNTS)
    return settings


@pytest.mark.parametrize("kind", [StrictProducer, pytest.param(driver.Producer, marks=STOCK_FAILS)])
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


async def test_the_producer_is_idempotent_and_a_failed_send_ends_the_process(system: KafkaSettings) -> None:
    tight = toy.Topic("tight", "", "", "delete")
    await toy.create(system, 1, tight, **{"max.message.bytes": "1000"})
    app: Any = faust.App("send", broker=f"aiokafka://{system.bootstrap}")
    app.kafka = system
    failures: list[BaseException] = []
    app.fail = failures.append
    producer = StrictProducer(app.transport)
    await producer.start()
    try:
        await producer.send(system.topic_prefix + tight.name, b"k", b"x" * 10_000, 0, None, None)
        await eventually(lambda: failures)
        assert producer._producer._txn_manager is not None
    finally:
        await producer.stop()


@pytest.mark.parametrize("kind", [BatchConsumer, pytest.param(driver.Consumer, marks=STOCK_FAILS)])
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


@pytest.mark.parametrize("stock", [False, pytest.param(True, marks=STOCK_FAILS)])
def test_partitions_of_one_number_are_assigned_together(stock: bool) -> None:
    """Three partitions of two topics, two members."""
    app: Any = faust.App("assign")
    assignor = RoundRobinPartitionAssignor if stock else app.assignor
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


async def test_idle_partitions_do_not_starve_a_busy_one(system: KafkaSettings) -> None:
    """A partition that is not emptied at once is left out of the next fetch, which waits for the idle ones.

    Stock lets it wait for 1.5 s, so a slow shard gets its records in few late batches; a short wait gives many.
    """

    class Slow(Counter):
        def apply(self, batch: Batch) -> None:
            super().apply(batch)
            time.sleep(0.15)  # stands for work that leaves the loop no time

    shards: dict[int, Slow] = {}
    role = Role("counter", (), (INPUT,), lambda number: shards.setdefault(number, Slow(number)))

    async def feed() -> None:
        async with aiokafka.AIOKafkaProducer(bootstrap_servers=system.bootstrap) as producer:
            for _ in range(200):
                await producer.send_and_wait(system.topic_prefix + INPUT.name, b"v", key=b"k", partition=0)
                await asyncio.sleep(0.02)

    async with toy.running(system, role) as worker:
        await eventually(lambda: worker.health.ready)
        await asyncio.to_thread(lambda: asyncio.run(feed()))
        await eventually(lambda: shards[0].counts.get(b"k") == (200, 199))
    assert len(shards[0].batches) > 14


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
