"""Workers that are killed, stalled and joined by others: nothing lost, nothing counted twice, the newest owner wins."""

import asyncio
import json
import os
import random
from collections.abc import Iterator

import pytest

from shared.settings import KafkaSettings
from tests.integration.streams import toy
from tests.integration.streams.processes import Starter, workers
from tests.integration.streams.toy import COUNTS, INPUT
from tests.waiting import eventually

PARTITIONS = 4
KILLS = int(os.environ.get("HEADROOM_FAULT_RUNS", "3"))


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, PARTITIONS, INPUT, COUNTS)
    return settings


@pytest.fixture
def start(system: KafkaSettings) -> Iterator[Starter]:
    with workers(system) as starter:
        yield starter


@pytest.mark.faults
@pytest.mark.timeout(600)
async def test_kill_dash_nine_under_load(system: KafkaSettings, start: Starter) -> None:
    """The worker is killed again and again while the load comes in; the counts come out exact."""
    async with toy.feeding(system, PARTITIONS) as written:
        for kill in range(KILLS):
            worker = start(f"worker-{kill}")
            await eventually(lambda: worker.said("restored") == PARTITIONS, within=60)  # noqa: B023
            await asyncio.sleep(random.uniform(0, 0.5))
            worker.kill()
    start("last")
    await eventually(lambda: toy.counts_are(system, toy.tally(written)), within=60)


@pytest.mark.faults
async def test_a_static_member_is_back_without_a_rebalance(system: KafkaSettings, start: Starter) -> None:
    """Killed and started again under its instance id, a worker gets its shards before its old session has ended."""
    async with toy.feeding(system, PARTITIONS) as written:
        other = start("other", "b")
        await eventually(lambda: other.said("restored") == PARTITIONS, within=60)
        worker = start("worker", "a")
        await eventually(lambda: worker.said("restored") == PARTITIONS // 2, within=60)
        shards = other.said("shard")
        worker.kill()
        again = start("again", "a")
        await eventually(lambda: again.said("restored") == PARTITIONS // 2, within=60)
        assert other.said("shard") == shards
    await eventually(lambda: toy.counts_are(system, toy.tally(written)), within=60)


@pytest.mark.faults
async def test_one_two_one_workers_under_load(system: KafkaSettings, start: Starter) -> None:
    """A second worker takes half of the shards and gives them back; the first keeps its own half throughout."""
    async with toy.feeding(system, PARTITIONS) as written:
        first = start("first")
        await eventually(lambda: first.said("restored") == PARTITIONS, within=60)
        second = start("second")
        await eventually(lambda: second.said("restored") == PARTITIONS // 2, within=60)
        second.stop()
        await eventually(lambda: second.dead, within=60)
        assert second.process.returncode == 0
        await eventually(lambda: first.said("restored") == PARTITIONS + PARTITIONS // 2, within=60)
        assert first.said("shard") == PARTITIONS + PARTITIONS // 2, "a held shard was made anew"
    await eventually(lambda: toy.counts_are(system, toy.tally(written)), within=60)


@pytest.mark.faults
async def test_a_zombie_is_fenced(system: KafkaSettings, start: Starter) -> None:
    """Stopped past its session timeout and woken after its shards moved, a worker cannot write and dies."""
    async with toy.feeding(system, PARTITIONS) as written:
        zombie = start("zombie")
        await eventually(lambda: zombie.said("restored") == PARTITIONS, within=60)
        await eventually(lambda: owners(system, {"zombie"}), within=60)
        zombie.stall()
        successor = start("successor")
        await eventually(lambda: successor.said("restored") == PARTITIONS, within=60)
        zombie.wake()
        await eventually(lambda: zombie.dead, within=60)
    assert zombie.process.returncode == 1
    assert "ProducerFenced" in zombie.log.read_text()
    await eventually(lambda: toy.counts_are(system, toy.tally(written)), within=60)
    assert await owners(system, {"zombie", "successor"})


async def owners(system: KafkaSettings, expected: set[str]) -> bool:
    """Whether every partition was written by ``expected``; the successor's records all lie behind the zombie's."""
    names: dict[int, list[str]] = {number: [] for number in range(PARTITIONS)}
    for record in await toy.read_all(system, COUNTS):
        names[record.partition].append(json.loads(record.value)[2])
    assert all(set(found) == expected for found in names.values())
    assert all(found == sorted(found, reverse=True) for found in names.values()), "the zombie wrote after its successor"
    return True
