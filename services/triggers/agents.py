"""The triggers' shard: frames and episodes in, episodes and recalibrations out.

Order of effects: a frame is evaluated in a flush; the rows of the episodes it moved and what their owners are told go
out in that flush's one transaction, so neither is ever there without the other. While restoring, rows are taken over
and frames only rebuild the table; a frame that may not have been evaluated yet waits, because only at the barrier is it
known which those are.

What cannot be read becomes a dead letter and the stream goes on. A broken frame counts as evaluated, which is said in
the transaction of its letter; a broken row is written anew in that of its own. So no restart writes a second letter.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from time import perf_counter

import msgspec
import structlog

from services.triggers import metrics
from services.triggers.domain.evaluation import Change, Evaluation
from services.triggers.domain.rules import RuleBook
from shared.errors import LogRewound
from shared.schemas import episode, recalibration
from shared.schemas.envelope import attribute, headers
from shared.schemas.frame import Frame
from shared.schemas.frame import decode as decode_frame
from shared.schemas.trace import NOWHERE, Passage, passage_in
from shared.streams.dead_letters import UNREADABLE, BrokenLimit, dead_letter
from shared.streams.shards import Batch, Outgoing, Record
from shared.topics import EPISODES, FRAMES, RECALIBRATIONS, Topic

SOURCE = "headroom/triggers"
FRAMES_PER_FLUSH = 200
"""Frames evaluated before what they moved is written: a transaction stays small however far behind we are."""
SAY_HOW_FAR_AFTER = 500
"""Frames without any output after which the log is told how far they are evaluated; it is told at once when a restore
may begin later."""

_decode_key = msgspec.json.Decoder(tuple[str, str]).decode

_log = structlog.get_logger(__name__)


class Begin:
    """From which frame on a restore has to read, as ``TableReader`` brings what ``episodes.v1`` says of it."""

    def __init__(self) -> None:
        self.frame = 0

    def add(self, record: Record) -> None:
        """Take in one record of ``episodes.v1``."""
        if record.key == episode.EVALUATED_KEY and record.value is not None:
            try:
                self.frame = episode.decode_evaluated(record.value).begin
            except UNREADABLE:
                # From the first one on is always right; the shard reads this record too and writes its letter.
                self.frame = 0


class TriggersShard:
    """The one shard of the role ``triggers``."""

    def __init__(self, book_of: Callable[[str], RuleBook | None]) -> None:
        self._book_of = book_of
        self._evaluation = Evaluation(book_of)
        self._rows: dict[bytes, tuple[episode.Episode, datetime]] = {}
        self._evaluated = -1
        self._waiting: deque[tuple[Record, Batch]] = deque()
        self._restored = False
        self._silent = 0
        self._begin_said = 0
        self._book_time = 0
        """Newest source time (ms) of a deal in the last whole projection."""
        self._limit = BrokenLimit()
        self._lost: dict[bytes, tuple[Record, Batch, str]] = {}
        self._letters: list[Outgoing] = []

    def apply(self, batch: Batch) -> None:
        """Take in rows (while restoring; later ones are our own) or frames."""
        if batch.topic == FRAMES:
            self._waiting.extend((record, batch) for record in batch.records if record.value is not None)
        elif not self._restored:
            for record in batch.records:
                self._take_over(record, batch)
        if not self._restored:
            self._pass_over()

    def restored(self, ends: Mapping[Topic, int]) -> None:
        """Every row is here: frames after the last one evaluated are evaluated from now on."""
        if self._evaluated >= ends.get(FRAMES, 0):
            raise LogRewound(
                "frames end before the last one that was evaluated",
                where=FRAMES.name,
                why=f"offset {self._evaluated} was evaluated, the topic ends at {ends.get(FRAMES, 0)}",
                do="Run `headroom rebuild all`",
            )
        self._pass_over()
        self._restored = True
        self._replace_lost()
        for row, written in self._rows.values():
            self._evaluation.restore(row, written)
        self._rows.clear()
        self._measure()

    @property
    def waiting(self) -> bool:
        """Frames are held back for their plan, or for the next flush when there are many."""
        return bool(self._waiting)

    def flush(self, now: datetime) -> Sequence[Outgoing]:
        """Evaluate what waits, at most ``FRAMES_PER_FLUSH``, and give what it moved. ``now`` is that of the frames."""
        moved: list[Outgoing] = []
        for _ in range(FRAMES_PER_FLUSH):
            frame = self._next()
            if frame is None:
                break
            moved += self._evaluate(frame)
        # A row written anew stands before what moves it on.
        letters, self._letters = self._letters, []
        outgoing, begin = [*letters, *moved], self._evaluation.begin
        if letters or self._silent >= SAY_HOW_FAR_AFTER or begin != self._begin_said:
            outgoing.append(_how_far(self._evaluated, begin))
            self._begin_said = begin
        if outgoing:
            self._silent = 0
        return outgoing

    def _next(self) -> Frame | None:
        """The frame to evaluate now; None when there is none or when its plan is still to come."""
        while self._restored and self._waiting:
            record, batch = self._waiting[0]
            frame = self._read(record, batch)
            if not isinstance(frame, Frame):
                # What it said comes with later ones, at the latest with the next complete one.
                self._letter(batch, record, frame)
                self._evaluated = record.offset
                self._waiting.popleft()
            elif frame.plan and not self._evaluation.ready_for(frame):
                metrics.FRAMES_HELD.set(len(self._waiting))
                return None
            else:
                return frame
        metrics.FRAMES_HELD.set(0)
        return None

    def _read(self, record: Record, batch: Batch) -> Frame | str:
        """The frame of a record, or why it is broken."""
        try:
            return decode_frame(record.value or b"")
        except UNREADABLE as error:
            self._limit.broken(batch, record, str(error))
            return str(error)

    def _evaluate(self, frame: Frame) -> Iterator[Outgoing]:
        record, _ = self._waiting.popleft()
        started = perf_counter()
        changes = self._evaluation.evaluate(frame, record.offset) if frame.plan else []
        metrics.EVALUATION_SECONDS.observe(perf_counter() - started)
        metrics.FRAMES_EVALUATED.inc()
        metrics.AS_OF.set(frame.now.timestamp())
        happened = self._happened(frame)
        self._evaluated = record.offset
        self._silent += 1
        for change in changes:
            yield from _written(change, frame.now, passage_in(record.headers), happened)
        if changes:
            self._measure()

    def _happened(self, frame: Frame) -> int:
        """The source's time of the newest deal if this projection's is the first to have it, 0: it brought no newer.

        The first of all is as old as it likes, and what is told late (a backfill) has no newest one: both say nothing
        about how long anything takes. Time that passes brings recalibrations about without any deal.
        """
        known, newest = self._book_time, frame.book_time
        if not frame.more:
            self._book_time = max(known, newest)
        return newest if newest > known > 0 else 0

    def _take_over(self, record: Record, batch: Batch) -> None:
        key = record.key or b""
        self._lost.pop(key, None)
        try:
            if key == episode.EVALUATED_KEY:
                self._take_over_how_far(record)
            elif record.value is None:
                self._lost[key] = record, batch, ""
            else:
                row = episode.decode(record.value)
                self._rows[key] = row, _written_at(record)
                self._evaluated = max(self._evaluated, row.applied)
        except UNREADABLE as error:
            self._lost[key] = record, batch, str(error)

    def _take_over_how_far(self, record: Record) -> None:
        if record.value is not None:
            said = episode.decode_evaluated(record.value)
            # A negative one takes back all before it: the frames they were about are no longer on their topic.
            self._evaluated = max(self._evaluated, said.frame) if said.frame >= 0 else -1
            self._begin_said = said.begin

    def _pass_over(self) -> None:
        """Fold in the frames that were evaluated before: a row, once written, stands for all frames up to its own."""
        while self._waiting and self._waiting[0][0].offset <= self._evaluated:
            record, batch = self._waiting.popleft()
            frame = self._read(record, batch)
            if isinstance(frame, Frame):
                self._happened(frame)
                if frame.plan:
                    self._evaluation.pass_over(frame, record.offset)

    def _replace_lost(self) -> None:
        """Rows whose last record is broken: each gets its letter and is written anew, as a new beginning.

        Only these count as broken, in the order of the log; not a row that somebody took out by a tombstone to
        get on. It is written anew as well, for with numbers from the first on its ids would be used twice.
        """
        for key, (record, batch, why) in self._lost.items():
            broken = record.value is not None
            if broken:
                self._limit.broken(batch, record, why)
                self._letter(batch, record, why)
            if key == episode.EVALUATED_KEY:
                continue  # every flush with a letter says how far it is
            earlier = self._rows.pop(key, None)
            try:
                trigger, scope = _decode_key(key)
            except UNREADABLE:
                # Nobody can say whose it was; a tombstone keeps the next restart from meeting it.
                self._letters += [Outgoing(EPISODES, 0, key, None)] if broken else []
                continue
            # By the system's clock where anything says how late it is there.
            known = [self._evaluation.table.now] if self._evaluation.table.whole else []
            now = max([*known, *([earlier[1]] if earlier else [])], default=_taken_in_at(record))
            change = self._evaluation.begin_anew((trigger, scope), record.offset, earlier, now, self._evaluated)
            self._rows[key] = change.episode, now
            self._letters += _written(change, now, NOWHERE)
        self._lost.clear()

    def _letter(self, batch: Batch, record: Record, why: str) -> None:
        place = f"{batch.topic.name}[{batch.partition}] at offset {record.offset}"
        _log.error("a record cannot be used and is a dead letter now", where=place, why=why)
        self._letters.append(dead_letter(batch, record, f"broken-{batch.topic.name}", why))

    def _measure(self) -> None:
        active = [row.phase for row in self._evaluation.active()]
        for phase in ("pending", "firing", "mitigated"):
            metrics.EPISODES_ACTIVE.labels(phase).set(active.count(phase))
        book = self._book_of(self._evaluation.table.plan)
        metrics.RULES_REJECTED.set(len(book.rejected) if book else 0)


def _written_at(record: Record) -> datetime:
    """By the system's clock, which the row's frame had; the broker's where the record does not say, or no moment."""
    try:
        said = datetime.fromisoformat(attribute(record.headers, "time") or "")
    except ValueError:
        return _taken_in_at(record)
    return said if said.tzinfo is not None else _taken_in_at(record)


