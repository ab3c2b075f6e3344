"""Runs a role's shards: opens and restores them, feeds them, flushes them.

A flush runs beside the feeding of its shard: ``Shard.flush`` takes its snapshot without a pause, then the transaction
is written while new batches are applied. What is acknowledged afterwards is what was applied before the snapshot.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import structlog
from faust.types import TP

from shared import tracing
from shared.clock import Clock
from shared.errors import ConfigurationError
from shared.settings import KafkaSettings
from shared.streams import metrics
from shared.streams.health import Health
from shared.streams.restore import Barrier
from shared.streams.runtime import Runtime, unseen
from shared.streams.safety import Fail
from shared.streams.shards import ASKED_WHEN_IDLE, Batch, Role, Shard
from shared.streams.transport import Fetched
from shared.streams.writer import FencedWriter

log = structlog.get_logger(__name__)

LONGEST_COUNTED = 0.1
"""Seconds of a transaction that say how busy the machine is; one that takes longer waits for the broker itself."""
SHARE_WHEN_CAUGHT_UP = 1 / 3
"""Of the time, that flushes may take while there is nothing to read, if their role does not allow more anyway."""


@dataclass(slots=True)
class Slot:
    """One shard in this process: ``applied`` is each partition's next offset, ``barrier`` is there until restored."""

    number: int
    shard: Shard
    writer: FencedWriter
    inputs: list[TP]
    applied: dict[TP, int]
    barrier: Barrier | None
    flushed: dict[TP, int] = field(default_factory=dict)
    cost: float = 0.0
    wrote: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    flusher: asyncio.Task[None] | None = None
    flushing_since: float | None = None
    opened: float = field(default_factory=perf_counter)
    read: int = 0


