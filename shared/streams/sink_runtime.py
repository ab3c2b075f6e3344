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
        # A batch, or a question where the sink is: what is begun in one would be gone or there twice after the other.
        self._one_at_a_time = asyncio.Lock()

    def problem(self) -> str | None:
        # A sink whose database is away waits for it; another process would only wait as well.
        return None if self._storing else super().problem()

    def applied(self) -> Mapping[TP, int]:
        return self._applied

    async def _take(self, assigned: frozenset[TP], kept: bool) -> dict[TP, int]:
        if isinstance(self._sink, PositionedSink) and assigned:
            await self._go_on_from_what_is_stored(self._sink, assigned)
        else:
            held = {tp: offset for tp, offset in self._applied.items() if kept and tp in assigned}
            new = assigned - held.keys()
            self._applied = held | (await self.starts_of_inputs(new) if new else {})
            for tp, offset in held.items():
                self.log.acknowledge(tp, offset, self.log.epoch)
        return dict(self._applied)

    async def _go_on_from_what_is_stored(self, sink: PositionedSink, assigned: frozenset[TP]) -> None:
        """All of them: asked for its positions, a sink drops what it has begun."""
        starts, ends = await self.starts_of_inputs(assigned), await self.log.highwaters(*assigned)
        try:
            async with asyncio.timeout(POSITIONS_WITHIN), self._one_at_a_time:
                with self._held_by_its_database():
                    stored = await sink.positions()
                for (topic, partition), offset in stored.items():
                    tp = TP(self.prefix + topic.name, partition)
                    if tp in assigned:
                        self.refuse_rewind(tp, offset, ends[tp])
                        starts[tp] = offset
                self._applied = starts
        except TimeoutError as error:
            raise NotReady(
                "the database does not say how far it is",
                where=self.name,
                why=f"it did not answer for {POSITIONS_WITHIN:g} s after partitions were assigned",
                do="This process ends; its next start waits for the database before it asks for partitions",
            ) from error

    async def deliver(self, fetched: Fetched) -> None:
        async with self._one_at_a_time:
            if fetched.tp in self._applied and fetched.epoch == self.log.epoch:
                await self._apply(fetched)

    async def _apply(self, fetched: Fetched) -> None:
        tp = fetched.tp
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
