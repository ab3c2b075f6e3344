"""Builds the views process: the sink that keeps the read models, the live book, and the API that answers from both."""

import asyncio
from collections.abc import Iterator

from fastapi import FastAPI

from services.capacity import api, overlays, questions
from services.capacity.agents.plans import Plans
from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import Projector
from services.capacity.live import LiveBook
from services.capacity.metrics import views_series
from services.capacity.store.reading import ReadingModels
from services.capacity.store.writing import WritingModels
from services.capacity.views import ViewsSink
from shared.access import Keys
from shared.db import create_engine
from shared.http import BodyLimit, create_ops_app, serve_beside
from shared.settings import Settings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import SinkRole
from shared.topics import DEALS, FRAMES, PLANS

CONNECTIONS = 10
LARGEST_OVERLAY = 2 * 1024 * 1024
"""Bytes of a request: a whole plan with its deals is less."""
GATHER = 0.4
"""Seconds in which what is to be shown gathers on a busy system: each partition's part is a transaction of its own."""
LOOK_EVERY = 2.0
"""Seconds between looks whether the tables still hold what this process wrote."""


class ViewsProcess:
    """The process, built and not yet running."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._engine = create_engine(settings.database_url, pool_size=CONNECTIONS)
        self._plans = Plans()
        self._live = self._create_live(settings)
        self._health = Health()
        self._plans_read = False
        self.app: FastAPI = create_ops_app("Headroom capacity", self._not_ready, views_series, stream_series)
        self.app.state.keys = Keys(self._engine, settings.bootstrap_key_hash)
        models = ReadingModels(self._engine)
        questions.install(self.app, self._live, models)
        self.app.include_router(overlays.router)
        self.app.add_middleware(BodyLimit, largest=LARGEST_OVERLAY)
        api.install(self.app, models, self._plans.get)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve at once, read the plans, then keep the read models until ``stop`` is set."""
        try:
            await serve_beside(self._keep(), self.app, self._settings.http, stop)
        finally:
            await self._engine.dispose()

    async def _keep(self) -> None:
        async with TableReader(self._settings.kafka, PLANS, self._plans.add) as plans:
            await plans.caught_up()
            self._plans_read = True
            sink = ViewsSink(WritingModels(self._engine), self._health.progressed, self._settings.clock.clock())
            role = SinkRole("views", (FRAMES, DEALS), sink, gather=GATHER)
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(_look(sink))
                tasks.create_task(self._live.follow(self._settings.kafka))
                tasks.create_task(run(role, kafka=self._settings.kafka, health=self._health))

    def _create_live(self, settings: Settings) -> LiveBook:
        projector = Projector()
        shard = ProjectShard(lambda: self._plans.in_force, projector)
        return LiveBook(projector, shard, lambda: self._plans.in_force, settings.clock.clock())

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
