"""Fetches in the thread that talks to the broker: what came of each partition, and where its position is now.

A fetch is taken whole and in order; whether it may be is looked at in the very moment of taking, for a record that was
taken and then dropped would be lost. ``transport`` makes messages of what leaves the thread.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiokafka
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from shared.kafka import connection_options

FETCH_WAIT_MS = 50
"""What the broker keeps a fetch for while records come: meanwhile it is not asked about partitions that joined."""

QUIET_FETCH_WAIT_MS = 1000
QUIET_AFTER = 1.0
"""Seconds without a record after which the broker may keep a fetch for longer; a record still ends it at once."""


@dataclass(slots=True)
class Drained:
    """One fetch as it leaves the thread: records and positions by partition, and how far each log reaches now."""

    records: Mapping[TP, list[Any]] = field(default_factory=dict)
    positions: dict[TP, int] = field(default_factory=dict)
    ends: dict[TP, int] = field(default_factory=dict)


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    app: Any
    consumer: Any
    """The consumer that fetches through this thread: whether the flow is active, and since which seek."""

    _wake: asyncio.Future[None] | None = None
    _taken = 0.0
    """When a fetch was taken last, by the thread's loop."""

    def _create_worker_consumer(self, transport: Any) -> aiokafka.AIOKafkaConsumer:
        conf, app = self.app.conf, self.app
        # Faust's own assignor keeps partitions of one number together and where they were; it is what tells the app
        # its assignment, so it is used with or without tables.
        self._assignor = app.assignor
        return aiokafka.AIOKafkaConsumer(
            **connection_options(app.kafka),
            client_id=conf.broker_client_id,
            group_id=conf.id,
            group_instance_id=conf.consumer_group_instance_id,
            partition_assignment_strategy=[self._assignor],
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            max_poll_records=conf.broker_max_poll_records,
            max_poll_interval_ms=int(conf.broker_max_poll_interval * 1000),
            max_partition_fetch_bytes=conf.consumer_max_fetch_size,
            fetch_max_wait_ms=FETCH_WAIT_MS,
            request_timeout_ms=int(conf.broker_request_timeout * 1000),
            session_timeout_ms=int(conf.broker_session_timeout * 1000),
            rebalance_timeout_ms=int(conf.broker_rebalance_timeout * 1000),
            heartbeat_interval_ms=int(conf.broker_heartbeat_interval * 1000),
            metadata_max_age_ms=conf.consumer_metadata_max_age_ms,
        )

    def wake(self) -> None:
        """Let a waiting fetch look again; callable from the app's loop."""
        self.thread_loop.call_soon_threadsafe(self._wake_now)

    def _wake_now(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def drain(self, active: set[TP], seen: dict[TP, int], epoch: int, timeout: float) -> Drained:
        """Take what has been fetched of ``active`` partitions; wait up to ``timeout`` seconds for something to happen.

        ``seen`` are the positions already delivered. Nothing is taken once the epoch has moved on or the flow stopped:
        taking advances the position, so a record taken and then dropped would be lost. What comes within the role's
        ``gather`` after a fetch was taken is taken with what follows it: while it lies there, its broker is asked for
        no more, so that of a trickle not each record becomes a fetch of its own.
        """
        consumer = self._ensure_consumer()
        return await self.call_thread(self._drain, consumer, active, seen, epoch, timeout)  # type: ignore[no-any-return]

    async def _drain(
        self, consumer: aiokafka.AIOKafkaConsumer, active: set[TP], seen: dict[TP, int], epoch: int, timeout: float
    ) -> Drained:
        fetcher, subscriptions = consumer._fetcher, consumer._subscription
        deadline = self.thread_loop.time() + timeout
        await asyncio.sleep(self._taken + self.app.gather - self.thread_loop.time())
        with subscriptions.fetch_context():
            while True:
                if consumer._closed or fetcher._closed:
                    raise ConsumerStoppedError
                if self.consumer.epoch != epoch or not self.consumer.flow_active:
                    return Drained()
                if active and not subscriptions.reassignment_in_progress:
                    limit = consumer._max_poll_records
                    _hand_on_as_parsed(fetcher)
                    records = await fetcher.fetched_records(active, timeout=0, max_records=limit)
                    drained = self._with_positions(subscriptions, active, seen, records)
                    if drained.positions:
                        self._moved(fetcher)
                        return drained
                left = deadline - self.thread_loop.time()
                if left <= 0:
                    return self._with_positions(subscriptions, active, seen, {})
                if self.thread_loop.time() - self._taken > QUIET_AFTER:
                    fetcher._fetch_max_wait_ms = QUIET_FETCH_WAIT_MS
                await self._something(fetcher, left)

    def _moved(self, fetcher: Any) -> None:
        self._taken = self.thread_loop.time()
        fetcher._fetch_max_wait_ms = FETCH_WAIT_MS

    async def _something(self, fetcher: Any, timeout: float) -> None:
        self._wake = self.thread_loop.create_future()
        data = fetcher._create_fetch_waiter()
        try:
            await asyncio.wait({data, self._wake}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if data.done():
                data.result()  # an authorisation error of the group arrives here
        finally:
            data.cancel()
            self._wake.cancel()

    def _with_positions(
        self, subscriptions: Any, active: set[TP], seen: dict[TP, int], records: Mapping[Any, list[Any]]
    ) -> Drained:
        drained = Drained({TP(*tp): taken for tp, taken in records.items()})
        assignment = subscriptions.subscription and subscriptions.subscription.assignment
        if not assignment:
            return drained
        for raw in assignment.tps:
            state, tp = assignment.state_value(raw), TP(*raw)
            if state.lso is not None:
                drained.ends[tp] = state.lso
            if tp in active and state.has_valid_position and state.position != seen.get(tp):
                drained.positions[tp] = state.position
        return drained

    async def seek_all(self, offsets: Mapping[TP, int]) -> None:
        """Set the position of each partition."""
        await self.call_thread(self._seek_all, self._ensure_consumer(), offsets)

    async def _seek_all(self, consumer: aiokafka.AIOKafkaConsumer, offsets: Mapping[TP, int]) -> None:
        for tp, offset in offsets.items():
            consumer.seek(aiokafka.TopicPartition(*tp), offset)
        self._moved(consumer._fetcher)

    async def committed_offsets(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        """What the group has committed, by partition."""
        return await self.call_thread(self._committed, self._ensure_consumer(), tps)  # type: ignore[no-any-return]

    async def _committed(self, consumer: aiokafka.AIOKafkaConsumer, tps: Iterable[TP]) -> dict[TP, int | None]:
        found = await asyncio.gather(*(consumer.committed(aiokafka.TopicPartition(*tp)) for tp in tps))
        return dict(zip(tps, found, strict=True))


def _hand_on_as_parsed(fetcher: Any) -> None:
    """Let records leave the fetcher as its parser made them: offset, timestamp, key, value and headers.

    Copying each into a ``ConsumerRecord`` would cost more than parsing it.
    """
    for result in fetcher._records.values():
        parser = getattr(result, "_partition_records", None)
        if parser is not None:
            parser._consumer_record = _as_parsed


def _as_parsed(_: Any, record: Any) -> Any:
    return record
