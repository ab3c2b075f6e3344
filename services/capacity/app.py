"""Builds the fold and the projection: roles, the plans' reader, and what the processes serve."""

import asyncio
from collections.abc import Callable, Iterator

from fastapi import FastAPI

from services.capacity import metrics
from services.capacity.agents.fold import FoldShard
from services.capacity.agents.plans import Plans
from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce
from services.capacity.settings import CapacitySettings
from shared.http import create_ops_app, serve_beside
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import Role
from shared.topics import CELLS, DEALS, DECISIONS, FORECASTS, PLANS, POSITIONS, REPORTS, SIGNALS


def create_fold_role(every: float) -> Role:
    """The role ``fold``: one shard for each partition of the deals.

    While it catches up most cells change from flush to flush, and writing them late costs nobody anything.
    """
    return Role("fold", (DEALS,), (), FoldShard, flush_every=every, flush_share=0.1, ended=metrics.take_back_fold)


def create_project_role(plan_in_force: Callable[[], PlanInForce | None], every: float) -> Role:
    """The role ``project``: one shard over everything a projection needs but the plan."""
    topics = (CELLS, REPORTS, DECISIONS, SIGNALS, POSITIONS, FORECASTS)
    return Role(
        name="project",
        state_topics=topics,
        input_topics=(),
        make_shard=lambda _: ProjectShard(plan_in_force),
        flush_every=every,
        flush_share=0.8,
        ended=metrics.take_back_projection,
    )


class FoldProcess:
    """``fold``, built and not yet running."""

    def __init__(self, settings: CapacitySettings) -> None:
        self._settings = settings
        self._health = Health()
        self.app: FastAPI = create_ops_app("Headroom fold", self._not_ready, metrics.fold_series, stream_series)

    async def run(self, stop: asyncio.Event) -> None:
        """Fold until ``stop`` is set."""
        role = create_fold_role(self._settings.capacity.fold_every)
        clock = self._settings.clock.clock()
        work = run(role, kafka=self._settings.kafka, health=self._health, clock=clock)
        await serve_beside(work, self.app, self._settings.http, stop)

    def _not_ready(self) -> Iterator[str]:
        return self._health.reasons("the deals are not read yet")


class ProjectProcess:
    """``project``, built and not yet running."""

    def __init__(self, settings: CapacitySettings) -> None:
        self._settings = settings
        self._health = Health()
        self._plans = Plans()
        self._plans_read = False
        self.app: FastAPI = create_ops_app(
            "Headroom projection", self._not_ready, metrics.project_series, stream_series
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Read the plans, then project until ``stop`` is set."""
        await serve_beside(self._project(), self.app, self._settings.http, stop)

    async def _project(self) -> None:
        async with TableReader(self._settings.kafka, PLANS, self._plans.add) as plans:
            await plans.caught_up()
            self._plans_read = True
            role = create_project_role(lambda: self._plans.in_force, self._settings.capacity.project_every)
            await run(role, kafka=self._settings.kafka, health=self._health, clock=self._settings.clock.clock())

    def _not_ready(self) -> Iterator[str]:
        if not self._plans_read:
            yield "the plans are not read yet"
        else:
            yield from self._health.reasons("the cells are not read yet")
