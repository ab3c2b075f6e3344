"""Runs a sink: one batch after another into its database, each acknowledged when it is durable."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from faust.types import TP

from shared import tracing
from shared.errors import NotReady
from shared.settings import KafkaSettings
from shared.streams.health import Health
from shared.streams.runtime import Runtime, unseen
from shared.streams.safety import Fail
from shared.streams.shards import Batch, PositionedSink, SinkRole
from shared.streams.transport import Fetched
from shared.topics import Topic

POSITIONS_WITHIN = 30.0
"""Seconds in which a sink must say where it is when partitions are assigned.

Faust gives that 40, then cancels it and never asks again; so this ends the process before. Its next start waits for the
database before it joins the group.
"""


class SinkRuntime(Runtime):
    """The runtime of a ``SinkRole``."""

    def __init__(self, role: SinkRole, kafka: KafkaSettings, health: Health, fail: Fail) -> None:
        super().__init__(role.name, role.topics, kafka.topic_prefix, health, fail)
        self._sink = role.sink
        self._applied: dict[TP, int] = {}
        self._storing = False

    def problem(self) -> str | None:
        # A sink whose database is away waits for it; another process would only wait as well.
        return None if self._storing else super().problem()

    def applied(self) -> Mapping[TP, int]:
        return self._applied

    async def _take(self, assigned: frozenset[TP], kept: bool) -> dict[TP, int]:
        # Asked for its positions, a sink drops what it has begun, so all it holds goes on from what is stored.
        kept = kept and not isinstance(self._sink, PositionedSink)
        held = {tp: offset for tp, offset in self._applied.items() if kept and tp in assigned}
        new = assigned - held.keys()
        self._applied = held | await self._starts(new)
        for tp, offset in held.items():
            self.log.acknowledge(tp, offset, self.log.epoch)
        return dict(self._applied)

    async def _starts(self, tps: frozenset[TP]) -> dict[TP, int]:
        if not tps:
            return {}
        starts = await self.starts_of_inputs(tps)
        if isinstance(self._sink, PositionedSink):
            ends = await self.log.highwaters(*tps)
            stored = await self._positions(self._sink)
            for (topic, partition), offset in stored.items():
                tp = TP(self.prefix + topic.name, partition)
                if tp in tps:
                    self.refuse_rewind(tp, offset, ends[tp])
                    starts[tp] = offset
        return starts

    async def _positions(self, sink: PositionedSink) -> Mapping[tuple[Topic, int], int]:
        with self._held_by_its_database():
            try:
                return await asyncio.wait_for(sink.positions(), POSITIONS_WITHIN)
            except TimeoutError as error:
                raise NotReady(
                    "the database does not say how far it is",
                    where=self.name,
                    why=f"it did not answer for {POSITIONS_WITHIN:g} s after partitions were assigned",
                    do="This process ends; its next start waits for the database before it asks for partitions",
                ) from error

    async def deliver(self, fetched: Fetched) -> None:
        tp = fetched.tp
        if tp not in self._applied or fetched.epoch != self.log.epoch:
            return
        topic = self.topics[tp.topic]
        records = unseen(fetched.records, self._applied[tp])
        if records:
            with self._held_by_its_database(), tracing.batch_span(f"{self.name} {topic.name}", records):
                await self._sink.apply(Batch(topic, tp.partition, records, fetched.next_offset))
            self.count(tp, records)
        if tp in self._applied:  # a rebalance may have taken it away meanwhile
            self._applied[tp] = max(fetched.next_offset, self._applied[tp])
        self.health.progressed()
        self.log.acknowledge(tp, fetched.next_offset, fetched.epoch)

    @contextmanager
    def _held_by_its_database(self) -> Iterator[None]:
        self._storing = True
        try:
            yield
        finally:
            self._storing = False

    async def _finish(self) -> None:
        """Nothing to wait for: a batch that is being stored comes again to the next owner, and a sink stands that."""
