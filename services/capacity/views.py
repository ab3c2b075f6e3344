"""The sink of ``views``: frames and deals into the read models, each batch in one transaction with its offset.

Order of effects: rows and the offset they bring the tables to become durable together, then the runtime acknowledges.
While PostgreSQL is away the batch is held and tried again; a batch that comes again changes nothing.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

import structlog

from services.capacity import metrics
from services.capacity.store.projection import Projection
from services.capacity.store.writing import Changes, Writing, WritingModels
from shared.clock import Clock, WallClock
from shared.db import patiently
from shared.errors import HeadroomError
from shared.schemas.deal import Deal
from shared.schemas.deal import decode as decode_deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame, ListedCount, ListedDeal
from shared.schemas.frame import decode as decode_frame
from shared.schemas.position import Position, WorkState
from shared.schemas.trace import passage_in
from shared.streams.dead_letters import UNREADABLE
from shared.streams.shards import Batch, Record
from shared.topics import DEALS, FRAMES, Topic

_log = structlog.get_logger(__name__)

Done = TypeVar("Done")
Frames = list[tuple[int, Frame]]
"""Frames by their offsets, in order."""


class ModelsTakenBack(HeadroomError):
    """The tables hold less than this process wrote: they were emptied for a rebuild, or restored from a backup."""


class ViewsSink:
    """Carries frames and deals into the tables; calls ``waiting`` every few seconds while the database is away."""

    def __init__(self, models: WritingModels, waiting: Callable[[], None], clock: Clock | None = None) -> None:
        """``clock`` is the system's, against which the age of what is shown is measured; wall time if not given."""
        self._models = models
        self._waiting = waiting
        self._clock = clock or WallClock()
        self._book_time = 0
        self._reached: dict[tuple[str, int], int] = {}
        self._begun: Frames = []
        """Frames of a projection whose last frame has not come yet: a table is shown whole or not at all."""

    async def positions(self) -> Mapping[tuple[Topic, int], int]:
        """How far the tables are, by topic and partition."""
        topics = {topic.name: topic for topic in (FRAMES, DEALS)}
        stored = await self._hold(self._models.next_offsets)
        self._reached, self._begun = dict(stored), []
        return {(topics[name], number): offset for (name, number), offset in stored.items() if name in topics}

    async def apply(self, batch: Batch) -> None:
        """Bring the tables to the end of the batch; holds while the database is away."""
        write = self._frames if batch.topic == FRAMES else self._deals
        reached = await self._hold(lambda: write(batch))
        place = batch.topic.name, batch.partition
        self._reached[place] = max(self._reached.get(place, 0), reached)

    async def check(self) -> None:
        """Raise ``ModelsTakenBack`` when the tables hold less than this process wrote into them."""
        reached = dict(self._reached)
        stored = await self._hold(self._models.next_offsets)
        for place in reached:
            self._refuse_going_back(place, stored.get(place, 0), reached[place])

    def _refuse_going_back(self, place: tuple[str, int], stored: int, reached: int) -> None:
        """What lies between was written once and is gone: only a process that starts from ``stored`` brings it back."""
        if stored < reached:
            raise ModelsTakenBack(
                f"the tables are at offset {stored} again, {reached} was reached",
                where=f"{place[0]}[{place[1]}]",
                why="`headroom rebuild read-models` emptied them, or the database was restored",
                do="This process ends and begins again from there",
            )

    async def _frames(self, batch: Batch) -> int:
        whole, begun = whole_projections(self._begun + frames_of(batch.records))
        upto = begun[0][0] if begun else batch.next_offset
        async with self._advance(batch, upto) as writing:
            changes = fold([(offset, frame) for offset, frame in whole if offset >= writing.start])
            if changes is not None:
                await writing.frames(changes)
        self._begun = begun
        if changes is not None:
            self._measure(changes.projection, batch.records)
        return upto

    async def _deals(self, batch: Batch) -> int:
        async with self._advance(batch, batch.next_offset) as writing:
            newest, dropped = last_of_each(record for record in batch.records if record.offset >= writing.start)
            await writing.deals(newest, dropped)
        return batch.next_offset

    def _measure(self, shown: Projection, records: Sequence[Record]) -> None:
        metrics.VIEWS_AS_OF.set(shown.as_of.timestamp())
        metrics.VIEWS_BOOK_TIME.set(shown.book_time / 1000)
        if shown.book_time > self._book_time:
            if self._book_time:  # the first after a start is as old as it likes
                age = self._clock.now().timestamp() - shown.book_time / 1000
                metrics.EVENT_TO_POSITION.observe(max(0.0, age))
            self._book_time = shown.book_time
        now = datetime.now(UTC).timestamp()
        for record in records:
            if arrived := passage_in(record.headers).arrived:
                metrics.RECEIVED_TO_POSITION.observe(max(0.0, now - arrived / 1000))

    @asynccontextmanager
    async def _advance(self, batch: Batch, upto: int) -> AsyncIterator[Writing]:
        place = batch.topic.name, batch.partition
        async with self._models.advance(*place, upto) as writing:
            self._refuse_going_back(place, writing.start, self._reached.get(place, 0))
            yield writing

    async def _hold(self, work: Callable[[], Awaitable[Done]]) -> Done:
        """Do it, and again for as long as the database cannot be reached."""
        done = await patiently("bringing the read models up to date", work, self._failed)
        metrics.VIEWS_HOLDING.set(0)
        return done

    def _failed(self) -> None:
        metrics.VIEWS_ATTEMPTS_FAILED.inc()
        metrics.VIEWS_HOLDING.set(1)
        self._waiting()


