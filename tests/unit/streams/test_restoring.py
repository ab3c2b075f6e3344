"""Holes of stock Faust's table recovery; we restore through the agent like anything else."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.tables.recovery import Recovery
from faust.types import TP

from shared.clock import WallClock
from shared.settings import KafkaSettings
from shared.streams.app import StreamApp
from shared.streams.health import Health
from shared.streams.restore import Barrier
from shared.streams.shard_runtime import ShardRuntime, Slot
from shared.streams.shards import Role
from shared.streams.transport import Fetched
from shared.topics import Topic
from tests.stock import stock
from tests.waiting import eventually

STATE = Topic("state", "anything", "what is restored", "compact")
OURS, ANOTHERS = TP("state", 0), TP("state", 1)

Apply = Callable[[bytes], None]


async def restored_by_us(partitions: list[TP], apply: Apply) -> list[BaseException]:
    """Restore one record of each of ``partitions``, of which only OURS was assigned; what ended the process."""
    failures: list[BaseException] = []

    class State:
        def apply(self, batch: Any) -> None:
            for record in batch.records:
                apply(record.value)

    kafka = KafkaSettings()
    role = Role("restoring", (STATE,), (), lambda number: State())  # type: ignore[arg-type,return-value]
    runtime = ShardRuntime(role, kafka, WallClock(), Health(), failures.append)
    runtime.log = SimpleNamespace(epoch=1)  # type: ignore[assignment]
    barrier = Barrier({"state": 0}, {"state": 100})
    runtime._slots[0] = Slot(0, role.make_shard(0), None, [], {OURS: 0}, barrier)  # type: ignore[arg-type]
    app = StreamApp(runtime, kafka, failures.append, 0.0)

    class Stream:
        def noack(self) -> "Stream":
            return self

        async def events(self) -> Any:
            for offset, tp in enumerate(partitions):
                fetched = Fetched(tp, [SimpleNamespace(offset=offset, value=b"%d" % tp.partition)], offset + 1, 1)
                yield SimpleNamespace(value=fetched)

    await app._consume(Stream())
    return failures


async def restored_by_stock(partitions: list[TP], apply: Apply) -> list[BaseException]:
    """The same by the task of stock's recovery."""
    app: Any = faust.App("restoring", broker="aiokafka://nowhere")
    queue: asyncio.Queue[Any] = asyncio.Queue()
    failures: list[BaseException] = []

    class Table:
        recovery_buffer_size = 1

        async def on_changelog_event(self, event: Any) -> None: ...

        def apply_changelog_batch(self, batch: list[Any]) -> None:
            for event in batch:
                apply(event.message.value)

    tables: Any = SimpleNamespace(changelog_queue=queue, standbys_ready=True, on_standbys_ready=lambda: None)
    recovery: Any = Recovery(app, tables)
    recovery.tp_to_table[OURS] = Table()
    recovery.active_tps.add(OURS)
    recovery.crash = failures.append
    for offset, tp in enumerate(partitions):
        queue.put_nowait(SimpleNamespace(message=SimpleNamespace(tp=tp, offset=offset, value=b"%d" % tp.partition)))
    task = asyncio.create_task(Recovery._slurp_changelogs.fun(recovery))
    await eventually(queue.empty, every=0)
    for _ in range(20):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    return failures


@pytest.mark.parametrize(
    "restored",
    [restored_by_us, stock(restored_by_stock, because="an unknown partition's record goes to the table before it")],
)
async def test_a_partition_that_is_not_ours_changes_nothing(restored: Any) -> None:
    applied: list[bytes] = []
    assert await restored([OURS, ANOTHERS, OURS], applied.append) == []
    assert applied == [b"0", b"0"]


@pytest.mark.parametrize(
    "restored", [restored_by_us, stock(restored_by_stock, because="an error in recovery is logged and passed over")]
)
async def test_an_error_while_restoring_ends_the_worker(restored: Any) -> None:
    def apply(value: bytes) -> None:
        raise ValueError("broken")

    failures = await restored([OURS], apply)
    assert [str(failure) for failure in failures] == ["broken"], "the state lacks a record and nobody knows"
