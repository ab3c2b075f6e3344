"""The live book in a process that answers questions: it follows the log beside the projection and publishes nothing.

Everything that touches the book runs in one thread of its own, in the order in which it came: records, and questions
between them. So a question sees a book that stands still, may fork it for an overlay, and never keeps the process's
event loop from its own work for longer than Python's threads take turns. The book is brought up to date when somebody
asks, not at every mark. What a question needs but the book does not (a plan read from its text) is made beside it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, TypeVar

from services.capacity import metrics
from services.capacity.domain.projector import PlanInForce, Projector
from services.capacity.domain.what_if import told_by
from shared.clock import Clock
from shared.errors import LogRewound, NotReady
from shared.settings import KafkaSettings
from shared.streams.restore import TableReader
from shared.streams.safety import Fail, end_process
from shared.streams.shards import Batch, Record, Shard
from shared.topics import CELLS, DECISIONS, REPORTS, SIGNALS, Topic

Answer = TypeVar("Answer")

FOLLOWED: Final = (CELLS, REPORTS, DECISIONS, SIGNALS)
MOST_WAITING: Final = 256
"""Questions that wait or are being answered; who comes then is asked to come again."""
MOST_PREPARED: Final = 8
"""What waits or is being made beside the book; it takes seconds each."""
_GATHER: Final = 0.1
"""Seconds that records gather in on a busy system; each flush of the fold would else be a fetch of its own."""
_GATHERED: Final = 2000
"""Records that are taken in together, at most, while nobody asks."""


@dataclass
class Live:
    """The live book as a question sees it. ``told`` are the parts of frames that replace former ones, by name."""

    projector: Projector
    now: datetime
    in_force: PlanInForce
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> dict[int, int]:
        """The deals offset applied, by partition."""
        return {partition: mark.upto for partition, mark in self.projector.book.marks.items()}


class _Thread:
    """A thread that does one thing after the other for the event loop, and not more than ``most`` at once."""

    def __init__(self, name: str, most: int) -> None:
        self.pool = ThreadPoolExecutor(1, name)
        self._most, self._asked = most, 0

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """What ``work`` answers. Raises ``NotReady`` while too many others wait."""
        if self._asked >= self._most:
            why = f"{self._asked} questions are being answered"
            raise NotReady("too many questions wait here", why=why, do="Ask again in a moment.")
        self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self.pool, work)
        finally:
            self._asked -= 1

    def end(self) -> None:
        self.pool.shutdown(wait=False, cancel_futures=True)


class LiveBook:
    """Follows the log and answers questions, one after the other."""

    def __init__(
        self,
        projector: Projector,
        shard: Shard,
        plan_in_force: Callable[[], PlanInForce | None],
        clock: Clock,
        on_failure: Fail = end_process,
    ) -> None:
        """``shard`` takes records into ``projector``; nobody else touches the two."""
        self._projector, self._shard = projector, shard
        self._plan_in_force, self._clock, self._on_failure = plan_in_force, clock, on_failure
        self._thread = _Thread("live-book", MOST_WAITING)
        self._beside = _Thread("beside-the-book", MOST_PREPARED)
        self._pending: deque[tuple[Topic, Record]] = deque()
        self._restored = False
        self._told: dict[str, Any] = {}
        self._next: dict[Topic, int] = {}

    async def follow(self, kafka: KafkaSettings) -> None:
        """Read the log, and go on reading it until cancelled."""
        readers = [
            TableReader(kafka, topic, self._taker(topic), self._on_failure, gather=_GATHER) for topic in FOLLOWED
        ]
        started: list[TableReader] = []
        try:
            for reader in readers:
                await reader.start()
                started.append(reader)
            for reader in readers:
                await reader.caught_up()
            await asyncio.get_running_loop().run_in_executor(self._thread.pool, self._restore)
            await asyncio.Event().wait()
        finally:
            for reader in started:
                await reader.stop()
            self._thread.end()
            self._beside.end()

    async def reached(self) -> dict[int, int]:
        """How far the book is: the deals offset applied, by partition."""
        return await self.ask(lambda live: live.reached)

    async def ask(self, question: Callable[[Live], Answer]) -> Answer:
        """The answer of ``question``, which runs in the book's thread and must not change it.

        Raises ``NotReady`` before the log is read, without a plan, and while too many others wait.
        """
        self._check_restored()
        return await self._thread.run(lambda: self._answer(question))

    async def prepare(self, making: Callable[[PlanInForce], Answer]) -> Answer:
        """What ``making`` makes of the plan in force, in a thread where no question waits for it.

        Raises ``NotReady`` as ``ask`` does.
        """
        self._check_restored()
        in_force = self._now_in_force()
        return await self._beside.run(lambda: making(in_force))

    def _check_restored(self) -> None:
        if not self._restored:
            raise NotReady("the book is not read yet", why="this process has just started", do="Ask again in a moment.")

    def _now_in_force(self) -> PlanInForce:
        if (in_force := self._plan_in_force()) is None:
            raise NotReady("no plan is in force", do="Publish one: `headroom plan apply FILE`.")
        return in_force

    def take(self, topic: Topic, records: Sequence[Record]) -> None:
        """Records of a topic that is followed, in their order. Raises LogRewound when they begin anew."""
        if records[0].offset < self._next.get(topic, 0):
            raise LogRewound(
                f"it goes on at offset {records[0].offset}, {self._next[topic]} was reached",
                where=topic.name,
                why="the topic was created again",
                do="This process ends, and reads it from its beginning",
            )
        self._next[topic] = records[-1].offset + 1
        self._pending.extend((topic, record) for record in records)
        if len(self._pending) >= _GATHERED and len(self._pending) % _GATHERED < len(records):
            self._thread.pool.submit(self._take_in).add_done_callback(self._failed)

    def _taker(self, topic: Topic) -> Callable[[Record], None]:
        return lambda record: self.take(topic, [record])

    def _failed(self, done: "Future[None]") -> None:
        # What cannot be taken in would be missing in every answer.
        if not done.cancelled() and (error := done.exception()) is not None:
            self._on_failure(error)

    def _restore(self) -> None:
        self._take_in()
        self._shard.restored({})
        self._restored = True

    def _take_in(self) -> None:
        while self._pending:
            topic, record = self._pending.popleft()
            self._shard.apply(Batch(topic, 0, (record,), record.offset + 1, restoring=not self._restored))

    def _answer(self, question: Callable[[Live], Answer]) -> Answer:
        with metrics.QUESTION_SECONDS.time():
            self._take_in()
            in_force, now = self._now_in_force(), self._clock.now()
            made = self._projector.project(now, in_force)
            self._told.update(told_by(made))
            return question(Live(self._projector, now, in_force, dict(self._told)))
