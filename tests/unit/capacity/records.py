"""Batches as the runtime hands them to shards, without a broker."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from shared.streams.shards import Batch
from shared.topics import Topic


@dataclass
class FakeRecord:
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


@dataclass
class Log:
    """One partition as a growing list of records."""

    topic: Topic
    partition: int = 0
    records: list[FakeRecord] = field(default_factory=list)

    def write(self, key: bytes | str | None, value: bytes | None) -> None:
        self.records.append(FakeRecord(len(self.records), key.encode() if isinstance(key, str) else key, value))

    @property
    def end(self) -> int:
        return len(self.records)

    def batch(self, start: int = 0, stop: int | None = None, restoring: bool = False) -> Batch:
        records = self.records[start:stop]
        return Batch(self.topic, self.partition, records, records[-1].offset + 1, restoring)

    def compacted(self) -> "Log":
        """What compaction keeps: the last record of each key, where it lay."""
        last = {record.key: record for record in self.records}
        kept = sorted(last.values(), key=lambda record: record.offset)
        return Log(self.topic, self.partition, kept)
