"""What shard roles and sink roles have in common: their place in the log, rebalances, trimming and lag."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

import structlog
from faust.types import TP

from shared.streams import metrics
from shared.streams.health import Health
from shared.streams.safety import Fail
from shared.streams.shards import Record
from shared.streams.transport import Fetched, rewound
from shared.topics import Topic

log = structlog.get_logger(__name__)


class Log(Protocol):
    """What a runtime asks of the consumer; ``transport.BatchConsumer`` answers."""

    epoch: int
    ends: dict[TP, int]

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]: ...
    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]: ...
    async def committed_offsets(self, tps: Iterable[TP]) -> Mapping[TP, int | None]: ...
    def pause_partitions(self, tps: Iterable[TP]) -> None: ...
    def resume_partitions(self, tps: Iterable[TP]) -> None: ...
    def acknowledge(self, tp: TP, upto: int, epoch: int) -> None: ...
    async def force_commit(self) -> bool: ...


class Runtime(ABC):
    """One role in one process. Called by the transport and the agent on the app's event loop only."""

    log: Log

    def __init__(self, name: str, topics: Sequence[Topic], prefix: str, health: Health, fail: Fail) -> None:
        self.name = name
        self.health = health
        self.fail = fail
        self.prefix = prefix
        self.topics = {prefix + topic.name: topic for topic in topics}
        self._generation = -1

    # -- what the transport, the agent and the app call

    async def plan(self, assigned: frozenset[TP], generation: int) -> Mapping[TP, int]:
        """Make ready for ``assigned`` and say where each partition starts."""
        try:
            kept = generation - self._generation in (0, 1)
            self._generation = generation
            starts = await self._take(assigned, kept)
        except Exception as error:
            # Faust would log this and try again with partitions half taken.
            self.fail(error)
            raise
        for tp in starts:
            # There from now on: what is never applied would else have no series that could stand still.
            metrics.RECORDS_APPLIED.labels(self.name, self.topics[tp.topic].name, tp.partition)
        self.health.settled()
        metrics.REBALANCES.labels(self.name).inc()
        log.info("partitions assigned", role=self.name, partitions=_by_topic(assigned, self.prefix), kept=kept)
        return starts

    async def assigned(self, tps: Iterable[TP]) -> None:
        """The group has spoken. With nothing assigned there will be no ``plan``, so the rest is dropped here."""
        if not list(tps):
            await self._take(frozenset(), False)
            self.health.settled()
            metrics.REBALANCES.labels(self.name).inc()
            log.info("no partitions assigned: standing by", role=self.name)

    async def revoked(self) -> None:
        """A rebalance begins: finish what is under way, so that the next owner finds it, and acknowledge it."""
        self.health.rebalancing()
        log.info("rebalancing", role=self.name)
        try:
            await self._finish()
            await self.log.force_commit()
        except Exception as error:
            # A refused flush means there is a newer owner already: nothing of ours may be believed any more.
            self.fail(error)
            raise

    @abstractmethod
    async def deliver(self, fetched: Fetched) -> None:
        """Apply what one fetch brought of one partition."""

    @abstractmethod
    def applied(self) -> Mapping[TP, int]:
        """The next offset to apply of every partition held."""

    async def close(self) -> None:
        """Give everything up, finished where possible."""
        await self._finish()
        await self.log.force_commit()

    @abstractmethod
    async def _take(self, assigned: frozenset[TP], kept: bool) -> dict[TP, int]:
        """Drop what is not in ``assigned``, or all when membership was interrupted (not ``kept``); open the rest."""

    @abstractmethod
    async def _finish(self) -> None:
        """Bring work under way to its end and begin no other until the next ``plan``."""

    # -- shared steps

    async def starts_of_inputs(self, tps: Iterable[TP]) -> dict[TP, int]:
        """Where a group goes on: what it committed, else the beginning; a log that ends before that is an error."""
        asked = list(tps)
        committed = await self.log.committed_offsets(asked)
        ends = await self.log.highwaters(*asked)
        earliest = await self.log.earliest_offsets(*asked)
        for tp, offset in committed.items():
            if offset is not None:
                self.refuse_rewind(tp, offset, ends[tp])
        return {tp: max(committed[tp] or 0, earliest[tp]) for tp in asked}

    def refuse_rewind(self, tp: TP, applied: int, end: int) -> None:
        if end < applied:
            raise rewound(tp, applied, end)

    def problem(self) -> str | None:
        """Why this process should end itself, or None."""
        return self.health.problem()

    def measure(self) -> None:
        """Bring lag and its series up to date."""
        lag: dict[tuple[str, int], int] = {}
        for tp, applied in self.applied().items():
            end, topic = self.log.ends.get(tp), self.topics[tp.topic].name
            if end is None:  # no fetch has been answered yet, and no series is no zero
                continue
            lag[topic, tp.partition] = behind = max(0, end - applied)
            metrics.CONSUMER_LAG.labels(self.name, topic, tp.partition).set(behind)
        for topic, partition in self.health.lag.keys() - lag.keys():
            metrics.CONSUMER_LAG.remove(self.name, topic, partition)
        self.health.lag = lag

    def count(self, tp: TP, records: Sequence[Record]) -> None:
        metrics.RECORDS_APPLIED.labels(self.name, self.topics[tp.topic].name, tp.partition).inc(len(records))
        metrics.BATCH_RECORDS.labels(self.name).observe(len(records))


def _by_topic(tps: Iterable[TP], prefix: str) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for tp in sorted(tps):
        found.setdefault(tp.topic.removeprefix(prefix), []).append(tp.partition)
    return found


def unseen(records: Sequence[Record], applied: int) -> Sequence[Record]:
    """The records at or after offset ``applied``: a fetch may repeat what is known already."""
    if not records or records[0].offset >= applied:
        return records
    return [record for record in records if record.offset >= applied]
