"""The projection's shard: cells, the plan, reports and decisions into frames, positions and forecasts.

Everything a flush returns is one transaction: a frame and the positions and forecasts that changed in it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from time import monotonic, perf_counter

import msgspec

from services.capacity import metrics
from services.capacity.agents.measures import FrameMeasures
from services.capacity.domain.frames import parts_of
from services.capacity.domain.pace import Pace
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas import cell as cells
from shared.schemas import decision, forecast, frame, position, report, signal
from shared.schemas.envelope import headers
from shared.schemas.trace import NOWHERE, Passage, passage_in
from shared.streams.dead_letters import UNREADABLE, BrokenLimit, dead_letter
from shared.streams.shards import Batch, Outgoing, Record
from shared.topics import CELLS, DECISIONS, FORECASTS, FRAMES, POSITIONS, REPORTS, SIGNALS, Topic

_decode_key = msgspec.json.Decoder(tuple[int, cells.CellKey | str]).decode
"""The key of a cell or a mark: deals partition, then the cell's key or a word."""

_decode_forecast_key = msgspec.json.Decoder(tuple[str, str]).decode

PROJECT = "headroom/project"

PACE = Pace(pools=6, others=0.2, forecasts=1.0)
"""A pool takes some 4 to 10 ms, and what is tipped meanwhile waits for the frame's end. A forecast is made of all pools
and deals of its quarter; with every frame it would be a quarter of the work."""


