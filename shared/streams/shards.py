"""What a service tells the runtime: its state as shards of a log, or a sink that keeps it in a database.

A **shard** is everything one role knows about one partition number. Its state is a fold over its state topics, so it
can be forgotten at any time and read again; what it publishes goes out in flushes, each one transaction. All
partitions with the same number of a role's state and input topics form one shard and are always assigned together.

The order at an assignment: the writer fences the previous owner → tables are read to their ends → ``make_shard`` → the
state topics are applied from where the role says (their beginning) up to the end seen then → ``restored`` → input
topics begin → flushes. State topics go on being applied as they grow. Nothing is published and nothing acknowledged
before ``restored``.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, runtime_checkable

from shared.topics import Topic


class Record(Protocol):
    """One record as it lies in Kafka; ``timestamp`` in milliseconds since the epoch."""

    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...
    @property
    def timestamp(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition in the log's order, never empty.

    ``next_offset`` is where reading goes on: past the last record and past whatever the log has instead of records.
    ``restoring`` is true until the shard's restore barrier is reached.
    """

    topic: Topic
    partition: int
    records: Sequence[Record]
    next_offset: int
    restoring: bool = False


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record to write. The partition is named by the writer: owning it is what allows writing to it."""

    topic: Topic
    partition: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()


class Shard(Protocol):
    """State of one partition number, in memory, folded from the log."""

    def apply(self, batch: Batch) -> None:
        """Fold records in; in order per partition, also while restoring. No I/O; an exception ends the process."""
        ...

    def restored(self, ends: Mapping[Topic, int]) -> None:
        """The state topics are read up to ``ends``, the end offset of each at the assignment; publishing may begin."""
        ...

    @property
    def waiting(self) -> bool:
        """Whether a flush may have something to say before the next batch comes.

        If so it is asked every ``flush_every``; otherwise, while no batch comes, only every ``ASKED_WHEN_IDLE``.
        """
        ...

    def flush(self, now: datetime) -> Sequence[Outgoing]:
        """What changed since the last flush, marked clean; empty when nothing did.

        The runtime writes it as one transaction and then acknowledges every input applied before this call. When that
        fails the process ends, so a flush never has to be undone.
        """
        ...


class Table(Protocol):
    """A topic that every worker of a role reads whole; ``restore.TableReader`` is one."""

    async def read_to_end(self) -> None:
        """Wait until everything that is in the topic now is known."""
        ...


def _from_the_beginning(shard: int) -> Mapping[Topic, int]:
    return {}


def _nothing_to_take_back(shard: int) -> None:
    pass


ASKED_WHEN_IDLE = 0.25
"""Seconds: time, or a table, may change what a shard has to say also while no batch comes."""

GATHER = 0.01
"""Seconds: a trickle makes a hundred fetches at most, and nobody waits for it noticeably."""


@dataclass(frozen=True, slots=True)
class Role:
    """A service whose state lies on the log. All its topics have the same number of partitions.

    ``tables`` are those of other cut in which its shards look up what they, or others of their number, have written: a
    shard opens when they hold all that its former owner wrote.
    ``begin`` says of a shard, by state topic, from which offset on its state is a fold; it is asked when the tables are
    read, and what it does not name, or has been trimmed since, is read from where the topic begins.
    ``ended`` is called when this process no longer has a shard: it takes back the gauges that the shard has set, for
    another process tells them now, and this one may live on.
    ``gather``: seconds after a fetch in which the next may gather; what comes after a pause is taken at once.
    ``flush_every`` is the time between flushes in seconds; while there is something to read the process spends at most
    ``flush_share`` of its time on them, else at most a third if that is more, so under load they come less often.
    """

    name: str
    state_topics: tuple[Topic, ...]
    input_topics: tuple[Topic, ...]
    make_shard: Callable[[int], Shard]
    flush_every: float = 0.03
    flush_share: float = 0.2
    tables: tuple[Table, ...] = ()
    begin: Callable[[int], Mapping[Topic, int]] = _from_the_beginning
    gather: float = GATHER
    ended: Callable[[int], None] = _nothing_to_take_back

    @property
    def topics(self) -> tuple[Topic, ...]:
        return self.state_topics + self.input_topics


class Sink(Protocol):
    """State that lives in a database."""

    async def apply(self, batch: Batch) -> None:
        """Make everything in the batch durable; on return the runtime acknowledges it.

        A batch may come again after a crash. While the database is away this waits and tries again; an exception ends
        the process.
        """
        ...


@runtime_checkable
class PositionedSink(Protocol):
    """A sink that stores, in the transaction of its effects, how far it has applied."""

    def positions(self) -> Awaitable[Mapping[tuple[Topic, int], int]]:
        """The next offset to read per topic and partition; what is not named starts where its group has committed."""
        ...


@dataclass(frozen=True, slots=True)
class SinkRole:
    """A service that carries topics into a database. ``gather`` is as a ``Role``'s, and decides how many transactions
    a trickle makes."""

    name: str
    topics: tuple[Topic, ...]
    sink: Sink
    gather: float = GATHER
