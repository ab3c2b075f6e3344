"""Builds the views process: the sink that keeps the read models, and the API that answers from them."""

import asyncio
from collections.abc import Iterator

from fastapi import FastAPI

from services.capacity import api
from services.capacity.metrics import views_series
from services.capacity.store import ReadingModels, WritingModels
from services.capacity.views import PublishedPlans, ViewsSink
from shared.access import Keys
from shared.db import create_engine
from shared.http import create_ops_app, serve
from shared.settings import Settings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import SinkRole
from shared.topics import DEALS, FRAMES, PLANS

CONNECTIONS = 10
LOOK_EVERY = 2.0
"""Seconds between looks whether the tables still hold what this process wrote."""


class ViewsProcess:
    """The process, built and not yet running."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = create_engine(settings.database_url, pool_size=CONNECTIONS)
        self._plans = PublishedPlans()
        self._health = Health()
        self._plans_read = False
        self.app: FastAPI = create_ops_app("Headroom capacity", self._not_ready, views_series, stream_series)
        self.app.state.keys = Keys(self._engine, settings.bootstrap_key_hash)
        api.install(self.app, ReadingModels(self._engine), self._plans.get)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve at once, read the plans, then keep the read models until ``stop`` is set."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(serve(self.app, self._settings.http, stop))
                worker = tasks.create_task(self._keep())
                await stop.wait()
                worker.cancel()
        finally:
            await self._engine.dispose()

    async def _keep(self) -> None:
        reader = TableReader(self._settings.kafka, PLANS, self._plans.add)
        await reader.start()
        try:
            await reader.caught_up()
            self._plans_read = True
            sink = ViewsSink(WritingModels(self._engine), self._health.progressed, self._settings.clock.clock())
            role = SinkRole(name="views", topics=(FRAMES, DEALS), sink=sink)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_look(sink))
                tasks.create_task(run(role, kafka=self._settings.kafka, health=self._health))
        finally:
            await reader.stop()

    def _not_ready(self) -> Iterator[str]:
        if not self._plans_read:
            yield "the plans are not read yet"
        elif not self._health.ready:
            yield "no partitions are assigned yet"


async def _look(sink: ViewsSink) -> None:
    """Notice tables that were emptied or restored also while no record comes; what is missing ends the process."""
    while True:
        await asyncio.sleep(LOOK_EVERY)
        await sink.check()


def create_app(settings: Settings) -> ViewsProcess:
    """The process these settings describe; nothing is connected yet."""
    return ViewsProcess(settings)