def frames_of(records: Iterable[Record]) -> Frames:
    """The frames of a run of records; one that cannot be read changes nothing, and its letter is the triggers'."""
    frames: Frames = []
    for record in records:
        if record.value is not None:
            try:
                frames.append((record.offset, decode_frame(record.value)))
            except UNREADABLE as error:
                _log.error("a frame cannot be read and is passed over", offset=record.offset, why=str(error))
    return frames


def whole_projections(frames: Frames) -> tuple[Frames, Frames]:
    """A run of frames cut behind its last whole projection: what is complete, and what has only begun."""
    end = max((place for place, (_, frame) in enumerate(frames, 1) if not frame.more), default=0)
    return frames[:end], frames[end:]


def fold(frames: Sequence[tuple[int, Frame]]) -> Changes | None:
    """What a run of frames, by offset, comes to; None when there are none. A complete frame replaces all before it."""
    positions: dict[tuple[str, str], Position] = {}
    gone: set[tuple[str, str]] = set()
    work: dict[str, WorkState] = {}
    forecasts: dict[tuple[str, str], Forecast] = {}
    listed: Sequence[ListedDeal] | None = None
    counts: Sequence[ListedCount] | None = None
    everything = False
    for _, frame in frames:
        if frame.complete:
            positions, gone, work, forecasts, everything = {}, set(), {}, {}, True
        for key in frame.gone:
            positions.pop(key, None)
            gone.add(key)
        for position in frame.positions:
            positions[position.pool, position.week] = position
            gone.discard((position.pool, position.week))
        work.update((item.work, item) for item in frame.work)
        forecasts.update(((item.period, item.segment), item) for item in frame.forecasts or [])
        listed = frame.listed if frame.listed is not None else listed
        counts = frame.listed_counts if frame.listed_counts is not None else counts
    if not frames:
        return None
    offset, last = frames[-1]
    shown = Projection(offset, last.now, last.week, last.plan, last.book_time, last.report_ages)
    rows = list(positions.values()), sorted(gone), list(work.values())
    return Changes(shown, everything, *rows, listed, counts, list(forecasts.values()))


def last_of_each(records: Iterable[Record]) -> tuple[list[Deal], list[str]]:
    """The newest state of each deal in a run of records, and the ids whose record was taken back.

    A record that cannot be read changes nothing: the one before it counts, until the deal is written again. Its letter
    is the fold's, or the normaliser's, which read every deal too, and end when there are too many.
    """
    deals: list[Deal] = []
    dropped: list[str] = []
    known: set[bytes] = set()
    for record in reversed(list(records)):
        if record.key is None or record.key in known:
            continue
        try:
            if record.value is None:
                dropped.append(record.key.decode())
            else:
                deals.append(decode_deal(record.value))
        except UNREADABLE as error:
            _log.error("the record of a deal cannot be read and is passed over", offset=record.offset, why=str(error))
        else:
            known.add(record.key)
    return deals, dropped
