"""Faust's consumer, ours or stock's, over what a broker would give it: nothing but aiokafka's consumer is made up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import faust
from faust.types import TP

TP0 = TP("topic", 0)


@dataclass
class Position:
    position: int = 0
    has_valid_position: bool = True
    lso: int = 0


class Broker:
    """One partition as aiokafka's consumer shows it: what lies fetched, where reading is, what was committed."""

    _closed = False
    _max_poll_records = 4000
    _fetch_max_wait_ms = 0
    reassignment_in_progress = False
    fetch_context = nullcontext

    def __init__(self) -> None:
        self._fetcher = self._subscription = self._subscriptions = self
        self._records: dict[Any, Any] = {}
        self.subscription = SimpleNamespace(assignment=SimpleNamespace(tps=[TP0], state_value=lambda _: self.at))
        self.at = Position()
        self.lying: list[Any] = []
        self.committed: list[int] = []
        self._waiters: list[asyncio.Future[None]] = []

    def bring(self, *offsets: int, position: int | None = None) -> None:
        """A fetch arrives; reading goes on at ``position``, past what the log has instead of records."""
        self.lying = [record(offset) for offset in offsets]
        self._next = offsets[-1] + 1 if position is None else position
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def fetched_records(self, active: set[TP], timeout: float = 0, max_records: int = 0) -> dict[TP, list[Any]]:
        if TP0 not in active or not self.lying:
            await asyncio.sleep(0)
            return {}
        taken, self.lying = self.lying, []
        self.at.position = self._next
        return {TP0: taken}

    def _create_fetch_waiter(self) -> "asyncio.Future[None]":
        self._waiters.append(asyncio.get_running_loop().create_future())
        return self._waiters[-1]

    def assignment(self) -> set[TP]:
        return {TP0}

    def highwater(self, tp: TP) -> int:
        return self.at.position

    async def seek_to_committed(self) -> dict[TP, int]:
        self.at.position = self.committed[-1] if self.committed else 0
        return {TP0: self.at.position}

    def seek(self, tp: Any, offset: int) -> None:
        self.at.position = offset

    async def commit(self, offsets: dict[Any, Any]) -> None:
        self.committed += [entry.offset for entry in offsets.values()]


def record(offset: int) -> Any:
    return SimpleNamespace(
        topic=TP0.topic,
        partition=TP0.partition,
        offset=offset,
        timestamp=0,
        timestamp_type=0,
        headers=(),
        key=b"k",
        value=b"v",
        checksum=None,
        serialized_key_size=1,
        serialized_value_size=1,
    )


async def _inline(function: Callable[..., Awaitable[Any]], *args: Any, **more: Any) -> Any:
    """``call_thread`` without a thread."""
    return await function(*args, **more)


def consumer_of(kind: type[Any], broker: Broker, callback: Any = None) -> Any:
    app: Any = faust.App("fetches", broker="aiokafka://nowhere")
    app.gather = 0.0
    app.topics._acking_topics.add(TP0.topic)
    app.consumer_generation_id = 1

    async def plan(assigned: frozenset[TP], generation: int) -> dict[TP, int]:
        return dict.fromkeys(assigned, broker.committed[-1] if broker.committed else 0)

    async def nothing(*_: Any) -> None: ...

    app.planner = SimpleNamespace(plan=plan)
    consumer = kind(app.transport, callback or nothing, nothing, nothing)
    consumer._active_partitions = {TP0}
    consumer._thread._consumer = broker
    consumer._thread.call_thread = _inline
    consumer._thread.thread_loop = asyncio.get_running_loop()
    return consumer


@asynccontextmanager
async def draining(kind: type[Any], broker: Broker) -> AsyncIterator[tuple[Any, list[Any]]]:
    """The consumer and the messages it has delivered so far; it goes on delivering while the block lasts."""
    delivered: list[Any] = []

    async def deliver(message: Any) -> None:
        delivered.append(message)

    consumer = consumer_of(kind, broker, deliver)
    await consumer.perform_seek()
    fetcher: Any = SimpleNamespace(_stopped=asyncio.Event())
    task = asyncio.create_task(consumer._drain_messages(fetcher))
    try:
        yield consumer, delivered
    finally:
        task.cancel()
        await asyncio.wait({task})
