"""The normaliser's shard: one partition of the inbox merged into the same partition of deals.

Order of effects: an inbox record is read, merged into the deal in memory and its outputs are put aside; a flush writes
all that was put aside in one transaction; only then is the inbox acknowledged.

Killed before the transaction commits: nothing was written, the inbox records come again, nothing is lost. Killed
between commit and acknowledgement: they come again too, and the merge finds that it knows them, so deals and reports
are not written twice; dead letters and signals are, with the same event ids, which readers drop. A paused former
owner that wakes up is refused by the broker, because the new owner has taken over the shard's transactional id.

Deals are kept as the bytes last written, so a restore is copying and an idle deal costs its JSON and no more. Each is
read once when all are there, where its rate is filled.

A deal whose last record cannot be read has a dead letter, and counts as none: the next change begins it anew, with the
fields and stamps of what is said from then on and no older ones, for nobody knows which those were. Its version must
not start over, because views keep the row with the highest and history would name two states by one: it goes on from
the milliseconds of that change's arrival, which no count of changes reaches. Killed before that is committed: the
broken record is still the last, and the same change begins the deal anew with the same version. Killed after: the deal
is known. What was said only before is lost until its source says the object again.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import msgspec
from aiokafka.partitioner import murmur2

from services.ingest import metrics
from services.ingest.domain.change import DealChange, Ignored, Unusable
from services.ingest.domain.merge import merge
from services.ingest.domain.rates import Rates, filled
from services.ingest.domain.reports import supersedes
from services.ingest.normalise.record import Adapters, received_at
from shared.schemas import deal as deals
from shared.schemas import report as reports
from shared.schemas import signal as signals
from shared.schemas.deal import Deal
from shared.schemas.envelope import Headers, headers
from shared.schemas.report import Report
from shared.schemas.signal import Signal
from shared.schemas.trace import NOWHERE, Passage, trace_in
from shared.streams.dead_letters import UNREADABLE, BrokenLimit, dead_letter
from shared.streams.shards import Batch, Outgoing, Record, Role, Table
from shared.topics import DEALS, HISTORY, INBOX, REPORTS, SIGNALS, Topic

BROKEN: Final = "broken-deals.v1"


@dataclass(frozen=True, slots=True)
class Lost:
    """A record of ``deals.v1`` that is the last of its deal and cannot be read, for its letter.

    Without its headers, for deals are kept without; the letter of the fold, if it cannot read it either, has them.
    """

    offset: int
    key: bytes
    value: bytes
    why: str
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


class ReportTable:
    """The reports that are on their topic, so that one that comes late does not bury a newer one."""

    def __init__(self) -> None:
        self._newest: dict[bytes, Report] = {}

    def put(self, record: Record) -> None:
        """Note a record of ``reports.v1``; one that cannot be read is as none.

        The projection reads it too, counts it and writes its letter. The one before it is forgotten with it, or the
        same report, said again to replace the broken record, would be nothing new.
        """
        if record.key is None:
            return
        self._newest.pop(record.key, None)
        if record.value is not None:
            with suppress(*UNREADABLE):
                self._newest[record.key] = reports.decode(record.value)

    def newest(self, key: bytes) -> Report | None:
        return self._newest.get(key)


class NormaliseShard:
    """One partition number of inbox and deals."""

    def __init__(
        self,
        number: int,
        adapters: Adapters,
        rates: Callable[[], Rates],
        known_reports: ReportTable,
        partitions: int,
    ) -> None:
        self._number = number
        self._adapters = adapters
        self._rates_now = rates
        self._known_reports = known_reports
        self._partitions = partitions
        self._deals: dict[bytes, bytes] = {}
        # Where each deal's last record lies, until all are restored; and those that could not be read.
        self._places: dict[bytes, int] = {}
        self._lost: dict[bytes, Lost] = {}
        self._limit = BrokenLimit()
        self._rates = Rates()
        self._changed: dict[bytes, Outgoing] = {}
        self._others: list[Outgoing] = []
        # What this shard has reported itself; apart from the table, for it is gone with the shard if never flushed.
        self._reported: dict[bytes, Report] = {}
        self._received: list[datetime] = []

    def apply(self, batch: Batch) -> None:
        if batch.topic is not DEALS:
            self._take_in(batch)
        elif batch.restoring:
            self._restore(batch.records)
        # Once live, what appears on deals.v1 is what this shard wrote itself.

    def restored(self, ends: Mapping[Topic, int]) -> None:
        """Read every deal once: put aside those that cannot be, fill the rates of the others."""
        rates = self._rates_now()
        lost: list[Lost] = []
        for key, value in self._deals.items():
            try:
                deal = deals.decode(value)
            except UNREADABLE as error:
                lost.append(Lost(self._places[key], key, value, str(error)))
            else:
                self._renew(key, deal, rates)
        if rates.currency is not None:
            self._rates = rates
        self._places.clear()
        for one in sorted(lost, key=lambda one: one.offset):
            self._put_aside(one)

    def _put_aside(self, lost: Lost) -> None:
        """Only the last record of a deal comes here, so that a good one or a tombstone after it takes it out."""
        batch = Batch(DEALS, self._number, [lost], lost.offset + 1, restoring=True)
        self._limit.broken(batch, lost, lost.why)
        del self._deals[lost.key]
        self._lost[lost.key] = lost
        # A former owner may have ended before its letter was written, or have written it: it has the same id each time.
        self._others.append(dead_letter(batch, lost, BROKEN, lost.why, again=True))

    @property
    def waiting(self) -> bool:
        """What a batch brought goes out with the next flush, whole."""
        return False

    def flush(self, now: datetime) -> Sequence[Outgoing]:
        self._refill()
        out = [*self._changed.values(), *self._others]
        self._changed, self._others = {}, []
        for received in self._received:
            metrics.EVENT_AGE.observe(max(0.0, (now - received).total_seconds()))
        self._received.clear()
        metrics.DEALS.labels(self._number).set(len(self._deals))
        return out

    def _restore(self, records: Sequence[Record]) -> None:
        for record in records:
            if record.key is None:
                continue
            if record.value is None:
                self._deals.pop(record.key, None)
                self._places.pop(record.key, None)
            else:
                self._deals[record.key] = record.value
                self._places[record.key] = record.offset

    def _take_in(self, batch: Batch) -> None:
        for record in batch.records:
            try:
                outcome = self._use(record)
            except Unusable as error:
                self._others.append(dead_letter(batch, record, error.reason, error.why))
                outcome = "dead-letter"
            metrics.NORMALISED.labels(outcome).inc()
        self._note_receipt(batch.records[-1])

    def _use(self, record: Record) -> str:
        """Put aside what follows from one record; what came of it."""
        said = self._adapters.read(record.key, record.value, record.headers, record.timestamp)
        if isinstance(said, Ignored):
            metrics.IGNORED.labels(said.reason).inc()
            return "ignored"
        # The record's timestamp is the wall time at which a door wrote it, also where the system's clock is virtual.
        passage = Passage(trace_in(record.headers), record.timestamp)
        if isinstance(said, DealChange):
            return self._change(said, passage)
        if isinstance(said, Report):
            return self._report(said, passage)
        self._signal(said, passage)
        return "signal"

    def _change(self, change: DealChange, passage: Passage) -> str:
        key = change.deal_id.encode()
        known = self._deals.get(key)
        if known is None and self._partition(key) != self._number:
            raise Unusable("wrong-key", f"{change.deal_id!r} belongs to partition {self._partition(key)}")
        deal, outcome = merge(None if known is None else deals.decode(known), change)
        if deal is not None:
            if key in self._lost:
                self._begin_anew(deal, self._lost.pop(key), passage)
            self._write(key, filled(deal, self._rates), passage)
        return outcome

    def _begin_anew(self, deal: Deal, lost: Lost, passage: Passage) -> None:
        """Over all restarts one transaction replaces a broken record; the letter in it is the one that is counted."""
        deal.version = max(deal.version, passage.arrived)
        batch = Batch(DEALS, self._number, [lost], lost.offset + 1)
        self._others.append(dead_letter(batch, lost, BROKEN, lost.why))

    def _write(self, key: bytes, deal: Deal, passage: Passage = NOWHERE) -> None:
        """The deal as it is now, and one more line of its history."""
        value = deals.encode(deal)
        time = datetime.fromtimestamp(deal.time / 1000, UTC)
        envelope = headers(deals.TYPE, f"{deal.id}@{deal.version}", deal.source, time, passage.trace, passage.arrived)
        self._deals[key] = value
        self._changed[key] = Outgoing(DEALS, self._number, key, value, envelope)
        self._others.append(Outgoing(HISTORY, self._number, key, value, envelope))

    def _report(self, report: Report, passage: Passage) -> str:
        key = reports.record_key(report)
        if not all(supersedes(report, known) for known in (self._known_reports.newest(key), self._reported.get(key))):
            return "nothing-new"
        self._reported[key] = report
        stamp = report.stamp
        time = datetime.fromtimestamp(stamp.time / 1000, UTC)
        event_id = f"{report.object}@{stamp.time}.{stamp.sequence}"
        envelope: Headers = headers(reports.TYPE, event_id, report.source, time, passage.trace, passage.arrived)
        value = reports.encode(report)
        self._others.append(Outgoing(REPORTS, 0, key, value, envelope))
        self._others.append(Outgoing(HISTORY, self._number, key, value, envelope))
        return "report"

    def _signal(self, signal: Signal, passage: Passage) -> None:
        envelope = headers(signals.TYPE, signal.id, signal.source, signal.time, passage.trace, passage.arrived)
        self._others.append(Outgoing(SIGNALS, 0, signal.id.encode(), signals.encode(signal), envelope))

    def _refill(self) -> None:
        """When plan or table brought other rates, write again every deal whose filled rate that changes."""
        rates = self._rates_now()
        if rates == self._rates or rates.currency is None:
            return
        self._rates = rates
        for key, value in self._deals.items():
            if b'"currency"' in value:
                self._renew(key, deals.decode(value), rates)

    def _renew(self, key: bytes, deal: Deal, rates: Rates) -> None:
        if rates.currency is None:
            return
        renewed = filled(deal, rates)
        if renewed is not deal:
            self._write(key, msgspec.structs.replace(renewed, version=deal.version + 1))

    def _partition(self, key: bytes) -> int:
        return int((murmur2(key) & 0x7FFFFFFF) % self._partitions)

    def _note_receipt(self, record: Record) -> None:
        received = received_at(record.headers)
        if received is not None:
            self._received.append(received)


def create_role(
    adapters: Adapters,
    rates: Callable[[], Rates],
    known_reports: ReportTable,
    partitions: int,
    tables: tuple[Table, ...] = (),
) -> Role:
    """The normaliser as the stream runtime runs it; ``tables`` are what fills ``known_reports``."""
    return Role(
        name="normalise",
        state_topics=(DEALS,),
        input_topics=(INBOX,),
        make_shard=lambda number: NormaliseShard(number, adapters, rates, known_reports, partitions),
        tables=tables,
        ended=metrics.take_back,
    )
