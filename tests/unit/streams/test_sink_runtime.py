"""A sink that waits for its database is no stalled worker, whatever it was about to do there."""

import asyncio
from collections.abc import Mapping

import pytest
from faust.types import TP

from shared.errors import NotReady
from shared.settings import KafkaSettings
from shared.streams import app, metrics, sink_runtime
from shared.streams.health import Health
from shared.streams.shards import Batch, SinkRole
from shared.streams.sink_runtime import SinkRuntime
from shared.streams.transport import Fetched
from shared.topics import Topic
from tests.unit.capacity.records import FakeRecord

INPUT = Topic("input", "anything", "what is carried", "delete")


class Away:
    """A sink whose database is away until it is let back."""

    def __init__(self) -> None:
        self.back = asyncio.Event()

    async def apply(self, batch: Batch) -> None:
        await self.back.wait()

    async def positions(self) -> Mapping[tuple[Topic, int], int]:
        await self.back.wait()
        return {(INPUT, 0): 7}


class Ends:
    """A log of ten records, nothing of it committed."""

    epoch = 1

    def acknowledge(self, tp: TP, upto: int, epoch: int) -> None:
        """Nothing is kept of it."""

    def __init__(self) -> None:
        self.ends: dict[TP, int] = {}

    async def highwaters(self, *partitions: TP) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, 10)

    async def earliest_offsets(self, *partitions: TP) -> Mapping[TP, int]:
        return dict.fromkeys(partitions, 0)

    async def committed_offsets(self, tps: list[TP]) -> Mapping[TP, int | None]:
        return dict.fromkeys(tps)


async def test_it_may_wait_for_its_database_at_the_start() -> None:
    time = 0.0
    health, sink = Health(now=lambda: time), Away()
    runtime = SinkRuntime(SinkRole("sink", (INPUT,), sink), KafkaSettings(), health, lambda error: None)
    runtime.log = Ends()  # type: ignore[assignment]
    planning = asyncio.create_task(runtime.plan(frozenset({TP("input", 0)}), 1))
    await asyncio.wait({planning}, timeout=0.01)
    time = 10_000.0
    assert runtime.problem() is None
    sink.back.set()
    assert await planning == {TP("input", 0): 7}
    health.lag["input", 0] = 3
    time += 10_000.0
    assert runtime.problem() is not None, "it is behind, does not move, and does not wait for anything"


async def test_it_ends_before_faust_gives_up_on_its_assignment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust cancels an assignment after forty seconds and never asks again: the process would stand for ever."""
    assert app._options(KafkaSettings())["broker_request_timeout"] > sink_runtime.POSITIONS_WITHIN
    monkeypatch.setattr(sink_runtime, "POSITIONS_WITHIN", 0.01)
    failures: list[BaseException] = []
    runtime = SinkRuntime(SinkRole("sink", (INPUT,), Away()), KafkaSettings(), Health(), failures.append)
    runtime.log = Ends()  # type: ignore[assignment]
    with pytest.raises(NotReady):
        await runtime.plan(frozenset({TP("input", 0)}), 1)
    assert [type(failure) for failure in failures] == [NotReady]


async def test_after_every_rebalance_all_it_holds_goes_on_from_what_is_stored() -> None:
    """What the sink has begun and not stored is gone once it was asked for its positions."""
    sink = Away()
    sink.back.set()
    runtime = SinkRuntime(SinkRole("sink", (INPUT,), sink), KafkaSettings(), Health(), lambda error: None)
    runtime.log = Ends()  # type: ignore[assignment]
    assert await runtime.plan(frozenset({TP("input", 0)}), 1) == {TP("input", 0): 7}
    await runtime.deliver(Fetched(TP("input", 0), [], 9, 1))
    assert runtime.applied() == {TP("input", 0): 9}
    assert await runtime.plan(frozenset({TP("input", 0), TP("input", 1)}), 2) == {TP("input", 0): 7, TP("input", 1): 0}


async def test_where_the_sink_is_is_not_asked_in_the_midst_of_a_batch() -> None:
    """What the batch had begun before would be dropped, and written over when it is tried again."""
    asked: list[str] = []

    class Slow(Away):
        async def apply(self, batch: Batch) -> None:
            await super().apply(batch)
            asked.append("applied")

        async def positions(self) -> Mapping[tuple[Topic, int], int]:
            asked.append("positions")
            return {(INPUT, 0): 9 if "applied" in asked else 7}

    sink, log = Slow(), Ends()
    runtime = SinkRuntime(SinkRole("sink", (INPUT,), sink), KafkaSettings(), Health(), lambda error: None)
    runtime.log = log  # type: ignore[assignment]
    await runtime.plan(frozenset({TP("input", 0)}), 1)
    records = [FakeRecord(7, b"k", b"v"), FakeRecord(8, b"k", b"v")]
    applying = asyncio.create_task(runtime.deliver(Fetched(TP("input", 0), records, 9, 1)))
    await asyncio.wait({applying}, timeout=0.01)
    planning = asyncio.create_task(runtime.plan(frozenset({TP("input", 0)}), 2))
    await asyncio.wait({planning}, timeout=0.01)
    assert asked == ["positions"]
    sink.back.set()
    assert await planning == {TP("input", 0): 9}
    assert asked == ["positions", "applied", "positions"]


async def test_what_is_applied_has_a_series_of_each_partition_before_the_first_record() -> None:
    sink = Away()
    sink.back.set()
    runtime = SinkRuntime(SinkRole("idle", (INPUT,), sink), KafkaSettings(), Health(), lambda error: None)
    runtime.log = Ends()  # type: ignore[assignment]
    await runtime.plan(frozenset({TP("input", 0), TP("input", 1)}), 1)
    samples = [sample for family in metrics.RECORDS_APPLIED.collect() for sample in family.samples]
    mine = [sample for sample in samples if sample.labels["role"] == "idle" and sample.name.endswith("_total")]
    assert {sample.labels["partition"]: sample.value for sample in mine} == {"0": 0.0, "1": 0.0}


async def test_lag_has_no_series_until_the_log_has_told_its_end() -> None:
    """A zero would say that nothing is behind, and silence the alert about a worker that starts again and again."""
    sink = Away()
    sink.back.set()
    runtime = SinkRuntime(SinkRole("starting", (INPUT,), sink), KafkaSettings(), Health(), lambda error: None)
    log = Ends()
    runtime.log = log  # type: ignore[assignment]
    await runtime.plan(frozenset({TP("input", 0)}), 1)

    def told() -> list[float]:
        runtime.measure()
        samples = [sample for family in metrics.CONSUMER_LAG.collect() for sample in family.samples]
        return [sample.value for sample in samples if sample.labels["role"] == "starting"]

    assert told() == []
    log.ends[TP("input", 0)] = 10
    assert told() == [3.0]
