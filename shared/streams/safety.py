"""Faust's remaining holes, closed: how a worker fails and how its producer flushes.

* ``ProducerBuffer.flush`` gives up after 100 ms without progress, and the commit follows: ``StrictProducer.flush``
  waits until every record is acknowledged.
* Stock's producer is not idempotent and only logs a failed send: ours is, and a failure ends the process.
* An exception in an agent acknowledges its event and restarts the agent: ``end_process`` leaves at once instead, before
  anything can be committed.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, NoReturn, cast

import aiokafka
from faust.transport import producer
from faust.transport.drivers import aiokafka as driver

from shared.kafka import connection_options

log = logging.getLogger(__name__)

Fail = Callable[[BaseException], None]


def end_process(error: BaseException) -> NoReturn:
    """Log and leave without committing, flushing or running any handler; the supervisor starts the process again."""
    log.critical("ending the process: %s", error, exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class StrictProducer(driver.Producer):
    """Faust's producer, whose ``flush`` means flushed."""

    app: Any
    buffer: producer.ProducerBuffer

    def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
        return aiokafka.AIOKafkaProducer(
            **connection_options(self.app.kafka),
            client_id=self.client_id,
            acks="all",
            enable_idempotence=True,
            linger_ms=self.linger_ms,
            request_timeout_ms=int(self.request_timeout * 1000),
        )

    async def flush(self) -> None:
        """Return when the buffer is empty and the broker has everything; raise when the producer has died."""
        while self.buffer.size:
            if self.buffer.state != "running":
                raise RuntimeError(f"{self.buffer.size} records are unsent and the producer is {self.buffer.state}")
            self.buffer.message_sent.clear()
            with suppress(TimeoutError):
                # A second without progress is a reason to look again, not to give up.
                await asyncio.wait_for(self.buffer.message_sent.wait(), 1.0)
        if self._producer is not None:
            await self._producer.flush()

    async def send(self, *args: Any, **kwargs: Any) -> Awaitable[Any]:
        """As stock; a record that cannot be delivered ends the process instead of being logged."""
        sent = cast("asyncio.Future[Any]", await super().send(*args, **kwargs))
        sent.add_done_callback(self._check_sent)
        return sent

    def _check_sent(self, sent: "asyncio.Future[Any]") -> None:
        error = None if sent.cancelled() else sent.exception()
        if error is not None:
            self.app.fail(error)
