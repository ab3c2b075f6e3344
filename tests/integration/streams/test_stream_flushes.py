"""When a shard is flushed: soon after its last record, whether or not another comes, and never once it is another's."""

from datetime import datetime

import pytest

from shared.settings import KafkaSettings
from shared.streams import app
from shared.streams.shard_runtime import ShardRuntime
from shared.streams.shards import Outgoing, Role
from tests.integration.streams import toy
from tests.integration.streams.naive import FlushingByCount, FlushingWhatWasRevoked
from tests.integration.streams.toy import COUNTS, INPUT
from tests.stock import naive
from tests.waiting import eventually

PARTITIONS = 2


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, PARTITIONS, INPUT, COUNTS)
    return settings


@pytest.mark.parametrize(
    ("kind", "within"),
    [(ShardRuntime, 20.0), naive(FlushingByCount, 2.0, because="what came last waits for records after it")],
)
async def test_what_came_last_is_flushed_without_a_further_record(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: type[ShardRuntime], within: float
) -> None:
    monkeypatch.setattr(app, "ShardRuntime", kind)
    load = toy.load(PARTITIONS, 20)
    async with toy.running(system) as worker:
        await eventually(lambda: worker.health.ready)
        await toy.produce(system, INPUT, load)
        await eventually(lambda: sum(shard.counted for shard in worker.shards.values()) == len(load))
        await eventually(lambda: toy.counts_are(system, toy.tally(load)), within=within)


class Dirty(toy.Counter):
    """Always has something that is not flushed yet."""

    asked = 0

    @property
    def waiting(self) -> bool:
        return True

    def flush(self, now: datetime) -> list[Outgoing]:
        self.asked += 1
        return [*super().flush(now), Outgoing(COUNTS, self.number, toy.PULSE, b"")]


@pytest.mark.parametrize(
    "kind",
    [ShardRuntime, naive(FlushingWhatWasRevoked, because="who lost a shard goes on writing it, and is ended for it")],
)
async def test_what_is_dirty_in_a_revoked_shard_is_dropped(
    system: KafkaSettings, monkeypatch: pytest.MonkeyPatch, kind: type[ShardRuntime]
) -> None:
    """Its new owner reads the inputs again, so nothing is lost with it."""
    monkeypatch.setattr(app, "ShardRuntime", kind)
    shards: list[Dirty] = []

    def make(number: int) -> Dirty:
        shards.append(Dirty(number))
        return shards[-1]

    role = Role("counter", (COUNTS,), (INPUT,), make)
    async with toy.running(system, role) as first:
        await eventually(lambda: first.health.ready and all(shard.asked for shard in shards))
        async with toy.running(system, role) as second:
            await eventually(lambda: len(shards) == PARTITIONS + 1 and shards[-1].asked)
            taken = shards[-1]
            (lost,) = [shard for shard in shards[:-1] if shard.number == taken.number]
            (kept,) = [shard for shard in shards[:-1] if shard.number != taken.number]
            before, asked = lost.asked, kept.asked
            await eventually(lambda: kept.asked > asked + 20 or first.failures)
            assert lost.asked == before
            assert not first.failures
            assert not second.failures
