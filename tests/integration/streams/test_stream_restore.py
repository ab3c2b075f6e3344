"""The restore barrier: state is whole before anything is published, whatever the log ends in."""

import asyncio

import aiokafka
import pytest

from shared.errors import LogRewound
from shared.settings import KafkaSettings
from shared.streams import shard_runtime
from shared.streams.restore import Barrier
from shared.streams.shards import Batch, SinkRole
from shared.topics import Topic
from tests.integration.streams import toy
from tests.integration.streams.naive import NoBarrier
from tests.integration.streams.toy import COUNTS, INPUT
from tests.stock import naive
from tests.waiting import eventually

PARTITIONS = 2


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, PARTITIONS, INPUT)
    return settings


async def test_empty_partitions_are_restored_at_once(system: KafkaSettings) -> None:
    await toy.create(system, PARTITIONS, COUNTS)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        assert [worker.shards[n].ends for n in range(PARTITIONS)] == [{COUNTS: 0}] * PARTITIONS


async def test_a_partition_that_ends_in_transaction_markers_is_restored(system: KafkaSettings) -> None:
    """Also when the last transaction was aborted, so that the last records that can be read lie far before the end."""
    await toy.create(system, PARTITIONS, COUNTS)
    await toy.produce(system, INPUT, toy.load(PARTITIONS, 200))
    async with toy.running(system) as worker:
        await eventually(lambda: toy.counts_are(system, toy.tally(toy.load(PARTITIONS, 200))))
    await abort(system, COUNTS)
    ends = await toy.ends(system, COUNTS)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        assert {n: worker.shards[n].ends for n in range(PARTITIONS)} == {
            n: {COUNTS: ends[n]} for n in range(PARTITIONS)
        }
        assert merged(worker) == toy.tally(toy.load(PARTITIONS, 200))


async def test_a_compacted_partition_is_restored(system: KafkaSettings) -> None:
    """Compaction leaves holes, and offsets at the end that no record has any more."""
    rolling = {"segment.ms": "100", "min.cleanable.dirty.ratio": "0.01", "max.compaction.lag.ms": "100"}
    await toy.create(system, PARTITIONS, COUNTS, **rolling)
    load = toy.load(PARTITIONS, 300, keys=10)
    async with toy.running(system):
        for written in (100, 200, 300):
            await toy.produce(system, INPUT, load[written - 100 : written])
            half = written // PARTITIONS
            await eventually(lambda: toy.committed_is(system, "counter", INPUT, {0: half, 1: half}))  # noqa: B023

    async def compacted() -> bool:
        await abort(system, COUNTS)  # something new, so that what came before may be cleaned
        return len(await toy.read_all(system, COUNTS)) == len(toy.tally(load))

    await eventually(compacted, within=90, every=1)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        assert merged(worker) == toy.tally(load)


@pytest.mark.parametrize(("begin", "expected"), [(0, list(range(10))), (7, [7, 8, 9]), (99, [])])
async def test_a_state_topic_is_read_from_where_the_role_says(
    system: KafkaSettings, begin: int, expected: list[int]
) -> None:
    await toy.create(system, PARTITIONS, COUNTS)
    load = [(number, b"%d" % count, b'[1, 0, ""]') for count in range(10) for number in range(PARTITIONS)]
    await toy.produce(system, COUNTS, load)
    async with toy.running(system, begin=lambda number: {COUNTS: begin} if number == 0 else {}) as worker:
        await eventually(lambda: worker.health.ready)
        for number, offsets in ((0, expected), (1, list(range(10)))):
            batches = worker.shards[number].batches
            assert [record.offset for batch in batches for record in batch.records] == offsets
            assert worker.shards[number].ends == {COUNTS: 10}
    assert worker.failures == []


@pytest.mark.parametrize(
    "barrier", [Barrier, naive(NoBarrier, because="what is published before the state is whole is wrong")]
)
async def test_nothing_is_published_and_no_input_applied_before_the_barrier(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch, barrier: type[Barrier]
) -> None:
    """Every shard sees all of its state, marked as restoring, before the first input; then the barrier; then inputs."""
    await toy.create(system, PARTITIONS, COUNTS)
    first, second = toy.load(PARTITIONS, 8_000, keys=2_000), toy.load(PARTITIONS, 2_000, keys=2_000)
    await toy.produce(system, INPUT, first)
    async with toy.running(system):
        await eventually(lambda: toy.counts_are(system, toy.tally(first)))
    await toy.produce(system, INPUT, second)
    monkeypatch.setattr(shard_runtime, "Barrier", barrier)
    async with toy.running(system) as worker:
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, dict.fromkeys(range(PARTITIONS), 5_000)))
        assert await toy.counts(system) == toy.tally(first + second)
        for shard in worker.shards.values():
            kinds = [(batch.topic, batch.restoring) for batch in shard.batches]
            inputs_begin = kinds.index((INPUT, False))
            assert set(kinds[:inputs_begin]) == {(COUNTS, True)}
            assert (COUNTS, True) not in kinds[inputs_begin:]


