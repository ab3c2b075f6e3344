"""What is done now and then: figures for the metrics, and forgetting what is older than it is kept."""

import asyncio
from datetime import timedelta
from time import monotonic

import structlog

from services.notifier import metrics
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.feed import Feed
from services.notifier.store.outbox import Outbox
from services.notifier.store.standing import Standing
from shared.clock import Clock
from shared.db import DATABASE_ERRORS, is_away

LOOK_EVERY = 2.0
STANDING_EVERY = 10.0
FORGET_EVERY = 3600.0

log = structlog.get_logger(__name__)


class Upkeep:
    """Looks after the tables; ``database_answers`` is what its last look found."""

    def __init__(
        self, deliveries: Deliveries, outbox: Outbox, feed: Feed, standing: Standing, *, clock: Clock, keep: timedelta
    ) -> None:
        """``clock`` is the system's: what people are late with is told by it."""
        self._deliveries, self._outbox, self._feed, self._keep = deliveries, outbox, feed, keep
        self._standing, self._clock = standing, clock
        self._forget_at = self._stand_at = 0.0
        self.database_answers = False

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self._look()
            except DATABASE_ERRORS as error:
                if not is_away(error):
                    raise
                self._database(False)
            else:
                self._database(True)
            await asyncio.sleep(LOOK_EVERY)

    def _database(self, answers: bool) -> None:
        if answers != self.database_answers:
            log.info("the database answers" if answers else "the database is away")
        self.database_answers = answers
        metrics.DATABASE_UP.set(answers)

    async def _look(self) -> None:
        pending, oldest = await self._deliveries.waiting()
        metrics.PENDING.set(pending)
        metrics.OLDEST.set(oldest)
        unsent, waiting = await self._outbox.waiting()
        metrics.OUTBOX_PENDING.set(unsent)
        metrics.OUTBOX_OLDEST.set(waiting)
        if monotonic() >= self._stand_at:
            await self._look_how_things_stand()
            self._stand_at = monotonic() + STANDING_EVERY
        if monotonic() >= self._forget_at:
            await self._forget()
            self._forget_at = monotonic() + FORGET_EVERY

    async def _look_how_things_stand(self) -> None:
        for state, count in (await self._standing.subscriptions()).items():
            metrics.SUBSCRIPTIONS.labels(state).set(count)
        late = await self._standing.late(self._clock.now())
        metrics.LATE.labels("acknowledge").set(late.acknowledge)
        metrics.LATE.labels("decide").set(late.decide)

    async def _forget(self) -> None:
        forgotten = {
            "deliveries": await self._deliveries.forget(self._keep),
            "feed": await self._feed.forget(self._keep),
            "outbox": await self._outbox.forget(self._keep),
        }
        if any(forgotten.values()):
            log.info("forgot what is older than it is kept", days=self._keep.days, **forgotten)