def _taken_in_at(record: Record) -> datetime:
    return datetime.fromtimestamp(record.timestamp / 1000, UTC)


def _written(change: Change, now: datetime, passage: Passage, happened: int = 0) -> Iterator[Outgoing]:
    told = change.told
    yield _row(change.episode, now)
    if told is not None:
        metrics.TRANSITIONS.labels(told.kind, told.severity).inc()
        trace = {} if passage.trace is None else {"trace_id": passage.trace.decode().split("-")[1]}
        _log.info(told.kind, scope=told.scope, trigger=told.trigger, summary=told.summary, why=change.reason, **trace)
        carried = passage.trace, passage.arrived, happened
        told_headers = headers(recalibration.TYPE, told.event_id, SOURCE, now, *carried)
        yield Outgoing(RECALIBRATIONS, 0, told.id.encode(), recalibration.encode(told), told_headers)
    for gone in change.forgotten:
        yield Outgoing(RECALIBRATIONS, 0, gone.encode(), None)


def _row(row: episode.Episode, now: datetime) -> Outgoing:
    key = episode.record_key(row.trigger, row.scope)
    row_id = f"{row.trigger}/{row.scope}/{row.applied}"
    return Outgoing(EPISODES, 0, key, episode.encode(row), headers(episode.TYPE, row_id, SOURCE, now))


def _how_far(offset: int, begin: int) -> Outgoing:
    value = episode.encode(episode.Evaluated(offset, begin))
    return Outgoing(EPISODES, 0, episode.EVALUATED_KEY, value, headers(episode.EVALUATED_TYPE, str(offset), SOURCE))
