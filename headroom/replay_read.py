"""Events read and checked as the door and the normaliser read them; of many, other processes read some ahead.

What another process hands back is plain data, so that handing it over costs less than reading it. The order of events
is that of the file, whoever read them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from sys import intern
from typing import Any, Final, NamedTuple

from services.ingest.domain.change import DealChange, Unusable
from services.ingest.normalise import cloudevents
from shared.schemas.deal import Stamp
from shared.schemas.report import Report
from shared.schemas.signal import Signal

CHUNK: Final = 4000
"""Events that are read before they are handed back; at the beginning fewer, for there is nothing else to do yet."""

MOST_AHEAD: Final = 16
"""Chunks that are read ahead at most: as many as are read while a day is projected. Each takes a few megabytes."""

_PIECE: Final = 100
"""Events that are read at a time by whoever waits for others: what these have done meanwhile is not kept waiting."""

_FEW: Final = ("stage", "currency", "segment", "type")
"""Fields that say one of a few words: of each word one string is handed over, however many deals say it."""

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


@dataclass(eq=False)
class _Chunk:
    """Lines, and what they say once they are read: by another process, or by whoever waits for it."""

    lines: list[bytes]
    future: Future[list[Any]]
    own: list[Any] | None = None

    @property
    def is_read(self) -> bool:
        return self.future.done() if self.own is None else len(self.own) == len(self.lines)

    def packed(self) -> list[Any]:
        """What the lines say; waits for it."""
        return self.future.result() if self.own is None else self.own

    def read_some(self) -> bool:
        """Read a piece of it in this process; False when nothing is left, or another has it in hand."""
        if self.own is None:
            if not self.future.cancel():
                return False
            self.own = []
        begin = len(self.own)
        self.own += _read_chunk(self.lines[begin : begin + _PIECE])
        return len(self.own) > begin


class Ahead:
    """Reads events in other processes, some chunks ahead of whoever takes them, who reads as well while he waits."""

    def __init__(self, processes: int) -> None:
        # Not forked: a fork copies whatever state other threads are in.
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[bytes, Read | None]]:
        """Each line with what it says, in order; None where only who takes it knows its time."""
        waiting: deque[_Chunk] = deque()
        source, size = iter(lines), max(CHUNK // 8, 1)
        while True:
            while len(waiting) < MOST_AHEAD and (some := list(islice(source, size))):
                waiting.append(_Chunk(some, self._pool.submit(_read_chunk, some)))
                size = min(2 * size, CHUNK)
            if not waiting:
                return
            while not waiting[0].is_read and any(chunk.read_some() for chunk in waiting):
                pass
            chunk = waiting.popleft()
            for raw, packed in zip(chunk.lines, chunk.packed(), strict=True):
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
        values = said.values
        for name in _FEW:
            if value := values.get(name):
                values[name] = intern(value)
        names, stamp = _names(tuple(values)), said.stamp
        return intern(said.source), said.object_id, stamp.time, stamp.sequence, names, tuple(values.values())
    return said


def _unpacked(packed: Any) -> Read | None:
    if packed is None:
        return None
    if type(packed) is tuple:
        if len(packed) == 2:
            return Read(0, packed)
        source, name, at, sequence, names, values = packed
        said = dict(zip(_names(names), values, strict=True))
        return Read(at, DealChange(source, name, Stamp(at, sequence), said))
    return Read(_time_of(packed), packed)


@lru_cache(maxsize=1024)
def _names(names: tuple[str, ...]) -> tuple[str, ...]:
    """The same names, always as the same strings: what looks them up need not compare them letter by letter."""
    return tuple(map(intern, names))
