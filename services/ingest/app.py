"""Builds the two processes of ingest from settings: the door and the normaliser."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI

from services.ingest import metrics
from services.ingest.agents import ReportTable, create_role
from services.ingest.api import events, plans, webhooks
from services.ingest.api.bodies import Limits
from services.ingest.normalise.record import Adapters
from services.ingest.settings import IngestSettings
from services.ingest.store.inbox import Inbox
from services.ingest.store.plans import Plans
from shared.access import Keys
from shared.db import create_engine
from shared.http import answer_while_database_is_away, create_ops_app, serve
from shared.memory import collect_seldom
from shared.plans import PublishedPlans
from shared.straight import StraightApp
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.topics import PLANS, REPORTS


def create_door(settings: IngestSettings) -> StraightApp:
    """The door; it connects when it starts to serve, and serves while Kafka is away, with 503."""
    door, clock = settings.ingest, settings.clock.clock()
    limits = Limits(door.body_limit, door.expanded_limit, door.body_timeout)
    inbox = Inbox(settings.kafka, append_timeout=door.append_timeout, waiting_limit=door.waiting_limit)
    engine = create_engine(settings.database_url)

    def not_ready() -> Iterator[str]:
        if (trouble := inbox.trouble()) is not None:
            yield trouble

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await inbox.start()
        yield
        await inbox.stop()
        await engine.dispose()

    app = create_ops_app("Headroom door", not_ready, metrics.door_series)
    app.router.lifespan_context = lifespan
    app.state.keys = Keys(engine, settings.bootstrap_key_hash)
    answer_while_database_is_away(app)
    app.include_router(events.create_router(inbox, limits, clock))
    app.include_router(webhooks.create_router(inbox, _signers(settings), limits, clock))
    app.include_router(plans.create_router(Plans(settings.kafka), limits, clock))
    app.go_straight(events.PATH, webhooks.PATH)
    return app


async def run_door(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Serve the door until ``stop``."""
    collect_seldom()
    await serve(create_door(settings), settings.http, stop)


def create_normaliser_app(health: Health) -> FastAPI:
    """What the normaliser serves: its health and its series."""

    def not_ready() -> Iterator[str]:
        if not health.ready:
            yield "its shards are not restored yet"

    return create_ops_app("Headroom normaliser", not_ready, metrics.normalise_series, stream_series)


async def run_normaliser(settings: IngestSettings, stop: asyncio.Event) -> None:
    """Run the normaliser until ``stop``; what is under way is finished first."""
    health = Health()
    reports = ReportTable()
    plans = PublishedPlans()
    adapters = Adapters({name: made.connection(name) for name, made in settings.ingest.hubspot.items()})
    app = create_normaliser_app(health)
    serving = asyncio.create_task(serve(app, settings.http, stop))
    stopping = asyncio.create_task(stop.wait())
    tables = (
        TableReader(settings.kafka, PLANS, plans.add),
        TableReader(settings.kafka, REPORTS, reports.put),
    )
    role = create_role(
        adapters, lambda: settings.ingest.rates_to(_currency(plans)), reports, settings.kafka.partitions, tables
    )

    async def work() -> None:
        for table in tables:
            await table.start()
        for table in tables:
            await table.caught_up()
        await run(role, kafka=settings.kafka, health=health, clock=settings.clock.clock())

    working = asyncio.create_task(work())
    try:
        await asyncio.wait({working, stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        if serving.done():
            serving.result()
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        stop.set()
        await asyncio.gather(serving, stopping, *(table.stop() for table in tables), return_exceptions=True)


def _currency(plans: PublishedPlans) -> str | None:
    last = plans.last
    return last[1].currency if last else None


def _signers(settings: IngestSettings) -> dict[str, webhooks.Signer]:
    return {
        name: webhooks.Signer(
            [secret.get_secret_value() for secret in made.secrets], frozenset(made.signatures), str(made.uri)
        )
        for name, made in settings.ingest.hubspot.items()
    }
