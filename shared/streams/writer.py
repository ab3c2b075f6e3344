"""Writes flushes: each one transaction, under an identity that only the newest owner of a shard can use.

Starting a writer fences every earlier writer of the same transactional id: its open transaction is aborted, its next
request is refused. So a paused worker that wakes up after its partition moved cannot write over its successor.
"""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Any

import aiokafka

from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.streams.shards import Outgoing

BATCH_BYTES = 512 * 1024
# A transaction is one flush and takes milliseconds; what a dead owner left open blocks its readers no longer than this.
TRANSACTION_TIMEOUT_MS = 20_000


class FencedWriter:
    """One transactional producer. ``write`` is not to be called again before it has returned."""

    def __init__(self, kafka: KafkaSettings, transactional_id: str) -> None:
        """``transactional_id`` without the system's prefix."""
        self._kafka = kafka
        self._id = kafka.topic_prefix + transactional_id
        self._producer: Any = None
        self.busy_seconds = 0.0
        """Time spent packing records, in which the process could do nothing else."""

    async def start(self) -> None:
        """Connect and fence; on return no earlier owner can write and what it left open is aborted."""
        producer = aiokafka.AIOKafkaProducer(
            **connection_options(self._kafka),
            transactional_id=self._id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            acks="all",
            max_batch_size=BATCH_BYTES,
            max_request_size=2 * BATCH_BYTES,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    async def write(self, records: Sequence[Outgoing]) -> None:
        """Commit all of ``records`` or none of them; raises ``ProducerFenced`` when there is a newer owner."""
        producer = self._producer
        await producer.begin_transaction()
        sent = []
        for (topic, partition), group in _by_partition(records).items():
            position = 0
            while position < len(group):
                batch, position = self._pack(producer.create_batch(), group, position)
                sent.append(await producer.send_batch(batch, self._kafka.topic_prefix + topic, partition=partition))
        await asyncio.gather(*sent)
        await producer.commit_transaction()

    def _pack(self, batch: Any, group: Sequence[Outgoing], position: int) -> tuple[Any, int]:
        """Fill ``batch`` from ``position`` on; the batch and the first record that did not fit."""
        started = perf_counter()
        append = batch.append
        end = len(group)
        while position < end:
            record = group[position]
            if append(key=record.key, value=record.value, timestamp=None, headers=list(record.headers)) is None:
                break
            position += 1
        batch.close()
        self.busy_seconds += perf_counter() - started
        return batch, position

    async def stop(self) -> None:
        """Disconnect; an open transaction is left to be aborted by the next owner or by its timeout."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            await producer.stop()


def _by_partition(records: Sequence[Outgoing]) -> dict[tuple[str, int], list[Outgoing]]:
    groups: dict[tuple[str, int], list[Outgoing]] = {}
    for record in records:
        groups.setdefault((record.topic.name, record.partition), []).append(record)
    return groups
