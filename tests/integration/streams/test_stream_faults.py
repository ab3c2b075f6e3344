"""Workers that are killed, stalled and joined by others: nothing lost, nothing counted twice, the newest owner wins."""

import asyncio
import json
import random
from collections.abc import Iterator

import pytest

from shared.settings import KafkaSettings
from tests.integration.streams import toy
from tests.integration.streams.processes import Starter, workers
from tests.integration.streams.toy import COUNTS, INPUT
from tests.waiting import eventually

PARTITIONS = 4


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, PARTITIONS, INPUT, COUNTS)
    return settings


@pytest.fixture
def start(system: KafkaSettings) -> Iterator[Starter]:
    with workers(system) as starter:
        yield starter


async def feed(system: KafkaSettings, load: list[tuple[int, bytes, bytes]], pause: float = 0.05) -> None:
    """Write ``load`` in small parts, so that faults meet it under way."""
    size = len(load) // 100
    for begin in range(0, len(load), size):
        await toy.produce(system, INPUT, load[begin : begin + size])
        await asyncio.sleep(pause)


@pytest.mark.faults
async def test_kill_dash_nine_under_load(system: KafkaSettings, start: Starter) -> None:
    """The worker is killed again and again while the load comes in; the counts come out exact."""
    load = toy.load(PARTITIONS, 50_000, keys=1_000)
    feeding = asyncio.create_task(feed(system, load))
    kills = 0
    worker = start("worker-0")
    while not feeding.done():
        await eventually(lambda: worker.said("restored") == PARTITIONS, within=30)  # noqa: B023
        await asyncio.sleep(random.uniform(0, 0.5))
        if not feeding.done():
            worker.kill()
            kills += 1
            worker = start(f"worker-{kills}")
    await feeding
    await eventually(lambda: toy.counts_are(system, toy.tally(load)), within=60)
    assert kills >= 1, "the load ended before the first kill"


@pytest.mark.faults
async def test_one_two_one_workers_under_load(system: KafkaSettings, start: Starter) -> None:
    """A second worker takes half of the shards and gives them back; the first keeps its own half throughout."""
    load = toy.load(PARTITIONS, 50_000, keys=1_000)
    feeding = asyncio.create_task(feed(system, load))
    first = start("first")
    await eventually(lambda: first.said("restored") == PARTITIONS)
    second = start("second")
    await eventually(lambda: second.said("restored") == PARTITIONS // 2, within=30)
    assert not feeding.done(), "the load ended before the rebalance"
    second.stop()
    await eventually(lambda: second.dead, within=30)
    assert second.process.returncode == 0
    await eventually(lambda: first.said("restored") == PARTITIONS + PARTITIONS // 2, within=30)
    assert first.said("shard") == PARTITIONS + PARTITIONS // 2, "a held shard was made anew"
    await feeding
    await eventually(lambda: toy.counts_are(system, toy.tally(load)), within=60)


@pytest.mark.faults
async def test_a_zombie_is_fenced(system: KafkaSettings, start: Starter) -> None:
    """Stopped past its session timeout and woken after its shards moved, a worker cannot write and dies."""
    before, after = toy.load(PARTITIONS, 4_000), toy.load(PARTITIONS, 8_000)[4_000:]
    zombie = start("zombie")
    await eventually(lambda: zombie.said("restored") == PARTITIONS)
    await toy.produce(system, INPUT, before)
    await eventually(lambda: toy.counts_are(system, toy.tally(before)))
    zombie.stall()
    successor = start("successor")
    await toy.produce(system, INPUT, after)
    await eventually(lambda: successor.said("restored") == PARTITIONS, within=60)
    await eventually(lambda: toy.counts_are(system, toy.tally(before + after)), within=60)
    zombie.wake()
    await eventually(lambda: zombie.dead, within=30)
    assert zombie.process.returncode == 1
    assert "ProducerFenced" in zombie.log.read_text()
    last = {record.key: json.loads(record.value)[2] for record in await toy.read_all(system, COUNTS)}
    assert set(last.values()) == {"successor"}
    assert await toy.counts(system) == toy.tally(before + after)
