"""Takes recalibrations in from the log.

The order of effects for one batch: what cannot be read → dead letters, acknowledged by Kafka; the rest → one PostgreSQL
transaction with the recalibrations, their deliveries and the feed; then the workers and streams are woken and the
runtime acknowledges the batch. A batch that comes again finds its transitions stored and plans nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from services.notifier import metrics
from services.notifier.store.recalibrations import Arrival, Recalibrations
from shared.db import patiently
from shared.schemas import recalibration as records
from shared.schemas.trace import happened_in, passage_in
from shared.streams.dead_letters import UNREADABLE, BrokenLimit, dead_letter
from shared.streams.shards import Batch, Outgoing, Record

NUL = rb"\u0000"


class RecalibrationSink:
    """The notifier's sink of ``recalibrations.v1``."""

    def __init__(
        self,
        store: Recalibrations,
        *,
        bury: Callable[[Sequence[Outgoing]], Awaitable[None]],
        taken: Callable[[], None],
        waiting: Callable[[], None],
    ) -> None:
        """``bury`` writes dead letters; ``taken`` hears of each stored batch, ``waiting`` that the database is away."""
        self._store, self._bury, self._taken, self._waiting = store, bury, taken, waiting
        self._limit = BrokenLimit()

    async def apply(self, batch: Batch) -> None:
        """Store ``batch`` and plan its deliveries; waits while the database is away.

        Raises ``TooManyBroken`` when too many of our own records cannot be read.
        """
        arrivals, broken = self._read(batch)
        if broken:
            await self._bury(broken)
        if arrivals:
            taken = await patiently(
                "storing recalibrations", lambda: self._store.take_in(arrivals), waiting=self._waiting
            )
            for one in taken.fresh:
                metrics.RECALIBRATIONS.labels(one.kind).inc()
            for message, count in taken.planned.items():
                metrics.PLANNED.labels(message).inc(count)
            self._taken()

    def _read(self, batch: Batch) -> tuple[list[Arrival], list[Outgoing]]:
        """The records that can be read, and dead letters of those that cannot. A tombstone only ends the log's copy."""
        arrivals, broken = [], []
        for record in batch.records:
            if record.value is None:
                continue
            try:
                arrivals.append(_arrival(record))
            except UNREADABLE as error:
                self._limit.broken(batch, record, str(error))
                broken.append(dead_letter(batch, record, "not-a-recalibration", str(error)))
        return arrivals, broken


def _arrival(record: Record) -> Arrival:
    value = record.value or b""
    if NUL in value:
        # PostgreSQL has no such character; nothing that writes recalibrations has a use for it.
        raise ValueError("the record has a NUL character")
    recorded = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Arrival(records.decode(value), recorded, passage_in(record.headers), happened_in(record.headers))
