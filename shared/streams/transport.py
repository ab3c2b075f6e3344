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
* **Stalls.** Fetches wait 50 ms instead of 1500 (a second when nothing has come for one), and the fetch loop wakes when
  a partition is resumed instead of sleeping.
* **Read committed.** Records of open and aborted transactions are not seen.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.tuples import ConsumerMessage

from shared.errors import LogRewound
from shared.streams.fetching import BatchThread, Drained
from shared.streams.safety import StrictProducer


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

    def _in_turn(self, drained: Drained, epoch: int) -> Iterator[Fetched]:
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
        do="Restore the topic, or run `headroom rebuild all` to start over from what it holds now",
    )


class BatchTransport(driver.Transport):
    """Registered as ``batches://``; its address is ignored in favour of the app's Kafka settings."""

    Consumer = BatchConsumer
    Producer = StrictProducer
