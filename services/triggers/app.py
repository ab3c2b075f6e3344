"""Builds the triggers process: the plans' reader, the shard, and what it serves."""

import asyncio
from collections.abc import Iterator

from fastapi import FastAPI

from services.triggers.agents import Plans, TriggersShard
from services.triggers.metrics import trigger_series
from services.triggers.settings import TriggersSettings
from shared.http import create_ops_app, serve
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import Role
from shared.topics import EPISODES, FRAMES, PLANS


def create_role(plans: Plans) -> Role:
    """The role ``triggers``: one shard over episodes and frames, both read from their beginning."""
    return Role(
        name="triggers",
        state_topics=(EPISODES, FRAMES),
        input_topics=(),
        make_shard=lambda _: TriggersShard(plans.book),
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
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(serve(self.app, self._settings.http, stop))
            worker = tasks.create_task(self._evaluate())
            await stop.wait()
            worker.cancel()

    async def _evaluate(self) -> None:
        reader = TableReader(self._settings.kafka, PLANS, self._plans.add)
        await reader.start()
        try:
            await reader.caught_up()
            self._plans_read = True
            clock = self._settings.clock.clock()
            await run(create_role(self._plans), kafka=self._settings.kafka, health=self._health, clock=clock)
        finally:
            await reader.stop()

    def _not_ready(self) -> Iterator[str]:
        if not self._plans_read:
            yield "the plans are not read yet"
        elif not self._health.assigned:
            yield "no partitions are assigned yet"
        elif not self._health.ready:
            yield "the episodes and frames are not read yet"


def create_app(settings: TriggersSettings) -> TriggersProcess:
    """The process these settings describe; nothing is connected yet."""
    return TriggersProcess(settings)
