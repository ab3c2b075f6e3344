"""Events made durable: appended to ``inbox.v1`` and acknowledged by all replicas before anyone is answered.

What requests hand over within a few milliseconds goes to Kafka together, all partitions in one request to their broker:
a request to Kafka costs broker and door more than a record does. The producer's own lingering would not do, for each of
its partitions lingers by itself. The producer is idempotent: a broker that restarts gets each record once. What a
request handed over is written or not whatever becomes of the request: one that was told 503, or lost its connection,
may find its events there all the same, and sending them again changes nothing.

Killed between append and answer: the sender gets no answer and sends again.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from services.ingest import metrics
from shared.errors import NotReady
from shared.kafka import create_producer
from shared.schemas.envelope import Headers
from shared.settings import KafkaSettings
from shared.topics import INBOX

GATHER_SECONDS = 0.008
GATHER_MOST = 256
"""Records that wait for no others: as many as fill a request to Kafka well."""
CONNECT_EVERY = 0.5
TOPIC_WITHIN = 2.0
OVERHEAD = 64
TRY_AGAIN = "Send the same again; an event that was taken in already changes nothing"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InboxRecord:
    """One object as it came."""

    key: bytes
    value: bytes
    headers: Headers


@dataclass(slots=True, eq=False)
class _Append:
    """The records of one request on their way; ``settled`` gets the task that sent them, or None when time is up."""

    producer: AIOKafkaProducer
    records: Sequence[InboxRecord]
    size: int
    settled: "asyncio.Future[asyncio.Task[None] | None]"

    def give_up(self) -> None:
        """Wait no longer."""
        if not self.settled.done():
            self.settled.set_result(None)


class Inbox:
    """The producer of ``inbox.v1``. ``append`` may be called as soon as ``start`` was, ready or not."""

    def __init__(self, kafka: KafkaSettings, *, append_timeout: float, waiting_limit: int) -> None:
        """``append_timeout`` in seconds, ``waiting_limit`` in bytes handed to Kafka and not acknowledged."""
        self._kafka = kafka
        self._topic = kafka.topic_prefix + INBOX.name
        self._timeout = append_timeout
        self._limit = waiting_limit
        self._waiting = 0
        self._gathered: list[_Append] = []
        self._gathered_records = 0
        self._gathering: asyncio.TimerHandle | None = None
        self._producer: AIOKafkaProducer | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._trouble = "Kafka has not answered yet"

    async def start(self) -> None:
        """Begin to connect; returns at once, so that the door can say why it is not ready."""
        self._connecting = asyncio.create_task(self._connect(), name="connect inbox")

    async def stop(self) -> None:
        """Write out what was handed over, as far as the broker takes it within the timeout."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        if self._producer is not None:
            producer, self._producer = self._producer, None
            self._send_gathered()
            await asyncio.sleep(0)  # A closed producer takes nothing: what was gathered goes first.
            try:
                await asyncio.wait_for(producer.stop(), self._timeout)
            except TimeoutError:
                log.warning("the broker is away; what was not acknowledged was not answered with 202 either")

    def trouble(self) -> str | None:
        """Why events cannot be taken in now, or None."""
        return self._trouble or None

    async def append(self, records: Sequence[InboxRecord]) -> None:
        """Make ``records`` durable, in order per key. Raises ``NotReady`` when that could not be confirmed in time."""
        if not records:
            return
        size = sum(len(record.value) + len(record.key) + OVERHEAD for record in records)
        producer = self._admit(size)
        started = time.perf_counter()
        self._waiting += size
        metrics.WAITING_BYTES.set(self._waiting)
        loop = asyncio.get_running_loop()
        ours = _Append(producer, records, size, loop.create_future())
        self._gather(loop, ours)
        # Not asyncio.wait, which does the same at three times the price; a caller that is cancelled takes nothing back.
        expiry = loop.call_later(self._timeout, ours.give_up)
        try:
            sending = await ours.settled
        finally:
            expiry.cancel()
        if sending is None:
            # The records stay with the producer, which writes them when the broker is back.
            why = "Kafka does not acknowledge"
            if producer is self._producer:
                self._trouble = why
            raise NotReady("the events could not be made durable in time", why=why, do=TRY_AGAIN)
        try:
            sending.result()
        except KafkaError as error:
            why = f"Kafka refused: {error!r}"
            raise NotReady("the events could not be made durable", why=why, do=TRY_AGAIN) from error
        metrics.APPEND_SECONDS.observe(time.perf_counter() - started)

    def _gather(self, loop: asyncio.AbstractEventLoop, ours: _Append) -> None:
        self._gathered.append(ours)
        self._gathered_records += len(ours.records)
        if self._gathered_records >= GATHER_MOST:
            self._send_gathered()
        elif self._gathering is None:
            self._gathering = loop.call_later(GATHER_SECONDS, self._send_gathered)

    def _send_gathered(self) -> None:
        """Hand over all that was gathered in one turn of the event loop, which the producer sends as one.

        A task for each request, so that a partition that takes no more holds up only those who write to it.
        """
        if self._gathering is not None:
            self._gathering.cancel()
            self._gathering = None
        gathered, self._gathered, self._gathered_records = self._gathered, [], 0
        for one in gathered:
            sending = asyncio.create_task(self._send(one.producer, one.records))
            sending.add_done_callback(partial(self._settled, one))

    async def _send(self, producer: AIOKafkaProducer, records: Sequence[InboxRecord]) -> None:
        acknowledged = [
            await producer.send(self._topic, record.value, record.key, headers=record.headers) for record in records
        ]
        for one in acknowledged:
            await one

    def _admit(self, size: int) -> AIOKafkaProducer:
        if self._producer is None:
            raise NotReady("events cannot be made durable now", why=self._trouble, do=TRY_AGAIN)
        if self._waiting + size > self._limit:
            why = f"{self._waiting} bytes wait for Kafka already"
            raise NotReady("events cannot be made durable now", why=why, do=TRY_AGAIN)
        return self._producer

    def _settled(self, one: _Append, sent: "asyncio.Task[None]") -> None:
        """The records of one request are written, perhaps after the request was answered with 503, or never will be."""
        self._waiting -= one.size
        metrics.WAITING_BYTES.set(self._waiting)
        error = None if sent.cancelled() else sent.exception()
        if error is None:
            if one.producer is self._producer:
                self._trouble = ""
        else:
            log.warning("events were not written", error=repr(error))
        if isinstance(error, KafkaError):
            self._lost(one.producer, error)
        if not one.settled.done():
            one.settled.set_result(sent)

    def _lost(self, producer: AIOKafkaProducer, error: KafkaError) -> None:
        """A producer that failed for good is replaced, also when nobody waits any more.

        Not at the next request: a door that is not ready gets none.
        """
        if self._producer is not producer:
            return
        self._trouble = f"Kafka refused: {error!r}"
        log.error("the inbox could not be written", error=repr(error))
        self._producer = None
        self._connecting = asyncio.create_task(self._replace(producer), name="replace inbox")

    async def _replace(self, producer: AIOKafkaProducer) -> None:
        try:
            await asyncio.wait_for(producer.stop(), self._timeout)
        except (KafkaError, TimeoutError) as error:
            log.warning("the former producer did not stop cleanly", error=repr(error))
        await self._connect()

    async def _connect(self) -> None:
        while True:
            producer = create_producer(self._kafka, linger_ms=0)
            try:
                await producer.start()
                async with asyncio.timeout(TOPIC_WITHIN):
                    await producer.partitions_for(self._topic)
            except (KafkaError, TimeoutError) as error:
                self._trouble = f"Kafka cannot be reached or has no {self._topic}: {error!r}"
                await producer.stop()
                await asyncio.sleep(CONNECT_EVERY)
                continue
            self._producer, self._trouble = producer, ""
            return
