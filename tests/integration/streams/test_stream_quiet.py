"""While nothing comes, little is asked; what comes then, or was held back, loses no time by it."""

from datetime import datetime

import pytest

from shared.settings import KafkaSettings
from shared.streams import fetching, restore, shard_runtime
from shared.streams.fetching import BatchThread
from shared.streams.restore import TableReader
from shared.streams.shards import Outgoing, Role
from shared.streams.writer import FencedWriter
from tests.integration.streams import toy
from tests.integration.streams.toy import COUNTS, INPUT
from tests.waiting import eventually

AN_HOUR = 3600.0


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 1, INPUT, COUNTS)
    return settings


class Holding(toy.Counter):
    """Says what it counted only when it is asked a third time."""

    left = 3

    @property
    def waiting(self) -> bool:
        return bool(self.changed)

    def flush(self, now: datetime) -> list[Outgoing]:
        self.left -= bool(self.changed)
        return super().flush(now) if self.left <= 0 else []


async def test_a_shard_that_holds_something_back_is_asked_without_a_further_batch(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_runtime, "ASKED_WHEN_IDLE", AN_HOUR)
    async with toy.running(system, Role("counter", (COUNTS,), (INPUT,), Holding)) as worker:
        await eventually(lambda: worker.health.ready)
        await toy.produce(system, INPUT, [(0, b"k", b"v")])
        await eventually(lambda: toy.committed_is(system, "counter", INPUT, {0: 1}))
        await eventually(lambda: toy.counts(system))


async def test_an_idle_shard_is_asked_now_and_then(system: KafkaSettings) -> None:
    """A table, or time, may give it something to say although no batch came."""
    made: list[toy.Counter] = []

    def make(number: int) -> toy.Counter:
        made.append(toy.Counter(number))
        return made[-1]

    async with toy.running(system, Role("counter", (COUNTS,), (INPUT,), make)) as worker:
        await eventually(lambda: worker.health.ready)
        made[0].counts[b"k"] = (1, 0)
        made[0].changed.add(b"k")
        await eventually(lambda: toy.counts(system))


async def test_a_record_ends_a_fetch_that_the_broker_keeps_for_long(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "QUIET_FETCH_WAIT_MS", 30_000)
    monkeypatch.setattr(fetching, "QUIET_AFTER", 0.0)
    kept: list[int] = []
    something = BatchThread._something

    async def noting(self: BatchThread, fetcher: object, timeout: float) -> None:
        kept.append(fetcher._fetch_max_wait_ms)  # type: ignore[attr-defined]
        await something(self, fetcher, timeout)

    monkeypatch.setattr(BatchThread, "_something", noting)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready and 30_000 in kept)
        for number in range(3):
            await toy.produce(system, INPUT, [(0, b"k", b"v")])
            await eventually(lambda: worker.shards[0].counts.get(b"k", (0, 0))[0] == number + 1)  # noqa: B023
    assert (await toy.counts(system))[b"k"][0] == 3


async def test_a_table_that_waits_for_records_sees_an_end_without_any(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Aborted transactions move the end of a topic and give its reader nothing."""
    monkeypatch.setattr(restore, "QUIET_LOOK_EVERY", AN_HOUR)
    seen: list[bytes | None] = []
    writer = FencedWriter(system, "someone")
    await writer.start()
    async with TableReader(system, COUNTS, lambda record: seen.append(record.key)) as reader:
        await reader.caught_up()
        await writer.write([Outgoing(COUNTS, 0, b"k", b"v")])
        await eventually(lambda: seen)
        await writer._producer.begin_transaction()
        await writer._producer.send_and_wait(system.topic_prefix + COUNTS.name, b"v", key=b"aborted", partition=0)
        await writer._producer.abort_transaction()
        await reader.read_to_end()
        assert (await toy.ends(system, COUNTS))[0] == 4
    assert seen == [b"k"]
    await writer.stop()
