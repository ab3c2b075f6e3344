"""Builds the notifier from its settings and runs it."""

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta

from aiokafka import AIOKafkaProducer
from fastapi import FastAPI

from services.notifier.api import deliveries as delivery_routes
from services.notifier.api import guard
from services.notifier.api import recalibrations as recalibration_routes
from services.notifier.api import stream as stream_route
from services.notifier.api import subscriptions as subscription_routes
from services.notifier.channels.webhook import Webhook
from services.notifier.consumer import RecalibrationSink
from services.notifier.delivery import Worker
from services.notifier.metrics import notifier_series
from services.notifier.relay import Relay
from services.notifier.settings import NotifierSettings
from services.notifier.store.answers import Answers
from services.notifier.store.deliveries import Deliveries
from services.notifier.store.feed import Feed
from services.notifier.store.grouped import Grouped
from services.notifier.store.outbox import Outbox
from services.notifier.store.plans import Plans
from services.notifier.store.queue import Queue
from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.standing import Standing
from services.notifier.store.subscriptions import Subscriptions
from services.notifier.stream import Hub
from services.notifier.upkeep import Upkeep
from shared.access import Keys
from shared.db import create_engine
from shared.http import create_ops_app, serve_beside
from shared.kafka import create_producer
from shared.streams.app import run as run_role
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import Outgoing, SinkRole
from shared.streams.writer import FencedWriter
from shared.topics import PLANS, RECALIBRATIONS

ROLE = "notifier"
RELAY_ID = "notifier-relay"
CONNECTIONS = 8


class Notifier:
    """One notifier process: API, consumer, delivery worker, relay, stream, upkeep."""

    def __init__(self, settings: NotifierSettings) -> None:
        """Wire everything; nothing connects before ``run``."""
        self._settings = settings
        sending = settings.notifier
        self.health = Health()
        self.engine = create_engine(settings.database_url, pool_size=CONNECTIONS)
        # Deliveries have connections of their own: however many are settled, people are answered.
        self.delivery_engine = create_engine(settings.database_url, pool_size=CONNECTIONS)
        self._exempt = tuple(sending.allow_networks)
        self._subscriptions, self._deliveries = Subscriptions(self.engine), Deliveries(self.engine)
        self._recalibrations, self._answers = Recalibrations(self.engine), Answers(self.engine)
        self._feed, self._outbox = Feed(self.engine), Outbox(self.engine)
        self.plans = Plans()
        self._queue = Queue(self.delivery_engine, uuid.uuid4(), timedelta(seconds=sending.lease))
        self.webhook = Webhook(exempt=self._exempt, timeout=sending.timeout, connections=sending.concurrency)
        self.worker = Worker(
            self._queue,
            Grouped(self.delivery_engine, timedelta(seconds=sending.group_window)),
            self.webhook,
            concurrency=sending.concurrency,
            per_endpoint=sending.per_endpoint,
            lease=sending.lease,
            poll=sending.poll,
            clock=settings.clock.clock(),
        )
        self.hub = Hub(self._feed, poll=sending.poll)
        self._relay = Relay(self._outbox, lambda: FencedWriter(settings.kafka, RELAY_ID), poll=sending.poll)
        self.upkeep = Upkeep(
            self._deliveries,
            self._outbox,
            self._feed,
            Standing(self.engine),
            clock=settings.clock.clock(),
            keep=timedelta(days=sending.keep_days),
        )
        self.api = self._create_api()

    def _create_api(self) -> FastAPI:
        app = create_ops_app("Headroom notifier", self._not_ready, notifier_series, stream_series)
        app.state.keys = Keys(self.engine, self._settings.bootstrap_key_hash)
        guard.install(app)
        app.include_router(
            subscription_routes.create_router(
                self._subscriptions, self._deliveries, exempt=self._exempt, planned=self.worker.wake
            )
        )
        app.include_router(delivery_routes.create_router(self._deliveries, planned=self.worker.wake))
        app.include_router(
            recalibration_routes.create_router(
                self._recalibrations,
                self._answers,
                self.plans,
                clock=self._settings.clock.clock(),
                answered=self._answered,
            )
        )
        app.include_router(stream_route.create_router(self.hub, heartbeat=self._settings.notifier.heartbeat))
        return app

    def _not_ready(self) -> Sequence[str]:
        reasons = []
        if not self.health.ready:
            reasons.append("the consumer has not joined its group yet")
        if not self.plans.read:
            reasons.append("the plans are not read yet")
        if not self.upkeep.database_answers:
            reasons.append("the database does not answer")
        return reasons

    def _answered(self) -> None:
        self._relay.wake()
        self.hub.wake()

    def _taken(self) -> None:
        self.worker.wake()
        self.hub.wake()

    async def run(self, stop: asyncio.Event) -> None:
        """Run until ``stop`` is set; an error in any part ends all of it."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.engine.dispose)
            stack.push_async_callback(self.delivery_engine.dispose)
            await stack.enter_async_context(self.webhook)
            producer = create_producer(self._settings.kafka)
            await producer.start()
            stack.push_async_callback(producer.stop)
            work = self._work(SinkRole(ROLE, (RECALIBRATIONS,), self._sink(producer)))
            await serve_beside(work, self.api, self._settings.http, stop)

    async def _work(self, role: SinkRole) -> None:
        """Read the plans, then do everything but serve, until cancelled."""
        kafka = self._settings.kafka
        async with TableReader(kafka, PLANS, self.plans.add) as plans, asyncio.TaskGroup() as parts:
            try:
                await plans.caught_up()
                self.plans.read = True
                parts.create_task(run_role(role, kafka=kafka, health=self.health), name="consumer")
                parts.create_task(self.worker.run(), name="delivery")
                parts.create_task(self._relay.run(), name="relay")
                parts.create_task(self.hub.run(), name="stream")
                parts.create_task(self.upkeep.run(), name="upkeep")
                await asyncio.Event().wait()
            finally:
                self.hub.end()

    def _sink(self, producer: AIOKafkaProducer) -> RecalibrationSink:
        prefix = self._settings.kafka.topic_prefix

        async def bury(letters: Sequence[Outgoing]) -> None:
            for letter in letters:
                await producer.send_and_wait(
                    prefix + letter.topic.name, letter.value, letter.key, letter.partition, headers=list(letter.headers)
                )

        return RecalibrationSink(self._recalibrations, bury=bury, taken=self._taken, waiting=self.health.progressed)


def create_app(settings: NotifierSettings) -> Notifier:
    """The process these settings describe; nothing is connected yet."""
    return Notifier(settings)
