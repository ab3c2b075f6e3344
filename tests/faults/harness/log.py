"""What lies on the topics, read from outside and kept as plain JSON: the harness's own reading of the log."""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any, Self

import aiokafka
from aiokafka import TopicPartition

from shared.settings import KafkaSettings
from shared.topics import (
    CELLS,
    DEAD_LETTERS,
    DEALS,
    DECISIONS,
    EPISODES,
    FORECASTS,
    FRAMES,
    HISTORY,
    INBOX,
    PLANS,
    POSITIONS,
    RECALIBRATIONS,
    REPORTS,
    SIGNALS,
    Topic,
)

TABLES = (DEALS, REPORTS, CELLS, POSITIONS, FORECASTS, EPISODES, PLANS)
"""Of these only the last record of a key counts."""
STREAMS = (INBOX, HISTORY, FRAMES, RECALIBRATIONS, DEAD_LETTERS, DECISIONS, SIGNALS)
"""Of these every record counts, in order."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One record of a stream."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes
    headers: dict[str, bytes]

    @property
    def json(self) -> Any:
        return json.loads(self.value)


@dataclass
class Log:
    """Reads on from where it was; committed records only. As an asynchronous context manager it connects on entry."""

    kafka: KafkaSettings
    topics: tuple[Topic, ...] = TABLES + STREAMS
    tables: dict[Topic, dict[bytes, bytes]] = field(default_factory=lambda: defaultdict(dict))
    streams: dict[Topic, list[Seen]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[tuple[Topic, int], int] = field(default_factory=dict)
    repeated: dict[tuple[Topic, int], int] = field(default_factory=dict)
    """The offset of the first record of a table whose key had a record before it, by partition."""
    _keys: dict[tuple[Topic, int], set[bytes]] = field(default_factory=lambda: defaultdict(set))
    last: dict[tuple[Topic, int], int] = field(default_factory=dict)
    """The offset of the last record; what may come after it are the broker's own marks of transactions."""

    async def __aenter__(self) -> Self:
        self._consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=self.kafka.bootstrap,
            isolation_level="read_committed",
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
        )
        await self._consumer.start()
        self._places = {
            TopicPartition(self.kafka.topic_prefix + topic.name, number): (topic, number)
            for topic in self.topics
            for number in range(topic.partitions(self.kafka.partitions))
        }
        self._consumer.assign(list(self._places))
        await self._consumer.seek_to_beginning(*self._places)
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._consumer.stop()

    async def catch_up(self) -> None:
        """Read everything that is committed now."""
        ends = await self._consumer.end_offsets(list(self._places))
        self.ends = {self._places[tp]: end for tp, end in ends.items()}
        behind = set(ends)
        while behind := {tp for tp in behind if await self._consumer.position(tp) < ends[tp]}:
            for tp, records in (await self._consumer.getmany(timeout_ms=100)).items():
                topic, partition = self._places[tp]
                self.last[topic, partition] = records[-1].offset
                for record in records:
                    self._take(topic, partition, record)

    def _take(self, topic: Topic, partition: int, record: Any) -> None:
        if topic in STREAMS:
            headers = dict(reversed(record.headers))
            self.streams[topic].append(Seen(partition, record.offset, record.key, record.value, headers))
            return
        if record.key in self._keys[topic, partition]:
            self.repeated.setdefault((topic, partition), record.offset)
        self._keys[topic, partition].add(record.key)
        if record.value is None:
            self.tables[topic].pop(record.key, None)
        else:
            # A key that is written anew goes to the end, so that of the plans the last one is the one in force.
            self.tables[topic].pop(record.key, None)
            self.tables[topic][record.key] = record.value

    def table(self, topic: Topic) -> dict[bytes, Any]:
        """The last value of each key that has one."""
        return {key: json.loads(value) for key, value in self.tables[topic].items()}