class ForecastRows:
    """The rows of ``forecasts.v1``, which the projection's next forecasts are compared with."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self._written: set[bytes] = set()

    def take_over(self, batch: Batch, limit: BrokenLimit) -> None:
        """What an earlier owner told; read before the first projection. A broken row is as none, and written anew."""
        for record in batch.records:
            try:
                self._take_over(record)
            except UNREADABLE as error:
                limit.broken(batch, record, str(error))

    def _take_over(self, record: Record) -> None:
        if record.key is None:
            return
        if record.value is None:
            self._written.discard(record.key)
            self._projector.told.drop(_decode_forecast_key(record.key))
        else:
            self._written.add(record.key)
            told = forecast.decode(record.value)
            self._projector.told.put(told.forecast, told.products)

    def outgoing(self, made: frame.Frame) -> list[Outgoing]:
        """The rows of a frame; a complete one takes back those that no longer stand for anything."""
        rows: dict[bytes, Outgoing] = {}
        for one in made.forecasts or []:
            key = forecast.record_key(one.period, one.segment)
            products = self._projector.told.products.get((one.period, one.segment), [])
            row = forecast.ForecastRecord(as_of=made.now, plan=made.plan, forecast=one, products=products)
            name = f"{made.now.isoformat()}/{one.period}/{one.segment}"
            envelope = headers(forecast.TYPE, name, PROJECT, made.now)
            rows[key] = Outgoing(FORECASTS, 0, key, forecast.encode(row), envelope)
        gone = sorted(self._written - rows.keys()) if made.complete else []
        self._written = (self._written | rows.keys()) - set(gone)
        return [*rows.values(), *(Outgoing(FORECASTS, 0, key, None) for key in gone)]


class ProjectShard:
    """The one shard of the role ``project``: cells, reports and decisions in, frames, positions and forecasts out.

    Its own ``positions.v1`` and ``forecasts.v1`` are read when it starts: to know which rows no longer stand for
    anything, and what the next forecasts are compared with.
    """

    def __init__(
        self,
        plan_in_force: Callable[[], PlanInForce | None],
        projector: Projector | None = None,
        seconds: Callable[[], float] = monotonic,
    ) -> None:
        """``projector``: what to take records into, for who only follows the log and never flushes.

        ``seconds``: the clock that frames are paced by.
        """
        self._seconds = seconds
        self._plan_in_force = plan_in_force
        self._projector = projector or Projector(pace=PACE)
        self._only_follows = projector is not None
        self._restored = False
        self._forecast = ForecastRows(self._projector)
        self._written: set[bytes] = set()
        self._kept: dict[bytes | None, Record] = {}
        self._letters: list[Outgoing] = []
        self._limit = BrokenLimit()
        self._frames = 0
        self._passage = NOWHERE
        self._measures = FrameMeasures()

    def apply(self, batch: Batch) -> None:
        """Take records in, one topic as the other; of positions only the keys, and only while restoring."""
        if batch.topic == POSITIONS:
            if not self._restored:
                self._take_over(batch.records)
            return
        if batch.topic == FORECASTS:
            if not self._restored:
                self._forecast.take_over(batch, self._limit)
            return
        if batch.topic == CELLS and batch.restoring:
            # Only the last record of a key will count; the log may hold very many that compaction has yet to drop.
            # Each by itself, for a batch would stay in memory for the sake of one record.
            self._kept.update({record.key: record for record in batch.records})
            return
        for record in batch.records:
            self._take(record, batch)

    def restored(self, ends: Mapping[Topic, int]) -> None:
        """The next frame is a complete one."""
        for record in sorted(self._kept.values(), key=lambda kept: kept.offset):
            self._take(record, Batch(CELLS, 0, [record], record.offset + 1, restoring=True))
        self._kept.clear()
        self._restored = True

    @property
    def waiting(self) -> bool:
        """A change is held back until the next frame is due."""
        return self._projector.waiting

    def flush(self, now: datetime) -> Sequence[Outgoing]:
        """The next frame and the positions that changed in it; without a plan, or when nothing changed, nothing."""
        if not self._restored:
            return []
        started = perf_counter()
        in_force = self._plan_in_force()
        metrics.PLAN_IN_FORCE.set(in_force is not None)
        made = self._projector.project(now, in_force, self._seconds())
        outgoing, self._letters = self._letters, []
        if made is None:
            if not self._projector.waiting:  # what moved no position ends here
                self._passage = NOWHERE
            return outgoing
        passage, self._passage = self._passage, NOWHERE
        metrics.PROJECTION_SECONDS.observe(perf_counter() - started)
        outgoing += self._positions(made)
        outgoing += self._forecast.outgoing(made)
        self._measures.see(made, len(self._projector.book))
        outgoing += [self._frame(part, passage) for part in parts_of(made)]
        return outgoing

    def _frame(self, part: frame.Frame, passage: Passage) -> Outgoing:
        self._frames += 1
        frame_id = f"{part.now.isoformat()}/{self._frames}"
        envelope = headers(frame.TYPE, frame_id, PROJECT, part.now, passage.trace, passage.arrived)
        return Outgoing(FRAMES, 0, None, frame.encode(part), envelope)

    def _positions(self, made: frame.Frame) -> list[Outgoing]:
        outgoing = []
        for row in made.positions:
            key = position.record_key(row.pool, row.week)
            value = position.encode(position.PositionRecord(as_of=made.now, plan=made.plan, position=row))
            envelope = headers(position.TYPE, f"{made.now.isoformat()}/{row.pool}/{row.week}", PROJECT, made.now)
            outgoing.append(Outgoing(POSITIONS, 0, key, value, envelope))
            self._written.add(key)
        if made.complete:
            gone = self._written - {position.record_key(row.pool, row.week) for row in made.positions}
            outgoing += [Outgoing(POSITIONS, 0, key, None) for key in sorted(gone)]
            self._written -= gone
        return outgoing

    def _take(self, record: Record, batch: Batch) -> None:
        take = {
            CELLS: self._cell,
            REPORTS: self._report,
            DECISIONS: self._decision,
            SIGNALS: self._signal,
        }[batch.topic]
        try:
            take(record)
        except UNREADABLE as error:
            self._limit.broken(batch, record, str(error))
            if not self._only_follows:
                # Met while restoring, its letter may not have been written: the former owner may have ended before.
                letter = dead_letter(batch, record, f"broken-{batch.topic.name}", str(error), again=batch.restoring)
                self._letters.append(letter)

    def _take_over(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key is not None:
                (self._written.discard if record.value is None else self._written.add)(record.key)

    def _cell(self, record: Record) -> None:
        partition, key = _decode_key(record.key or b"")
        if record.value is None:
            if isinstance(key, cells.CellKey):
                self._projector.book.drop(partition, key)
        elif isinstance(key, cells.CellKey):
            self._projector.book.stage(cells.decode_cell(record.value))
        else:
            self._projector.cells_changed(self._projector.book.apply(cells.decode_mark(record.value)))
            self._carry(record)

    def _report(self, record: Record) -> None:
        key, reports = record.key or b"", self._projector.reports
        if record.value is None:
            self._projector.reported(reports.drop(key))
        else:
            self._projector.reported(reports.put(key, report.decode(record.value)))
            self._carry(record)

    def _carry(self, record: Record) -> None:
        if self._restored:
            self._passage = self._passage.then(passage_in(record.headers))

    def _decision(self, record: Record) -> None:
        if record.value is not None and self._projector.decisions.put(decision.decode(record.value)):
            self._projector.decided()
            self._carry(record)

    def _signal(self, record: Record) -> None:
        if record.value is not None:
            self._projector.observe(signal.decode(record.value))
