"""Triggers on a real broker: frames in, recalibrations out, and a restart that tells nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest

from headroom import topics
from services.triggers.agents import Plans
from services.triggers.app import create_role
from shared.schemas import episode, frame, recalibration
from shared.schemas.frame import Frame
from shared.settings import KafkaSettings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.restore import TableReader
from shared.topics import EPISODES, FRAMES, PLANS, RECALIBRATIONS
from tests.integration.streams import toy
from tests.unit.triggers.scenes import (
    Log,
    at,
    plan_json,
    plans,
    position,
    published,
    slipping,
    trigger,
    undisturbed,
)
from tests.waiting import eventually

PLAN = plan_json(
    trigger(),
    trigger(trigger="late", watch="work", where={}, when="slip_weeks > 2", clear="slip_weeks <= 1", for_="2h"),
)
FRAMES_OF_A_DAY = [
    at(0, *(position(i, 0.1) for i in range(6)), complete=True, work=[slipping(0.0)]),
    at(1, position(1, 0.6), work=[slipping(4.0)]),
    at(2, position(2, 0.2)),
    at(3.5),
    at(4, position(3, 0.9)),
    at(5, work=[slipping(6.0)]),
    at(6, *(position(i, 0.1, decided=60.0) for i in range(6))),
    at(7, *(position(i, 0.1) for i in range(6)), complete=True, work=[slipping(0.5)]),
]


@pytest.fixture
async def kafka_settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = toy.settings(kafka, topic_prefix, partitions=1)
    await topics.apply(made)
    return made


@asynccontextmanager
async def triggers(kafka: KafkaSettings) -> AsyncIterator[Health]:
    known, health, failures = Plans(), Health(), list[BaseException]()
    reader = TableReader(kafka, PLANS, known.add, failures.append)
    await reader.start()
    await reader.caught_up()
    task = asyncio.create_task(run(create_role(known), kafka=kafka, health=health, on_failure=failures.append))
    try:
        yield health
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reader.stop()
    assert failures == []


async def publish(kafka: KafkaSettings, frames: Sequence[Frame]) -> None:
    await toy.produce(kafka, FRAMES, [(0, b"", frame.encode(one)) for one in frames])


async def told(kafka: KafkaSettings) -> list[recalibration.Recalibration]:
    return [recalibration.decode(record.value) for record in await toy.read_all(kafka, RECALIBRATIONS)]


async def is_told(kafka: KafkaSettings, expected: Log) -> bool:
    assert await told(kafka) == expected.told
    return True


async def test_frames_become_recalibrations_and_a_restart_repeats_none(kafka_settings: KafkaSettings) -> None:
    expected = undisturbed(FRAMES_OF_A_DAY, plans(PLAN))
    assert {one.kind for one in expected.told} == {"firing", "updated", "mitigated", "resolved"}
    await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
    for begin in range(0, len(FRAMES_OF_A_DAY), 3):
        part = FRAMES_OF_A_DAY[begin : begin + 3]
        until = undisturbed(FRAMES_OF_A_DAY[: begin + 3], plans(PLAN))
        async with triggers(kafka_settings) as health:
            await publish(kafka_settings, part)
            await eventually(lambda: health.ready)
            await eventually(lambda until=until: is_told(kafka_settings, until))  # type: ignore[misc]
    rows = [episode.decode(record.value) for record in await toy.read_all(kafka_settings, EPISODES)]
    assert {(row.trigger, row.scope): row for row in rows} == expected.rows()


async def test_frames_wait_for_a_plan_that_is_published_later(kafka_settings: KafkaSettings) -> None:
    expected = undisturbed(FRAMES_OF_A_DAY, plans(PLAN))
    async with triggers(kafka_settings) as health:
        await publish(kafka_settings, FRAMES_OF_A_DAY)
        await eventually(lambda: health.ready and not any(health.lag.values()))
        assert await told(kafka_settings) == []
        await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
        await eventually(lambda: is_told(kafka_settings, expected))
