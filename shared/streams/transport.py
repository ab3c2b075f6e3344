"""A Faust transport that moves micro-batches: one message per partition per fetch, its value the raw records.

Stock Faust spends its time per record: four tasks, a conductor call, an event, an acknowledgement. Here a fetch
becomes one message, and everything around it is kept: groups, rebalances, flow control, agents. What differs from
stock:

* **Positions.** A batch carries ``next_offset``, where reading goes on, and a batch without records is delivered when
  the position moves without one (transaction markers, compacted tails, an empty partition right after an assignment).
* **Commits.** A batch is acknowledged by naming the offset up to which its partition is done (``acknowledge``). That
  is one number per partition in place of the gap bookkeeping, which does not fit batches.
* **Seeks.** After each rebalance the app's planner says where every partition starts. ``epoch`` counts these seeks;
  what was fetched before one is dropped after it, in the fetching thread and again here, so nothing slips through
  between.
* **Stalls.** Fetches wait 50 ms instead of 1500, and the fetch loop wakes when a partition is resumed instead of
  sleeping.
* **Read committed.** Records of open and aborted transactions are not seen.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, cast

import aiokafka
from aiokafka.errors import ConsumerStoppedError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from shared.errors import LogRewound
from shared.kafka import connection_options
from shared.streams.safety import StrictProducer

FETCH_WAIT_MS = 50


@dataclass(frozen=True, slots=True)
class Fetched:
    """What one fetch brought of one partition: its records (perhaps none) and where reading goes on."""

    tp: TP
    records: list[Any]
    next_offset: int
    epoch: int


class Planner(Protocol):
    """Decides, after a rebalance, where each assigned partition starts."""

    async def plan(self, assigned: frozenset[TP], generation: int) -> Mapping[TP, int]:
        """The next offset to read of every assigned partition; may pause partitions before they deliver anything."""
        ...


@dataclass(slots=True)
class _Drained:
    """One fetch as it leaves the thread: records and positions by partition, and how far each log reaches now."""

    records: Mapping[TP, list[Any]] = field(default_factory=dict)
    positions: dict[TP, int] = field(default_factory=dict)
    ends: dict[TP, int] = field(default_factory=dict)


class BatchThread(driver.AIOKafkaConsumerThread):
    """The thread that talks to the broker."""

    app: Any
    consumer: "BatchConsumer"

    _wake: asyncio.Future[None] | None = None

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

    async def drain(self, active: set[TP], seen: dict[TP, int], epoch: int, timeout: float) -> _Drained:
        """Take what has been fetched of ``active`` partitions; wait up to ``timeout`` seconds for something to happen.

        ``seen`` are the positions already delivered. Nothing is taken once the epoch has moved on or the flow stopped:
        taking advances the position, so a record taken and then dropped would be lost.
        """
        consumer = self._ensure_consumer()
        return await self.call_thread(self._drain, consumer, active, seen, epoch, timeout)  # type: ignore[no-any-return]

    async def _drain(
        self, consumer: aiokafka.AIOKafkaConsumer, active: set[TP], seen: dict[TP, int], epoch: int, timeout: float
    ) -> _Drained:
        fetcher, subscriptions = consumer._fetcher, consumer._subscription
        deadline = self.thread_loop.time() + timeout
        with subscriptions.fetch_context():
            while True:
                if consumer._closed or fetcher._closed:
                    raise ConsumerStoppedError
                if self.consumer.epoch != epoch or not self.consumer.flow_active:
                    return _Drained()
                if active and not subscriptions.reassignment_in_progress:
                    limit = consumer._max_poll_records
                    _hand_on_as_parsed(fetcher)
                    records = await fetcher.fetched_records(active, timeout=0, max_records=limit)
                    drained = self._with_positions(subscriptions, active, seen, records)
                    if drained.positions:
                        return drained
                left = deadline - self.thread_loop.time()
                if left <= 0:
                    return self._with_positions(subscriptions, active, seen, {})
                await self._something(fetcher, left)

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
    ) -> _Drained:
        drained = _Drained({TP(*tp): taken for tp, taken in records.items()})
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


class BatchConsumer(driver.Consumer):
    """Faust's consumer, by batches."""

    app: Any
    _thread: BatchThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.epoch = 0
        self._sought = False
        self.ends: dict[TP, int] = {}
        self._seen: dict[TP, int] = {}
        self._done: dict[TP, int] = {}
        self._turn = 0
        super().__init__(*args, **kwargs)

    def _new_consumer_thread(self) -> BatchThread:
        return BatchThread(self, loop=self.loop, beacon=self.beacon)

    # -- fetching

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message per partition that moved; see the module's docstring."""
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        epoch = self.epoch
        if self.should_stop:
            return
        if not self._sought:
            # Faust resumes the flow also when seeking took too long; nothing may be read from positions nobody planned.
            await self.sleep(0.1)
            return
        drained = await self._thread.drain(self._active_partitions, self._seen, epoch, timeout)
        self.ends.update(drained.ends)
        if self.epoch != epoch:
            return
        for fetched in self._in_turn(drained, epoch):
            if not self.flow_active or self.epoch != epoch:
                return
            self._refuse_rewind(fetched)
            self._seen[fetched.tp] = fetched.next_offset
            yield fetched.tp, self._batch_message(fetched)

    def _in_turn(self, drained: _Drained, epoch: int) -> Iterator[Fetched]:
        """Partitions, beginning with another one each time so that none is always last."""
        tps = list(drained.positions)
        self._turn += 1
        start = self._turn % (len(tps) or 1)
        for tp in tps[start:] + tps[:start]:
            yield Fetched(tp, drained.records.get(tp, []), drained.positions[tp], epoch)

    def _refuse_rewind(self, fetched: Fetched) -> None:
        if fetched.next_offset < self._seen.get(fetched.tp, 0):
            raise rewound(fetched.tp, self._seen[fetched.tp], fetched.next_offset)

    def _batch_message(self, fetched: Fetched) -> ConsumerMessage:
        tp = fetched.tp
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            fetched.next_offset - 1,
            0.0,
            0,
            None,
            None,
            cast(Any, fetched),
            None,
            tp=tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_drop(self, tp: TP) -> None:
        super().on_buffer_drop(tp)
        self._thread.wake()

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        super().resume_partitions(tps)
        self._thread.wake()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Stalls are judged by ``health.Health``; stock's check takes a restore for one."""

    # -- seeking

    async def perform_seek(self) -> None:
        """Start every assigned partition where the planner says."""
        self.epoch += 1
        self._sought = False
        self._seen.clear()
        self._done.clear()
        assigned = frozenset(self.assignment())
        starts = await self.app.planner.plan(assigned, self.app.consumer_generation_id)
        self.ends = {tp: end for tp, end in self.ends.items() if tp in assigned}
        for tp in assigned:
            # Stock drops what lies below its read offset; with an epoch there is nothing to drop.
            self._read_offset[tp] = None
            self._committed_offset[tp] = None
        await self._thread.seek_all(starts)
        self._sought = True

    async def committed_offsets(self, tps: Iterable[TP]) -> dict[TP, int | None]:
        return await self._thread.committed_offsets(list(tps))

    # -- acknowledging

    def acknowledge(self, tp: TP, upto: int, epoch: int) -> None:
        """Everything of ``tp`` below ``upto`` is done; ignored when it was fetched before the last rebalance."""
        if epoch == self.epoch and upto > self._done.get(tp, -1):
            self._done[tp] = upto

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (tp for tp in list(self._done) if topics is None or tp in topics or tp.topic in topics)

    def _new_offset(self, tp: TP) -> int | None:
        return self._done.get(tp)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing to keep: a batch says itself where reading goes on."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        """As stock, but what counts as committed advances only when the broker has it."""
        assigned = self.assignment()
        ours = {tp: offset for tp, offset in offsets.items() if tp in assigned}
        if not ours:
            return False
        await self.app.producer.flush()
        if not await self._commit(ours):
            return False
        self._committed_offset.update(ours)
        return True


def rewound(tp: TP, applied: int, end: int) -> LogRewound:
    """The error of a topic that ends before what was already applied."""
    return LogRewound(
        f"the log ends at {end} but {applied} was already applied",
        where=f"{tp.topic}[{tp.partition}]",
        why="the topic was recreated or truncated",
        do="Restore the topic, or run `headroom rebuild` to start over from what it holds now",
    )


class BatchTransport(driver.Transport):
    """Registered as ``batches://``; its address is ignored in favour of the app's Kafka settings."""

    Consumer = BatchConsumer
    Producer = StrictProducer
