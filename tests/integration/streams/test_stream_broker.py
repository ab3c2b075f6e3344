"""The broker goes away under a worker that has work; afterwards everything is counted once, by it or a successor."""

import asyncio
from collections.abc import Iterator

import pytest

from headroom.local.kafka import EmbeddedKafka
from tests.integration.streams import toy
from tests.integration.streams.processes import Starter, workers
from tests.integration.streams.toy import COUNTS, INPUT
from tests.waiting import eventually

PARTITIONS = 4


@pytest.fixture
def broker() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as embedded:
        yield embedded


@pytest.mark.faults
@pytest.mark.timeout(300)
async def test_the_broker_is_killed_and_comes_back(broker: EmbeddedKafka) -> None:
    system = toy.settings(broker.bootstrap, "t.")
    await toy.create(system, PARTITIONS, INPUT, COUNTS)
    with workers(system) as start:
        start("worker-0")
        async with toy.feeding(system, PARTITIONS):
            await eventually(lambda: some_counted(system), within=60)
            broker.kill()
            await asyncio.to_thread(broker.restart)
            await eventually(lambda: worker_or_next_has_caught_up(system, start), within=150, every=1)
        await eventually(lambda: worker_or_next_has_caught_up(system, start), within=60, every=1)
    assert await toy.counts(system) == toy.tally(await inputs(system))


async def worker_or_next_has_caught_up(system: toy.KafkaSettings, start: Starter) -> bool:
    """As a supervisor: another process for one that ended itself. Whether everything written so far is counted."""
    if start.started[-1].dead:
        start(f"worker-{len(start.started)}")
    wanted = toy.tally(await inputs(system))
    counted = await toy.counts(system)
    return all(counted.get(key, (0, -1))[1] >= offset for key, (_, offset) in wanted.items())


async def some_counted(system: toy.KafkaSettings) -> bool:
    return bool(await toy.counts(system))


async def inputs(system: toy.KafkaSettings) -> list[tuple[int, bytes, bytes]]:
    return [(record.partition, record.key, record.value) for record in await toy.read_all(system, INPUT)]
