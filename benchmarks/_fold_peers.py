"""The fold as others would run it, each in a process of its own: ``python -m benchmarks._fold_peers NAME LIMIT``.

``bare`` reads and decodes and folds nothing: the ceiling in Python. ``stock_faust`` is an agent on Faust's own
transport, event by event, around the product's own fold: no table of Faust, but our shard and our fenced writer,
flushed as often and for as much of the time as the product does. Each prints one JSON object: events, seconds, and
seconds of CPU.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Any

import aiokafka
import faust
from aiokafka import TopicPartition

from services.capacity.agents.fold import FoldShard
from services.capacity.app import create_fold_role
from services.capacity.domain.contribution import decode
from services.capacity.settings import CapacityPart
from shared.kafka import connection_options
from shared.settings import KafkaSettings, Settings
from shared.streams.shards import Batch
from shared.streams.writer import FencedWriter
from shared.topics import DEALS

OURS = create_fold_role(CapacityPart().fold_every)
"""Says how often and for how much of the time a fold is flushed."""


async def bare(kafka: KafkaSettings, limit: int) -> dict[str, Any]:
    """``getmany``, decode, remember."""
    consumer = aiokafka.AIOKafkaConsumer(
        **connection_options(kafka), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    tps = [TopicPartition(kafka.topic_prefix + DEALS.name, number) for number in range(kafka.partitions)]
    consumer.assign(tps)
    for tp in tps:
        consumer.seek(tp, 0)
    known: dict[bytes, Any] = {}
    events, started, worked = 0, perf_counter(), process_time()
    while events < limit:
        for records in (await consumer.getmany(timeout_ms=1000, max_records=4000)).values():
            for record in records:
                known[record.key] = decode(record.value)
            events += len(records)
    seconds, cpu = perf_counter() - started, process_time() - worked
    await consumer.stop()
    return {"events": events, "seconds": seconds, "cpu": cpu}


class _Clocked:
    """Counts and times the events of the stock agent, and flushes its shards beside it."""

    def __init__(self, kafka: KafkaSettings, limit: int) -> None:
        self.limit, self.kafka = limit, kafka
        self.events, self.started, self.worked = 0, 0.0, 0.0
        self.shards: dict[int, FoldShard] = {}
        self.writers: dict[int, FencedWriter] = {}
        self.done = asyncio.Event()

    async def shard(self, partition: int) -> FoldShard:
        shard = self.shards.get(partition)
        if shard is None:
            shard = self.shards[partition] = FoldShard(partition)
            shard.restored({DEALS: 0})
            writer = self.writers[partition] = FencedWriter(self.kafka, f"stock-{partition}")
            await writer.start()
        return shard

    async def flush_always(self) -> None:
        while True:
            started = perf_counter()
            for partition, shard in list(self.shards.items()):
                records = shard.flush(datetime.now(UTC))
                if records and partition in self.writers:
                    await self.writers[partition].write(records)
            spent = perf_counter() - started
            await asyncio.sleep(max(OURS.flush_every, spent * (1 / OURS.flush_share - 1)))


async def stock_faust(kafka: KafkaSettings, limit: int) -> dict[str, Any]:
    """One agent over the events, one event at a time."""
    with tempfile.TemporaryDirectory() as folder:
        return await _stock_faust(kafka, limit, folder)


async def _stock_faust(kafka: KafkaSettings, limit: int, folder: str) -> dict[str, Any]:
    app = faust.App(
        kafka.topic_prefix + "stock",
        broker=f"kafka://{kafka.bootstrap}",
        datadir=folder,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
        consumer_auto_offset_reset="earliest",
        broker_max_poll_records=4000,
    )
    topic = app.topic(kafka.topic_prefix + DEALS.name, key_serializer="raw", value_serializer="raw")
    clocked = _Clocked(kafka, limit)

    async def fold(stream: Any) -> None:
        async for event in stream.events():
            if clocked.events == 0:
                clocked.started, clocked.worked = perf_counter(), process_time()
            message = event.message
            shard = clocked.shards.get(message.partition) or await clocked.shard(message.partition)
            shard.apply(Batch(DEALS, message.partition, (message,), message.offset + 1))
            clocked.events += 1
            if clocked.events >= clocked.limit:
                clocked.done.set()

    app.agent(topic, concurrency=1)(fold)
    worker = asyncio.create_task(app.start())
    flusher = asyncio.create_task(clocked.flush_always())
    await clocked.done.wait()
    seconds, cpu = perf_counter() - clocked.started, process_time() - clocked.worked
    flusher.cancel()
    for writer in clocked.writers.values():
        await writer.stop()
    await app.stop()
    worker.cancel()
    return {"events": clocked.events, "seconds": seconds, "cpu": cpu}


PEERS: dict[str, Callable[[KafkaSettings, int], Awaitable[dict[str, Any]]]] = {
    "bare": bare,
    "stock_faust": stock_faust,
}


async def _main(name: str, limit: int) -> None:
    print(json.dumps(await PEERS[name](Settings().kafka, limit)), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2])))
