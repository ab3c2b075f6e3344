"""Wires a role to Faust and runs it inside the current event loop.

The way of a record: broker → ``BatchThread`` (fetch) → ``BatchConsumer`` (one message per partition) → Faust's
conductor → the role's agent → the runtime → ``Shard.apply`` or ``Sink.apply``; back: ``Shard.flush`` →
``FencedWriter`` → acknowledge → Faust's commit, once a second.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import faust
import structlog
from faust.topics import Topic as FaustTopic
from faust.transport.drivers import TRANSPORTS

from shared import memory
from shared.clock import Clock, WallClock
from shared.errors import HeadroomError
from shared.settings import KafkaSettings
from shared.streams import safety
from shared.streams.guard import check_versions
from shared.streams.health import Health
from shared.streams.runtime import Runtime
from shared.streams.shard_runtime import ShardRuntime
from shared.streams.shards import PositionedSink, Role, SinkRole
from shared.streams.sink_runtime import SinkRuntime
from shared.streams.topology import awaited_counts, check_topics
from shared.streams.transport import BatchConsumer

SCHEME = "batches"
WATCH_EVERY = 1.0
STOP_WITHIN = 10.0

log = structlog.get_logger(__name__)


class Stalled(Exception):
    """The worker is behind and does not move; another process will do better."""


class Interrupted(Exception):
    """Something cancelled the applying of a batch, though the worker was not asked to stop."""


class BatchTopic(FaustTopic):
    """A topic whose messages are batches: there is nothing to decode."""

    def _compile_decode(self) -> None:
        """Leave ``Channel.decode``, which hands the value on as it is."""


class StreamApp(faust.App):
    """A Faust app that knows its planner and how to fail."""

    def __init__(self, runtime: Runtime, kafka: KafkaSettings, fail: safety.Fail, gather: float) -> None:
        self.planner = runtime
        self.gather = gather
        self.kafka = kafka
        self.fail = fail
        TRANSPORTS.aliases[SCHEME] = "shared.streams.transport:BatchTransport"
        super().__init__(kafka.topic_prefix + runtime.name, **_options(kafka))
        self.on_partitions_revoked.connect(self._revoked)
        self.on_partitions_assigned.connect(self._assigned)
        topic = self.topic(*runtime.topics, key_serializer="raw", value_serializer="raw")
        self.agent(topic, name=runtime.name, concurrency=1)(self._consume)

    async def _consume(self, stream: Any) -> None:
        try:
            # The runtime acknowledges what is flushed, so the stream must not acknowledge what is delivered.
            async for event in stream.noack().events():
                await self.planner.deliver(event.value)
        except asyncio.CancelledError:
            # Faust would start the agent again with the next batch; what that acknowledges includes this one.
            if not self.should_stop:
                self.fail(Interrupted(f"{self.planner.name}: what applies its batches was cancelled"))
            raise
        except Exception as error:  # noqa: BLE001 - it ends the process
            # Faust would acknowledge the event and start the agent again.
            self.fail(error)

    async def _revoked(self, *_: Any, **__: Any) -> None:
        await self.planner.revoked()

    async def _assigned(self, *args: Any, **__: Any) -> None:
        await self.planner.assigned(args[-1])

    def _create_directories(self) -> None:
        """Nothing is kept on disk."""


def _options(kafka: KafkaSettings) -> dict[str, Any]:
    return {
        "broker": f"{SCHEME}://",
        "Topic": BatchTopic,
        "autodiscover": False,
        "web_enabled": False,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "broker_session_timeout": kafka.session_timeout,
        "broker_heartbeat_interval": kafka.session_timeout / 5,
        "broker_request_timeout": 40.0,
        "broker_rebalance_timeout": 60.0,
        "broker_commit_interval": 1.0,
        "broker_max_poll_records": 4000,
        "broker_max_poll_interval": 600.0,
        "consumer_group_instance_id": kafka.instance_id,
        "stream_buffer_maxsize": 16,
        "stream_wait_empty": False,
        "producer_linger": 0.01,
    }


async def run(
    role: Role | SinkRole,
    *,
    kafka: KafkaSettings,
    health: Health,
    clock: Clock | None = None,
    on_failure: Callable[[BaseException], None] = safety.end_process,
) -> None:
    """Run ``role``, once its topics exist, until cancelled; then finish what is under way, commit and leave the group.

    Whatever goes wrong calls ``on_failure``, which by default logs and ends the process at once: the log is the
    database, and starting over from it is the one way of recovering. (A test passes its own, and ``run`` raises.)
    """
    check_versions()
    await awaited_counts(kafka, role.topics)  # before anything is watched: the wait is no stall
    if isinstance(role, SinkRole) and isinstance(role.sink, PositionedSink):
        await role.sink.positions()  # the same for its database: a member that waits for it would hold up the group
    memory.suit_books()
    failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(error: BaseException) -> None:
        if not failed.done():
            on_failure(error)
            failed.set_exception(error)

    runtime: Runtime
    if isinstance(role, Role):
        runtime = ShardRuntime(role, kafka, clock or WallClock(), health, fail)
    else:
        runtime = SinkRuntime(role, kafka, health, fail)
    app = StreamApp(runtime, kafka, fail, role.gather)
    runtime.log = cast(BatchConsumer, app.consumer)
    health.joining()
    watching = asyncio.create_task(_watch(app, runtime, fail), name=f"watch {role.name}")
    try:
        await check_topics(role, kafka)
        await app.start()
        # Shielded, for the cancellation that asks this to end would make ``failed`` look as if something had.
        await asyncio.shield(failed)
    except HeadroomError as error:
        fail(error)
        raise
    finally:
        watching.cancel()
        await _stop(app, runtime, clean=not failed.done())
        log.info("stopped", role=role.name, clean=not failed.done())


async def _stop(app: StreamApp, runtime: Runtime, *, clean: bool) -> None:
    try:
        if clean:
            with suppress(TimeoutError):
                # What cannot be finished in time is read again from the log.
                await asyncio.wait_for(runtime.close(), STOP_WITHIN)
    finally:  # also for who is cancelled once more meanwhile: an agent that ends before its app looks like a failure
        await app.stop()


async def _watch(app: StreamApp, runtime: Runtime, fail: safety.Fail) -> None:
    """Keep the figures up to date and end a worker that crashed or does not move."""
    while True:
        await asyncio.sleep(WATCH_EVERY)
        runtime.measure()
        crashed = getattr(app, "crash_reason", None)
        problem = runtime.problem()
        if crashed is not None:
            fail(crashed)
        elif problem is not None:
            fail(Stalled(f"{runtime.name}: {problem}"))