class ShardRuntime(Runtime):
    """The runtime of a ``Role``."""

    def __init__(self, role: Role, kafka: KafkaSettings, clock: Clock, health: Health, fail: Fail) -> None:
        super().__init__(role.name, role.topics, kafka.topic_prefix, health, fail)
        self._role, self._kafka, self._clock = role, kafka, clock
        self._slots: dict[int, Slot] = {}
        self._state = {kafka.topic_prefix + topic.name for topic in role.state_topics}
        self._may_flush = asyncio.Event()

    def applied(self) -> Mapping[TP, int]:
        return {tp: offset for slot in self._slots.values() for tp, offset in slot.applied.items()}

    def problem(self) -> str | None:
        limit = self.health.stall_after
        for slot in self._slots.values():
            if slot.flushing_since is not None and perf_counter() - slot.flushing_since > limit:
                return f"a flush of shard {slot.number} has not been committed for {limit:.0f} s"
        return super().problem()

    # -- assignment

    async def _take(self, assigned: frozenset[TP], kept: bool) -> dict[TP, int]:
        numbers = self._by_number(assigned)
        for number in [n for n in self._slots if not kept or n not in numbers]:
            await self._drop(number)
        held = [self._slots[n] for n in self._slots]
        await self._check_held(held)
        await asyncio.gather(*(self._open(n, tps) for n, tps in numbers.items() if n not in self._slots))
        for slot in self._slots.values():
            for tp, offset in slot.flushed.items():
                self.log.acknowledge(tp, offset, self.log.epoch)
            if slot.barrier is not None:
                self.log.pause_partitions(slot.inputs)
                self._advance(slot)
        self._may_flush.set()
        return dict(self.applied())

    def _by_number(self, assigned: frozenset[TP]) -> dict[int, list[TP]]:
        numbers: dict[int, list[TP]] = {}
        for tp in assigned:
            numbers.setdefault(tp.partition, []).append(tp)
        for number, tps in numbers.items():
            missing = self.topics.keys() - {tp.topic for tp in tps}
            if missing:
                raise ConfigurationError(
                    f"shard {number} was assigned without its partition of {', '.join(sorted(missing))}",
                    where=self.name,
                    why="all topics of a role need the same number of partitions",
                    do="Create them as `headroom topics apply` does",
                )
        return numbers

    async def _check_held(self, slots: list[Slot]) -> None:
        applied = {tp: offset for slot in slots for tp, offset in slot.applied.items()}
        ends = await self.log.highwaters(*applied) if applied else {}
        for tp, offset in applied.items():
            self.refuse_rewind(tp, offset, ends[tp])

    async def _open(self, number: int, tps: list[TP]) -> None:
        """Fence first, look at the ends after: no earlier owner can write past what is seen."""
        state = [tp for tp in tps if tp.topic in self._state]
        inputs = [tp for tp in tps if tp.topic not in self._state]
        writer = FencedWriter(self._kafka, f"{self.name}-{number}")
        await writer.start()
        try:
            await asyncio.gather(*(table.read_to_end() for table in self._role.tables))
            ends = await self.log.highwaters(*state) if state else {}
            begins = self._begins(number, await self.log.earliest_offsets(*state) if state else {}, ends)
            starts = await self.starts_of_inputs(inputs) if inputs else {}
        except BaseException:
            await writer.stop()
            raise
        barrier = Barrier({tp.topic: begins[tp] for tp in state}, {tp.topic: ends[tp] for tp in state})
        applied = {tp: begins[tp] for tp in state} | starts
        self._slots[number] = Slot(number, self._role.make_shard(number), writer, inputs, applied, barrier)
        self._show_progress(number, 0.0)

    def _begins(self, number: int, earliest: Mapping[TP, int], ends: Mapping[TP, int]) -> dict[TP, int]:
        """Where each state topic is read from: as the role says, as far as the topic has it."""
        wanted = self._role.begin(number)
        return {tp: min(max(first, wanted.get(self.topics[tp.topic], 0)), ends[tp]) for tp, first in earliest.items()}

    async def _drop(self, number: int) -> None:
        slot = self._slots.pop(number)
        self.health.restore.pop(number, None)
        metrics.RESTORE_PROGRESS.remove(self.name, number)
        with suppress(KeyError):  # it may never have been restored
            metrics.RESTORE_SECONDS.remove(self.name, number)
        if slot.flusher is not None:
            slot.flusher.cancel()
            with suppress(asyncio.CancelledError):
                await slot.flusher
        self._role.ended(number)
        await slot.writer.stop()

    # -- feeding

    async def deliver(self, fetched: Fetched) -> None:
        slot = self._slots.get(fetched.tp.partition)
        if slot is None or fetched.epoch != self.log.epoch:
            return
        topic = self.topics[fetched.tp.topic]
        records = unseen(fetched.records, slot.applied[fetched.tp])
        if records:
            restoring = slot.barrier is not None
            slot.shard.apply(Batch(topic, slot.number, records, fetched.next_offset, restoring))
            slot.changed.set()
            self.count(fetched.tp, records)
            slot.read += len(records)
        slot.applied[fetched.tp] = fetched.next_offset
        self.health.progressed()
        if slot.barrier is not None:
            slot.barrier.advance(fetched.tp.topic, fetched.next_offset)
            self._advance(slot)

    def _advance(self, slot: Slot) -> None:
        """Let the shard go live when its barrier is reached."""
        barrier = cast(Barrier, slot.barrier)
        if not barrier.reached:
            self._show_progress(slot.number, min(barrier.progress, 0.999))
            return
        self._show_progress(slot.number, 1.0)
        self._tell_restored(slot)
        slot.barrier = None
        slot.shard.restored({self.topics[name]: end for name, end in barrier.ends.items()})
        slot.changed.set()
        self.log.resume_partitions(slot.inputs)
        slot.flusher = asyncio.create_task(self._flush_always(slot), name=f"flush {self.name}-{slot.number}")

    def _tell_restored(self, slot: Slot) -> None:
        seconds = perf_counter() - slot.opened
        metrics.RESTORE_SECONDS.labels(self.name, slot.number).set(seconds)
        log.info("restored", role=self.name, shard=slot.number, seconds=round(seconds, 3), records=slot.read)

    def _show_progress(self, number: int, done: float) -> None:
        self.health.restore[number] = done
        metrics.RESTORE_PROGRESS.labels(self.name, number).set(done)

    # -- flushing

    async def _flush_always(self, slot: Slot) -> None:
        try:
            while True:
                await self._may_flush.wait()
                started = perf_counter()
                async with slot.lock:
                    if self._may_flush.is_set():
                        await self._flush(slot)
                await self._pause(slot, started)
        except Exception as error:  # noqa: BLE001 - it ends the process
            # Whatever went wrong, nothing was acknowledged; another process starts from the log.
            metrics.TRANSACTIONS_FAILED.labels(self.name).inc()
            self.fail(error)

    async def _pause(self, slot: Slot, started: float) -> None:
        """Until the next flush may begin; while there is something to read, which flushes hold up, later than else."""
        spent = sum(other.cost for other in self._slots.values())
        every, share = self._role.flush_every, self._role.flush_share
        await asyncio.sleep(started + least_between(every, share, spent, slot.wrote) - perf_counter())
        until = started + spent / share
        while (left := until - perf_counter()) > 0 and self._behind():  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(min(left, every))
        with suppress(TimeoutError):
            # An idle shard is asked on the timer too: time alone may change what it has to say.
            await asyncio.wait_for(slot.changed.wait(), every if slot.shard.waiting else ASKED_WHEN_IDLE)

    def _behind(self) -> bool:
        ends = self.log.ends
        return any(offset < ends.get(tp, 0) for slot in self._slots.values() for tp, offset in slot.applied.items())

    async def _flush(self, slot: Slot) -> None:
        epoch = self.log.epoch
        upto = {tp: slot.applied[tp] for tp in slot.inputs}
        slot.changed.clear()
        slot.flushing_since = started = perf_counter()
        packed = slot.writer.busy_seconds
        records = slot.shard.flush(self._clock.now())
        slot.cost, slot.wrote = (written := perf_counter()) - started, 0.0
        if records:
            with tracing.batch_span(f"{self.name} flush", records, shard=slot.number):
                await slot.writer.write(records)
            slot.cost += slot.writer.busy_seconds - packed
            slot.wrote = perf_counter() - written
            metrics.FLUSH_SECONDS.labels(self.name).observe(perf_counter() - started)
            metrics.FLUSH_RECORDS.labels(self.name).inc(len(records))
        slot.flushing_since = None
        slot.flushed = upto
        for tp, offset in upto.items():
            self.log.acknowledge(tp, offset, epoch)

    async def _finish(self) -> None:
        self._may_flush.clear()
        await asyncio.gather(*(self._flush_last(slot) for slot in self._slots.values()))

    async def _flush_last(self, slot: Slot) -> None:
        async with slot.lock:
            if slot.barrier is None:
                await self._flush(slot)

    async def close(self) -> None:
        await super().close()
        for number in list(self._slots):
            await self._drop(number)


def least_between(every: float, share: float, spent: float, wrote: float) -> float:
    """Seconds from the beginning of a flush to that of the next: ``every``, or more for flushes to keep to their share.

    The last ones ``spent`` so much processor time; and ``wrote`` is how long the last transaction took. On a busy
    machine that is long because everything waits for processors: then fewer transactions are less to wait for. A broker
    that was away makes nobody wait once it is back.
    """
    return max(every, max(spent, min(wrote, LONGEST_COUNTED)) / max(SHARE_WHEN_CAUGHT_UP, share))
