"""The delivery worker: lease what is due, attempt it, settle what came of it.

The order of effects for one delivery: leased in PostgreSQL → sent → attempt and verdict in one transaction. Killed
between the last two, it is sent again under the same event id. Each attempt is a task of its own and each subscription
has only so many at a time, so a receiver that hangs holds up nobody else. What is told together becomes a delivery when
its window closes.
"""

import asyncio
import random
import uuid
from collections import Counter
from datetime import datetime, timedelta

import structlog
from opentelemetry.trace import SpanKind
from prometheus_client import Histogram

from services.notifier import metrics
from services.notifier.channels.webhook import Webhook
from services.notifier.domain.messages import GROUPED
from services.notifier.domain.schedule import Delivered, judge
from services.notifier.store.grouped import Grouped
from services.notifier.store.queue import Attempt, Leased, Queue, Settlement, outcome
from shared import tracing
from shared.clock import Clock, WallClock
from shared.db import DATABASE_ERRORS, patiently

RELEASE_WITHIN = 2.0
SETTLED_TOGETHER = 200
GATHER_AT = 2
"""At every so many polls it is looked whose windows, minutes long, have closed."""

log = structlog.get_logger(__name__)


class Worker:
    """Makes deliveries until it is cancelled."""

    def __init__(
        self,
        queue: Queue,
        grouped: Grouped,
        webhook: Webhook,
        *,
        concurrency: int,
        per_endpoint: int,
        lease: float,
        poll: float,
        clock: Clock | None = None,
    ) -> None:
        """``clock`` is the system's, by which sources tell their time; wall time if not given."""
        self._queue, self._grouped, self._webhook = queue, grouped, webhook
        self._concurrency, self._per_endpoint, self._lease, self._poll = concurrency, per_endpoint, lease, poll
        self._clock, self._system_clock = WallClock(), clock or WallClock()
        self._under_way: dict[int, uuid.UUID] = {}
        self._over: asyncio.Queue[Settlement] = asyncio.Queue()
        self._wake = asyncio.Event()
        self._left = True
        """Whether more may be due than there was room for at the last look; one that is over makes room."""

    def wake(self) -> None:
        """Something was planned or came free: look now rather than at the next poll."""
        self._wake.set()

    async def run(self) -> None:
        """Lease and attempt for ever; an error that is not the database being away ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._renew())
                tasks.create_task(self._settle())
                tasks.create_task(self._gather())
                while True:
                    await self._round(tasks)
        finally:
            await self._release()

    async def _round(self, tasks: asyncio.TaskGroup) -> None:
        """Begin what is due, then wait until there may be more."""
        self._wake.clear()
        for leased in await self._take():
            self._under_way[leased.id] = leased.subscription
            tasks.create_task(self._deliver(leased))
        try:
            await asyncio.wait_for(self._wake.wait(), self._poll)
        except TimeoutError:
            return

    async def _take(self) -> list[Leased]:
        room = self._concurrency - len(self._under_way)
        self._left = True
        if room <= 0:
            return []
        under_way = Counter(self._under_way.values())
        leased = await patiently(
            "leasing deliveries",
            lambda: self._queue.take(
                room=room, per_endpoint=self._per_endpoint, under_way=under_way, mine=list(self._under_way)
            ),
        )
        under_way.update(one.subscription for one in leased)
        self._left = len(leased) == room or any(count >= self._per_endpoint for count in under_way.values())
        return leased

    async def _renew(self) -> None:
        """Show that this worker lives, three times in the time of a lease."""
        while True:
            await asyncio.sleep(self._lease / 3)
            if self._under_way:
                await patiently("renewing leases", lambda: self._queue.renew(list(self._under_way)))

    async def _gather(self) -> None:
        """Close the windows whose time has come, for ever."""
        while True:
            made = await patiently("gathering what is told together", self._grouped.gather)
            if made:
                metrics.PLANNED.labels(GROUPED).inc(made)
                self.wake()
            await asyncio.sleep(self._poll * GATHER_AT)

    async def _deliver(self, leased: Leased) -> None:
        """One attempt."""
        began = self._clock.now()
        with tracing.span("deliver", leased.trace, SpanKind.CLIENT, attempt=leased.attempts + 1) as span:
            carried = tracing.current() or leased.trace
            answer, seconds, text = await self._webhook.send(
                leased.url, leased.event, leased.body, leased.active, began, carried
            )
            if answer.status is None or answer.status >= 400:
                tracing.failed(span, answer.failure or f"answered {answer.status}")
        verdict = judge(answer, leased.attempts + 1, self._clock.now(), random.uniform(-1, 1))
        self._over.put_nowait(
            Settlement(leased, Attempt(began, timedelta(seconds=seconds), answer.status, text), verdict)
        )

    async def _settle(self) -> None:
        """Settle what is over, for ever; while one transaction is under way the next one gathers."""
        while True:
            over = [await self._over.get(), *self._at_once()]
            held = await patiently("settling deliveries", lambda: self._queue.settle(over))  # noqa: B023 - awaited here
            for one in over:
                del self._under_way[one.leased.id]
                self._count(one, one.leased.id in held)
            if self._left:
                self.wake()

    def _at_once(self) -> list[Settlement]:
        """What more is over by now."""
        return [self._over.get_nowait() for _ in range(min(self._over.qsize(), SETTLED_TOGETHER))]

    async def _release(self) -> None:
        """Settle what is over and leave the rest to others; if that cannot be said, the leases run out."""
        try:
            async with asyncio.timeout(RELEASE_WITHIN):
                if over := self._at_once():
                    await self._queue.settle(over)
                await self._queue.release()
        except DATABASE_ERRORS as error:
            log.warning("the leases could not be given back and will run out", error=type(error).__name__)

    def _count(self, one: Settlement, held: bool) -> None:
        leased, verdict = one.leased, one.verdict
        said = outcome(verdict) if held else "lost"
        metrics.ATTEMPTS.labels(leased.channel, said).inc()
        metrics.ATTEMPT_SECONDS.labels(leased.channel).observe(one.attempt.took.total_seconds())
        if held and isinstance(verdict, Delivered):
            _observe(metrics.LATENCY, leased.recorded, self._clock)
            _observe(metrics.RECEIVED_TO_DELIVERY, leased.arrived, self._clock)
            _observe(metrics.EVENT_TO_DELIVERY, leased.happened, self._system_clock)
        else:
            trace = {} if leased.trace is None else {"trace_id": leased.trace.decode().split("-")[1]}
            log.info(
                "delivery attempted",
                delivery=leased.id,
                message=leased.event,
                outcome=said,
                reason=verdict.reason,
                **trace,
            )


def _observe(latency: Histogram, since: datetime | None, clock: Clock) -> None:
    """How long it is since then; nothing where that is not known."""
    if since is not None:
        latency.observe(max(0.0, (clock.now() - since).total_seconds()))
