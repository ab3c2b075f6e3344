"""Events read and checked as the door and the normaliser read them; of many, other processes read some ahead.

What another process hands back is plain data, so that handing it over costs less than reading it. The order of events
is that of the file, whoever read them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from multiprocessing import get_context
from typing import Any, Final, NamedTuple

from services.ingest.domain.change import DealChange, Unusable
from services.ingest.normalise import cloudevents
from shared.schemas.deal import Stamp
from shared.schemas.report import Report
from shared.schemas.signal import Signal

CHUNK: Final = 4000
"""Events that a process reads before it hands them back."""

MOST_AHEAD: Final = 16
"""Chunks that are read ahead at most: as many as are read while a day is projected. Each takes a few megabytes."""

Unread = tuple[str, str]
"""Why an event cannot be used: reason and details."""


class Read(NamedTuple):
    """One event: ``at`` is its time in milliseconds since the epoch, ``said`` what it says or why it is unusable."""

    at: int
    said: DealChange | Report | Signal | Unread


def read(raw: bytes, clock: int | None) -> Read:
    """One event; ``clock`` is its time when it brings none (None: the machine's)."""
    received = datetime.now(UTC) if clock is None else datetime.fromtimestamp(clock / 1000, UTC)
    try:
        said = cloudevents.read(cloudevents.structured(raw), received)
    except Unusable as error:
        return Read(0, (error.reason, error.why))
    return Read(_time_of(said), said)


def _time_of(said: DealChange | Report | Signal) -> int:
    if isinstance(said, Signal):
        return int(said.time.timestamp() * 1000)
    return said.stamp.time


class Ahead:
    """Reads events in other processes, a few chunks ahead of whoever takes them."""

    def __init__(self, processes: int) -> None:
        # Not forked: a fork copies whatever state other threads are in.
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Read | None]]:
        """Each line with what it says, in order; None where only who takes it knows its time."""
        waiting: deque[tuple[list[bytes], Future[list[Any]]]] = deque()
        source = iter(lines)
        while True:
            while len(waiting) < MOST_AHEAD and (chunk := list(islice(source, CHUNK))):
                waiting.append((chunk, self._pool.submit(_read_chunk, chunk)))
            if not waiting:
                return
            chunk, future = waiting.popleft()
            for raw, packed in zip(chunk, future.result(), strict=True):
                yield raw, _unpacked(packed)

    def close(self) -> None:
        """End the processes; what they are still reading is not waited for."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def _read_chunk(chunk: Sequence[bytes]) -> list[Any]:
    return [_packed(raw) for raw in chunk]


def _packed(raw: bytes) -> Any:
    """A deal's change as a plain tuple, which is most of it; anything else as it is; None without a time of its own."""
    try:
        envelope = cloudevents.structured(raw)
        if envelope.time is None:
            return None
        said = cloudevents.read(envelope, envelope.time)
    except Unusable as error:
        return error.reason, error.why
    if isinstance(said, DealChange):
        return said.source, said.object_id, said.stamp.time, said.stamp.sequence, said.values
    return said


def _unpacked(packed: Any) -> Read | None:
    if packed is None:
        return None
    if type(packed) is tuple:
        if len(packed) == 2:
            return Read(0, packed)
        source, name, at, sequence, values = packed
        return Read(at, DealChange(source, name, Stamp(at, sequence), values))
    return Read(_time_of(packed), packed)