async def test_state_topics_go_on_being_applied_after_the_barrier(system: KafkaSettings) -> None:
    await toy.create(system, PARTITIONS, COUNTS)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        await toy.produce(system, COUNTS, [(1, b"from elsewhere", b"[1, 1, null]")])
        await eventually(lambda: [b for b in worker.shards[1].batches if b.topic == COUNTS and not b.restoring])


async def test_a_log_that_ends_before_what_was_committed_stops_its_reader(system: KafkaSettings) -> None:
    await toy.create(system, PARTITIONS, COUNTS)
    await toy.produce(system, INPUT, toy.load(PARTITIONS, 200))
    await toy.commit(system, "counter", INPUT, {0: 100, 1: 101})
    async with toy.running(system) as worker:
        await eventually(lambda: worker.failures)
        failure = worker.failures[0]
        assert isinstance(failure, LogRewound)
        assert "headroom rebuild all" in str(failure)


async def test_a_log_that_is_recreated_under_a_reader_stops_it(system: KafkaSettings) -> None:
    await toy.create(system, PARTITIONS, COUNTS)
    await toy.produce(system, INPUT, toy.load(PARTITIONS, 200))
    async with toy.running(system) as worker:
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, {0: 100, 1: 100}))
        await recreate(system, INPUT)
        await toy.produce(system, INPUT, toy.load(PARTITIONS, 2))
        await eventually(lambda: worker.failures)
        assert "headroom rebuild all" in str(worker.failures[0])


async def test_a_sink_starts_where_its_database_says(system: KafkaSettings) -> None:
    await toy.produce(system, INPUT, toy.load(PARTITIONS, 200))

    class Stored:
        def __init__(self) -> None:
            self.offsets: dict[int, list[int]] = {0: [], 1: []}

        async def apply(self, batch: Batch) -> None:
            self.offsets[batch.partition] += [record.offset for record in batch.records]

        async def positions(self) -> dict[tuple[Topic, int], int]:
            return {(INPUT, 1): 90}

    stored = Stored()
    async with toy.running(system, SinkRole("sink", (INPUT,), stored)):
        await eventually(lambda: toy.committed_is(system, "sink", INPUT, {0: 100, 1: 100}))
    assert stored.offsets == {0: list(range(100)), 1: list(range(90, 100))}


async def test_a_sink_waits_for_its_database_before_it_joins_its_group(system: KafkaSettings) -> None:
    """As a member it would hold up the group, and Faust gives up on an assignment after forty seconds."""
    await toy.produce(system, INPUT, toy.load(PARTITIONS, 2))
    asked, back, applied = asyncio.Event(), asyncio.Event(), list[int]()

    class Away:
        async def apply(self, batch: Batch) -> None:
            applied.extend(record.offset for record in batch.records)

        async def positions(self) -> dict[tuple[Topic, int], int]:
            asked.set()
            await back.wait()
            return {}

    async with toy.running(system, SinkRole("sink", (INPUT,), Away())):
        await asked.wait()
        assert not await toy.is_a_group(system, "sink")
        back.set()
        await eventually(lambda: applied == [0, 0])
        assert await toy.is_a_group(system, "sink")


def merged(worker: toy.Running) -> dict[bytes, tuple[int, int]]:
    return {key: count for shard in worker.shards.values() for key, count in shard.counts.items()}


async def abort(system: KafkaSettings, topic: Topic) -> None:
    """Leave an aborted transaction at the end of every partition."""
    producer = aiokafka.AIOKafkaProducer(
        bootstrap_servers=system.bootstrap, transactional_id=system.topic_prefix + "aborting"
    )
    await producer.start()
    try:
        await producer.begin_transaction()
        for number in range(PARTITIONS):
            await producer.send_and_wait(
                system.topic_prefix + topic.name, b"[9, 9, null]", key=b"never", partition=number
            )
        await producer.abort_transaction()
    finally:
        await producer.stop()


async def recreate(system: KafkaSettings, topic: Topic) -> None:
    await toy.delete(system, topic)
    await eventually(lambda: toy.create(system, PARTITIONS, topic), what="the topic to be created again")
