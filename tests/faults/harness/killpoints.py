"""``python -m tests.faults.harness.killpoints MODULE [ARGUMENT…]``: a process that dies where it is told.

The module runs as ``python -m MODULE`` would, with wrappers around the places where an effect becomes durable. Each is
a *kill point* with a name; a process that passes the point its file names for the n-th time ends itself with SIGKILL,
right there. Nothing of this is in the product's own code.

``HEADROOM_KILL_FILE`` is the file. It is there while a kill is wanted, holds ``point n``, and is taken away by the
process that dies, so that the next one lives.
"""

import asyncio
import functools
import os
import runpy
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

VARIABLE = "HEADROOM_KILL_FILE"

WRITER = ("begin", "produced", "sent", "committing", "committed")
"""Of a fenced transaction: before it begins; a batch is handed over; all batches are acknowledged and the commit is to
come; the commit is under way; it is committed and nobody knows yet."""
FLUSH = ("before-flush", "after-flush")
RESTORE = ("fenced", "restored")
"""Passed only by a process that starts: the former owner is fenced; everything is read and nothing is published yet."""
OFFSETS = ("before-offsets", "after-offsets")
SINK = ("before-storing", "stored")
DELIVERY = ("leased", "before-sending", "answered", "settled")
RELAY = ("relay-begin", "relay-produced", "relay-sent", "relay-committing", "relay-committed", "relay-marked")
ANSWERS = ("before-answer", "answer-stored")
"""Of an owner's answer, before and after the transaction that keeps it."""
DOOR = ("before-append", "handed-over", "appended")
"""Of what is sent to the door: not yet handed to Kafka's client; handed over and not acknowledged; acknowledged."""
PUBLISHING = ("plan-begin", "plan-sent", "plan-committed")
"""Of the transaction that publishes a plan; passed only while one is published."""

POINTS = {
    "door": DOOR + PUBLISHING,
    "normalise": WRITER + FLUSH + OFFSETS,
    "fold": WRITER + FLUSH,
    "project": WRITER + FLUSH,
    "triggers": WRITER + FLUSH,
    "views": SINK + OFFSETS,
    "notifier": SINK + OFFSETS + DELIVERY + RELAY + ANSWERS,
}
"""The points that a process under load passes again and again, by its name in the system."""

RESTORING = ("normalise", "fold", "project", "triggers")
"""The processes that restore, and so pass the points of ``RESTORE``."""


class Points:
    """Counts the passings of the point that the file names."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._wanted = ""
        self._passed = 0

    def ends_here(self, point: str) -> bool:
        """Whether this passing is the last thing the process does."""
        try:
            wanted = self._file.read_text()
        except FileNotFoundError:
            self._wanted = ""
            return False
        if wanted != self._wanted:
            self._wanted, self._passed = wanted, 0
        named, _, number = wanted.partition(" ")
        if named != point:
            return False
        self._passed += 1
        return self._passed >= int(number or 1)

    def end(self) -> None:
        """End the process as ``kill -9`` does."""
        self._file.unlink(missing_ok=True)
        os.kill(os.getpid(), signal.SIGKILL)

    def passing(self, point: str) -> None:
        """Pass the point, or not."""
        if self.ends_here(point):
            self.end()

    def around(self, owner: type, name: str, before: str = "", after: str = "") -> None:
        """Put points before and after an asynchronous method."""
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        @functools.wraps(original)
        async def pointed(*args: Any, **kwargs: Any) -> Any:
            if before:
                self.passing(before)
            result = await original(*args, **kwargs)
            if after:
                self.passing(after)
            return result

        setattr(owner, name, pointed)


def put_into_streams(points: Points) -> None:
    """The points of flushes, restores and acknowledgements."""
    from shared.streams.shard_runtime import ShardRuntime
    from shared.streams.transport import BatchConsumer

    points.around(ShardRuntime, "_flush", "before-flush", "after-flush")
    points.around(BatchConsumer, "_commit_offsets", "before-offsets", "after-offsets")
    told = ShardRuntime._tell_restored

    def restored(self: ShardRuntime, slot: Any) -> None:
        told(self, slot)
        points.passing("restored")

    ShardRuntime._tell_restored = restored  # type: ignore[method-assign]


def put_into_writers(points: Points, prefix: str = "") -> None:
    """The points of a fenced transaction, around the producer of each writer that starts."""
    from shared.streams.writer import FencedWriter

    start = FencedWriter.start

    async def started(self: FencedWriter) -> None:
        await start(self)
        points.passing("fenced")
        producer = self._producer
        begin, send, commit = producer.begin_transaction, producer.send_batch, producer.commit_transaction

        async def begin_transaction() -> None:
            points.passing(prefix + "begin")
            await begin()

        async def send_batch(*args: Any, **kwargs: Any) -> Any:
            handed_over = await send(*args, **kwargs)
            points.passing(prefix + "produced")
            return handed_over

        async def commit_transaction() -> None:
            points.passing(prefix + "sent")
            if points.ends_here(prefix + "committing"):
                # The request is on its way, or answered and not yet read, when the process ends.
                await asyncio.wait({asyncio.ensure_future(commit())}, timeout=0.003)
                points.end()
            await commit()
            points.passing(prefix + "committed")

        producer.begin_transaction = begin_transaction
        producer.send_batch = send_batch
        producer.commit_transaction = commit_transaction

    FencedWriter.start = started  # type: ignore[method-assign]


def put_into_door(points: Points) -> None:
    from aiokafka import AIOKafkaProducer

    from services.ingest.store.inbox import Inbox

    points.around(Inbox, "append", "before-append", "appended")
    # The door's transactions are those of its plans; all else that it sends are events.
    points.around(AIOKafkaProducer, "send", after="handed-over")
    points.around(AIOKafkaProducer, "begin_transaction", "plan-begin")
    points.around(AIOKafkaProducer, "commit_transaction", "plan-sent", "plan-committed")


def put_into_views(points: Points) -> None:
    from services.capacity.views import ViewsSink

    points.around(ViewsSink, "apply", "before-storing", "stored")


def put_into_notifier(points: Points) -> None:
    from services.notifier.channels.webhook import Webhook
    from services.notifier.consumer import RecalibrationSink
    from services.notifier.store.answers import Answers
    from services.notifier.store.outbox import Turn
    from services.notifier.store.queue import Queue

    points.around(RecalibrationSink, "apply", "before-storing", "stored")
    points.around(Webhook, "send", "before-sending", "answered")
    points.around(Queue, "settle", after="settled")
    points.around(Turn, "mark_sent", after="relay-marked")
    points.around(Answers, "give", "before-answer", "answer-stored")
    take = Queue.take

    async def taken(self: Queue, **values: Any) -> Any:
        leased = await take(self, **values)
        if leased:
            points.passing("leased")
        return leased

    Queue.take = taken  # type: ignore[method-assign]


def put(points: Points, module: str, role: str) -> None:
    """All the points that a process of ``module`` and ``role`` has."""
    if role == "door":
        return put_into_door(points)
    put_into_streams(points)
    put_into_writers(points, "relay-" if module == "services.notifier" else "")
    if role == "views":
        put_into_views(points)
    if module == "services.notifier":
        put_into_notifier(points)
    return None


def main() -> None:
    module, *arguments = sys.argv[1:]
    put(Points(Path(os.environ[VARIABLE])), module, arguments[0] if arguments else "")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
