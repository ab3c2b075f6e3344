"""Offsets: committed completely, only after the flush that contains their effects, with small bookkeeping."""

import asyncio
from collections.abc import Sequence

import pytest
from faust.types import TP

from shared.settings import KafkaSettings
from shared.streams.shards import Batch, Outgoing, SinkRole
from shared.streams.transport import BatchConsumer, BatchTransport
from shared.streams.writer import FencedWriter
from tests.groups import committed
from tests.integration.streams import toy
from tests.integration.streams.naive import CommittingWhatWasRead
from tests.integration.streams.toy import COUNTS, INPUT
from tests.stock import naive
from tests.waiting import eventually


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 4, INPUT, COUNTS)
    return settings


async def test_every_offset_is_committed(system: KafkaSettings) -> None:
    load = toy.load(4, 40_000)
    await toy.produce(system, INPUT, load)
    async with toy.running(system):
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, dict.fromkeys(range(4), 10_000)))
    assert await toy.counts(system) == toy.tally(load)


async def test_a_record_alone_at_offset_zero_is_committed(system: KafkaSettings) -> None:
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        await toy.produce(system, INPUT, [(0, b"k", b"v")])
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, {0: 1, 1: 0, 2: 0, 3: 0}))


async def test_commits_reach_past_transaction_markers(system: KafkaSettings) -> None:
    """A sink of a topic written in transactions has no lag left, although each last offset is a marker."""
    seen: dict[int, int] = {}

    class Highest:
        async def apply(self, batch: Batch) -> None:
            seen[batch.partition] = batch.records[-1].offset

    await toy.produce(system, INPUT, toy.load(4, 400))
    async with toy.running(system):
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, dict.fromkeys(range(4), 100)))
    ends = await toy.ends(system, COUNTS)
    async with toy.running(system, SinkRole("sink", (COUNTS,), Highest())):
        await eventually(lambda: toy.committed_is(system, "sink", COUNTS, ends))
    assert all(seen[number] < ends[number] - 1 for number in range(4))


@pytest.mark.parametrize(
    "kind", [BatchConsumer, naive(CommittingWhatWasRead, because="what is read counts as done before it is flushed")]
)
async def test_an_input_is_not_committed_before_its_flush(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: type[BatchConsumer]
) -> None:
    """While one shard's transaction hangs, the others' offsets are committed and its own are not."""
    gate = asyncio.Event()
    write = FencedWriter.write

    async def held(self: FencedWriter, records: Sequence[Outgoing]) -> None:
        if records[0].partition == 0:
            await gate.wait()
        await write(self, records)

    async def others_are_committed() -> bool:
        offsets = await committed(system, "counter", INPUT)
        return all(offsets.get(number) == 1_000 for number in (1, 2, 3))

    monkeypatch.setattr(BatchTransport, "Consumer", kind)
    monkeypatch.setattr(FencedWriter, "write", held)
    await toy.produce(system, INPUT, toy.load(4, 4_000))
    async with toy.running(system) as worker:
        await eventually(lambda: len(worker.shards) == 4 and worker.shards[0].counted == 1_000)
        await eventually(others_are_committed)
        own = (await committed(system, "counter", INPUT)).get(0, 0)
        gate.set()
        assert own == 0, "a crash now would lose what is not flushed"
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, dict.fromkeys(range(4), 1_000)))


async def test_what_is_applied_is_flushed_and_committed_at_a_stop(system: KafkaSettings) -> None:
    """A worker that is asked to end leaves nothing to be done again, however rarely it flushes."""
    async with toy.running(system, flush_every=3600.0) as worker:
        await eventually(lambda: worker.health.ready and worker.shards)
        load = toy.load(4, 4_000)
        await toy.produce(system, INPUT, load)
        await eventually(lambda: sum(shard.counted for shard in worker.shards.values()) == 4_000)
    assert not worker.failures
    assert await toy.counts(system) == toy.tally(load)
    assert await committed(system, "counter", INPUT) == dict.fromkeys(range(4), 1_000)


async def test_bookkeeping_does_not_grow(system: KafkaSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many records pass, the consumer remembers one number per partition."""
    consumers: list[BatchConsumer] = []
    monkeypatch.setattr(BatchConsumer, "on_init", lambda self: consumers.append(self))  # noqa: PLW0108 - a method
    await toy.produce(system, INPUT, toy.load(4, 40_000))
    async with toy.running(system):
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, dict.fromkeys(range(4), 10_000)))
        (consumer,) = consumers
        inputs = {TP(system.topic_prefix + INPUT.name, number) for number in range(4)}
        assert consumer._done.keys() == inputs
        assert not any((*consumer._acked.values(), *consumer._acked_index.values(), *consumer._gap.values()))
        assert len(consumer.unacked) <= 1  # the stream holds on to its current event
