"""Reading state back from the log: a shard up to its barrier, or a whole topic for those who need all of one."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

import aiokafka
from aiokafka import TopicPartition

from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.streams import metrics
from shared.streams.safety import Fail, end_process
from shared.streams.shards import Record
from shared.streams.topology import awaited_counts
from shared.topics import Topic

LOOK_EVERY = 0.1
"""Seconds between two looks how far a reader is, while somebody waits for it."""

QUIET_LOOK_EVERY = 5.0

FETCH_WAIT_MS = 5000
"""What a broker keeps a fetch for while nothing comes; a record ends it at once."""

SHARED_FETCH_WAIT_MS = 500
"""The same for several partitions: one that is being read is asked for again only when the fetch of others ends."""


class Barrier:
    """How much of a shard's state topics must be applied before it may publish.

    A partition is through when the reading *position* reaches the end seen at the assignment, whether or not the last
    offsets hold records: the log may end in transaction markers or be empty.
    """

    def __init__(self, starts: Mapping[str, int], ends: Mapping[str, int]) -> None:
        """``starts`` and ``ends``: first offset and end offset per topic, at the assignment."""
        self.ends = dict(ends)
        self._starts = dict(starts)
        self._positions = dict(starts)

    def advance(self, topic: str, position: int) -> None:
        """Everything of ``topic`` below ``position`` is applied."""
        if topic in self._positions:
            self._positions[topic] = position

    @property
    def reached(self) -> bool:
        return all(self._positions[topic] >= end for topic, end in self.ends.items())

    @property
    def progress(self) -> float:
        """Part of the way that is done, from 0 to 1."""
        whole = sum(end - self._starts[topic] for topic, end in self.ends.items())
        if whole <= 0:
            return 1.0
        left = sum(max(0, end - self._positions[topic]) for topic, end in self.ends.items())
        return 1.0 - left / whole


class TableReader:
    """Gives every record of ``topic`` to ``on_record``, from the beginning, and then each new one as it comes.

    Nothing is committed. An error, also one that ``on_record`` raises, goes to ``on_failure``, which ends the process.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        topic: Topic,
        on_record: Callable[[Record], None],
        on_failure: Fail = end_process,
        *,
        gather: float = 0.0,
    ) -> None:
        """``gather``: seconds after records came in which more may come; meanwhile no broker is asked for them."""
        self._kafka = kafka
        self._topic = topic
        self._partitions = 0
        self._name = kafka.topic_prefix + topic.name
        self._on_record = on_record
        self._on_failure = on_failure
        self._gather = gather
        self._caught_up = asyncio.Event()
        self._awaited: list[tuple[Barrier, asyncio.Event]] = []
        self._consumer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connect and begin to read; a topic that does not exist is waited for."""
        self._partitions = (await awaited_counts(self._kafka, [self._topic]))[self._topic]
        self._consumer = aiokafka.AIOKafkaConsumer(
            **connection_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            fetch_max_wait_ms=FETCH_WAIT_MS if self._partitions == 1 else SHARED_FETCH_WAIT_MS,
        )
        await self._consumer.start()
        try:
            barrier = await self._assign()
        except BaseException:
            await self._consumer.stop()
            raise
        self._awaited.append((barrier, self._caught_up))
        self._task = asyncio.create_task(self._read(), name=f"read {self._name}")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.stop()

    async def caught_up(self) -> None:
        """Wait until everything that was in the topic at the start has been given to ``on_record``."""
        await self._caught_up.wait()

    async def read_to_end(self) -> None:
        """Wait until everything that is in the topic now has been given to ``on_record``.

        That includes what is committed and lies behind another writer's open transaction: it is waited for until that
        one is committed or aborted.
        """
        barrier = Barrier(dict.fromkeys(map(str, range(self._partitions)), 0), await self._written_ends())
        reached = asyncio.Event()
        self._awaited.append((barrier, reached))
        while not reached.is_set():
            await self._show_positions()  # the reader itself may have begun to wait for records before this was asked
            with suppress(TimeoutError):
                await asyncio.wait_for(reached.wait(), LOOK_EVERY)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            await self._consumer.stop()
            for number in range(self._partitions):
                metrics.TABLE_LAG.remove(self._topic.name, number)

    async def _assign(self) -> Barrier:
        tps = [TopicPartition(self._name, number) for number in range(self._partitions)]
        self._consumer.assign(tps)
        begins = await self._consumer.beginning_offsets(tps)
        ends = await self._consumer.end_offsets(tps)
        for tp in tps:
            self._consumer.seek(tp, begins[tp])
        return Barrier({str(tp.partition): begins[tp] for tp in tps}, {str(tp.partition): ends[tp] for tp in tps})

    async def _written_ends(self) -> dict[str, int]:
        """Where each partition ends, transactions under way included."""
        uncommitted = aiokafka.AIOKafkaConsumer(**connection_options(self._kafka), isolation_level="read_uncommitted")
        await uncommitted.start()
        try:
            tps = [TopicPartition(self._name, number) for number in range(self._partitions)]
            return {str(tp.partition): end for tp, end in (await uncommitted.end_offsets(tps)).items()}
        finally:
            await uncommitted.stop()

    async def _read(self) -> None:
        try:
            while True:
                await self._show_positions()
                look = LOOK_EVERY if self._awaited else QUIET_LOOK_EVERY
                fetched = await self._consumer.getmany(timeout_ms=round(look * 1000))
                for records in fetched.values():
                    for record in records:
                        self._on_record(record)
                await self._show_lag()
                if fetched and self._gather and not self._awaited:
                    await asyncio.sleep(self._gather)
        except Exception as error:  # noqa: BLE001 - it ends the process
            # Without this table the process would go on with stale or missing entries.
            self._on_failure(error)

    async def _show_lag(self) -> None:
        """By the end that the last fetch told, so no broker is asked; what lies in open transactions is not behind."""
        for tp in self._consumer.assignment():
            end = self._consumer.last_stable_offset(tp)
            if end is not None:  # else no fetch has been answered yet
                behind = max(0, end - await self._consumer.position(tp))
                metrics.TABLE_LAG.labels(self._topic.name, tp.partition).set(behind)

    async def _show_positions(self) -> None:
        """Let those go on who wait for what has been given to ``on_record`` by now."""
        if not self._awaited:
            return
        positions = {str(tp.partition): await self._consumer.position(tp) for tp in self._consumer.assignment()}
        for barrier, reached in list(self._awaited):
            for partition, position in positions.items():
                barrier.advance(partition, position)
            if barrier.reached and not reached.is_set():
                reached.set()
                self._awaited.remove((barrier, reached))
