"""The relay: carries decisions from the outbox to ``decisions.v1``, strictly in order, one relay at a time.

The order of effects: turn taken in PostgreSQL → writer started, which fences the former relay's → rows written in one
Kafka transaction → rows marked sent. Killed between the last two, the same decisions come again under the same ids, and
their readers drop ids already seen.
"""

import asyncio
from collections.abc import Callable, Sequence

import structlog
from aiokafka.errors import ProducerFenced

from services.notifier import metrics
from services.notifier.store.outbox import Outbox, Turn, Unsent
from shared import tracing
from shared.db import DATABASE_ERRORS, is_away
from shared.schemas import decision as decisions
from shared.schemas.envelope import headers
from shared.streams.shards import Outgoing
from shared.streams.writer import FencedWriter
from shared.topics import DECISIONS

BATCH = 200
STANDBY_LOOK = 1.0
SOURCE = "notifier"

log = structlog.get_logger(__name__)


class Relay:
    """Relays while it has the turn, stands by while another has it."""

    def __init__(self, outbox: Outbox, make_writer: Callable[[], FencedWriter], *, poll: float) -> None:
        """``make_writer`` makes a writer, not started; ``poll`` are seconds between looks when nobody wakes it."""
        self._outbox, self._make_writer, self._poll = outbox, make_writer, poll
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """A decision was committed."""
        self._wake.set()

    async def run(self) -> None:
        """Relay for ever; a Kafka fault ends it, the database being away does not."""
        while True:
            try:
                async with self._outbox.turn() as turn:
                    if turn is not None:
                        await self._relay(turn)
            except ProducerFenced:
                log.warning("another relay has taken over")
            except DATABASE_ERRORS as error:
                if not is_away(error):
                    raise
                log.warning("the database is away, the relay waits", error=type(error).__name__)
            await asyncio.sleep(STANDBY_LOOK)

    async def _relay(self, turn: Turn) -> None:
        writer = self._make_writer()
        await writer.start()
        metrics.RELAYING.set(1)
        try:
            while True:
                self._wake.clear()
                rows = await turn.unsent(BATCH)
                if rows:
                    records = [_outgoing(row) for row in rows]
                    with tracing.batch_span("relay decisions", records):
                        await writer.write(records)
                    await turn.mark_sent(rows[-1].id)
                    metrics.RELAYED.inc(len(rows))
                if len(rows) < BATCH:
                    await self._pause()
        finally:
            metrics.RELAYING.set(0)
            await writer.stop()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll)
        except TimeoutError:
            return


def _outgoing(row: Unsent) -> Outgoing:
    record = decisions.decode(row.body)
    envelope: Sequence[tuple[str, bytes]] = headers(decisions.TYPE, record.id, SOURCE, record.at, row.trace)
    return Outgoing(DECISIONS, 0, record.recalibration.encode(), row.body, envelope)
