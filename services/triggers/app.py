"""Builds the triggers process: the plans' reader, the shard, and what it serves."""

import asyncio
from collections.abc import Iterator

from fastapi import FastAPI

from services.triggers.agents import Begin, TriggersShard
from services.triggers.metrics import take_back, trigger_series
from services.triggers.plans import Plans
from services.triggers.settings import TriggersSettings
from shared.http import create_ops_app, serve_beside
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import Role, Table
from shared.topics import EPISODES, FRAMES, PLANS


def create_role(plans: Plans, begin: Begin, begins: Table) -> Role:
    """The role ``triggers``: one shard over all episodes and the frames from ``begin`` on, which ``begins`` reads."""
    return Role(
        name="triggers",
        state_topics=(EPISODES, FRAMES),
        input_topics=(),
        make_shard=lambda _: TriggersShard(plans.book),
        tables=(begins,),
        begin=lambda _: {FRAMES: begin.frame},
        ended=take_back,
    )


class TriggersProcess:
    """The process, built and not yet running."""

    def __init__(self, settings: TriggersSettings) -> None:
        self._settings = settings
        self._plans = Plans()
        self._health = Health()
        self._plans_read = False
        self.app: FastAPI = create_ops_app("Headroom triggers", self._not_ready, trigger_series, stream_series)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve at once, read the plans, then evaluate frames until ``stop`` is set."""
        await serve_beside(self._evaluate(), self.app, self._settings.http, stop)

    async def _evaluate(self) -> None:
        kafka, begin = self._settings.kafka, Begin()
        begins = TableReader(kafka, EPISODES, begin.add)
        async with begins, TableReader(kafka, PLANS, self._plans.add) as plans:
            await plans.caught_up()
            self._plans_read = True
            role = create_role(self._plans, begin, begins)
            await run(role, kafka=kafka, health=self._health, clock=self._settings.clock.clock())

    def _not_ready(self) -> Iterator[str]:
        if not self._plans_read:
            yield "the plans are not read yet"
        else:
            yield from self._health.reasons("the episodes and frames are not read yet")


def create_app(settings: TriggersSettings) -> TriggersProcess:
    """The process these settings describe; nothing is connected yet."""
    return TriggersProcess(settings)
