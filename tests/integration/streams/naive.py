"""The parts of the transport as one would make them first; each test that runs on one says what comes of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import aiokafka
from faust.types import TP

from shared.kafka import connection_options
from shared.streams.restore import Barrier
from shared.streams.shard_runtime import ShardRuntime, Slot
from shared.streams.shards import Outgoing
from shared.streams.transport import BatchConsumer
from shared.streams.writer import FencedWriter


class UnfencedWriter(FencedWriter):
    """Writes with a plain producer: whole, in order, and nobody knows whose it is."""

    async def start(self) -> None:
        self._producer = aiokafka.AIOKafkaProducer(**connection_options(self._kafka), enable_idempotence=True)
        await self._producer.start()

    async def write(self, records: Sequence[Outgoing]) -> None:
        for record in records:
            topic = self._kafka.topic_prefix + record.topic.name
            await self._producer.send(topic, record.value, key=record.key, partition=record.partition)
        await self._producer.flush()


class CommittingWhatWasRead(BatchConsumer):
    """Commits the newest offset it has delivered."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter(list(self._seen))

    def _new_offset(self, tp: TP) -> int | None:
        return self._seen.get(tp)


class NoBarrier(Barrier):
    """Lets a shard go live before its state is read."""

    @property
    def reached(self) -> bool:
        return True


class FlushingByCount(ShardRuntime):
    """Flushes a shard with each thousandth of its records."""

    async def _pause(self, slot: Slot, started: float) -> None:
        enough = slot.read + 1_000
        while slot.read < enough:
            slot.changed.clear()
            await slot.changed.wait()


class FlushingWhatWasRevoked(ShardRuntime):
    """Forgets a shard that is no longer its own, and leaves what writes its changes running."""

    async def _drop(self, number: int) -> None:
        self._slots.pop(number)
