"""Faust's remaining holes, closed, and the guard that refuses to run on a Faust or aiokafka these remedies were not read against.

* ``ProducerBuffer.flush`` gives up after 100 ms without progress, and the commit follows: ``StrictProducer.flush`` waits
  until every record is acknowledged.
* Stock's producer is not idempotent and only logs a failed send: ours is, and a failure ends the process.
* An exception in an agent acknowledges its event and restarts the agent: ``end_process`` leaves at once instead, before
  anything can be committed.
"""

import asyncio
import hashlib
import inspect
import logging
import os
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import aiokafka
import faust
from aiokafka.consumer import fetcher
from aiokafka.consumer.subscription_state import TopicPartitionState
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.streams import Stream
from faust.tables.recovery import Recovery
from faust.transport import consumer, producer
from faust.transport.drivers import aiokafka as driver

from shared.errors import ConfigurationError
from shared.streams.client import client_options

log = logging.getLogger(__name__)


def end_process(error: BaseException) -> NoReturn:
    """Log and leave without committing, flushing or running any handler; the supervisor starts the process again."""
    log.critical("ending the process: %s", error, exc_info=error)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


class StrictProducer(driver.Producer):  # type: ignore[misc]
    """Faust's producer, whose ``flush`` means flushed."""

    def _new_producer(self, transactional_id: str | None = None) -> aiokafka.AIOKafkaProducer:
        return aiokafka.AIOKafkaProducer(
            **client_options(self.app.kafka),
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
            await asyncio.wait({asyncio.ensure_future(self.buffer.message_sent.wait())}, timeout=1.0)
        if self._producer is not None:
            await self._producer.flush()


FAUST, AIOKAFKA = "0.15.3", "0.14.0"

# What the transport overrides, calls or copies the behaviour of. A change in any of it has to be read before it is run.
READ: dict[Callable[..., Any], str] = {}


def source_hash(function: Callable[..., Any]) -> str:
    """SHA-256 of a function's source, shortened to 16 digits."""
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]
