"""Triggers on a real broker: frames in, recalibrations out, and a restart that tells nothing twice."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from headroom import topics
from services.triggers.agents import Begin
from services.triggers.app import create_role
from services.triggers.plans import Plans
from shared.schemas import dead_letter, episode, frame, recalibration
from shared.schemas.frame import Frame
from shared.settings import KafkaSettings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.restore import TableReader
from shared.topics import DEAD_LETTERS, EPISODES, FRAMES, PLANS, RECALIBRATIONS, Topic
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
    known, begin, health, failures = Plans(), Begin(), Health(), list[BaseException]()
    reader = TableReader(kafka, PLANS, known.add, failures.append)
    begins = TableReader(kafka, EPISODES, begin.add, failures.append)
    await reader.start()
    await begins.start()
    await reader.caught_up()
    role = create_role(known, begin, begins)
    task = asyncio.create_task(run(role, kafka=kafka, health=health, on_failure=failures.append))
    try:
        yield health
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await reader.stop()
        await begins.stop()
    assert failures == []


async def publish(kafka: KafkaSettings, frames: Sequence[Frame]) -> None:
    await toy.produce(kafka, FRAMES, [(0, b"", frame.encode(one)) for one in frames])


async def told(kafka: KafkaSettings) -> list[recalibration.Recalibration]:
    records = await toy.read_all(kafka, RECALIBRATIONS)
    return [recalibration.decode(record.value) for record in records if record.value is not None]


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
    records = await toy.read_all(kafka_settings, EPISODES)
    rows = [episode.decode(record.value) for record in records if record.key != episode.EVALUATED_KEY]
    assert {(row.trigger, row.scope): row for row in rows} == expected.rows()


async def test_frames_wait_for_a_plan_that_is_published_later(kafka_settings: KafkaSettings) -> None:
    expected = undisturbed(FRAMES_OF_A_DAY, plans(PLAN))
    async with triggers(kafka_settings) as health:
        await publish(kafka_settings, FRAMES_OF_A_DAY)
        await eventually(lambda: health.ready and not any(health.lag.values()))
        assert await told(kafka_settings) == []
        await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
        await eventually(lambda: is_told(kafka_settings, expected))


async def test_a_restart_reads_no_frame_before_the_last_complete_one(kafka_settings: KafkaSettings) -> None:
    """Those before are deleted, as retention does in time: what follows is as in an undisturbed run all the same."""
    await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
    first, second = FRAMES_OF_A_DAY, [at(8, position(2, 0.9), work=[slipping(4.0)]), at(11), at(12, position(2, 0.1))]
    async with triggers(kafka_settings):
        await publish(kafka_settings, first)
        expected = undisturbed(first, plans(PLAN))
        await eventually(lambda: has_told(kafka_settings, expected))
        await eventually(lambda: begins_at(kafka_settings, len(first) - 1))
    await trim(kafka_settings, FRAMES, len(first) - 1)
    async with triggers(kafka_settings):
        await publish(kafka_settings, second)
        whole = undisturbed([*first, *second], plans(PLAN))
        assert len(whole.told) > len(expected.told)
        await eventually(lambda: has_told(kafka_settings, whole))


async def test_what_was_resolved_long_ago_gets_a_tombstone_and_its_number_stays(kafka_settings: KafkaSettings) -> None:
    await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
    calm, breached = position(1, 0.05), position(1, 0.9)
    first = [at(0, breached, complete=True), at(24, calm), at(24 * 92)]
    second = [at(24 * 93, breached)]
    async with triggers(kafka_settings):
        await publish(kafka_settings, first)
        await eventually(lambda: forgotten(kafka_settings, undisturbed(first, plans(PLAN))))
    async with triggers(kafka_settings):
        await publish(kafka_settings, second)
        expected = undisturbed([*first, *second], plans(PLAN))
        await eventually(lambda: has_told(kafka_settings, expected))
    assert await forgotten(kafka_settings, expected)
    ids = [one.id for one in expected.told if one.kind == "firing"]
    assert len(set(ids)) == 2
    assert expected.forgotten == ids[:1]


async def test_what_is_broken_has_one_letter_over_restarts_and_the_stream_goes_on(
    kafka_settings: KafkaSettings,
) -> None:
    await toy.produce(kafka_settings, PLANS, [(0, b"p@1", published(PLAN))])
    key = episode.record_key("late", "release")
    await toy.produce(kafka_settings, EPISODES, [(0, key, b"broken"), (0, episode.EVALUATED_KEY, b"broken")])
    await publish(kafka_settings, FRAMES_OF_A_DAY[:1])
    await toy.produce(kafka_settings, FRAMES, [(0, b"", b"broken")])
    expected = [("broken-episodes.v1", 0), ("broken-episodes.v1", 1), ("broken-frames.v1", 1)]
    for part in (FRAMES_OF_A_DAY[1:2], FRAMES_OF_A_DAY[2:]):
        before = len(await told(kafka_settings))
        async with triggers(kafka_settings) as health:
            await eventually(lambda: health.ready)
            await publish(kafka_settings, part)
            await eventually(lambda before=before: more_is_told(kafka_settings, before))  # type: ignore[misc]
    letters = [dead_letter.decode(record.value) for record in await toy.read_all(kafka_settings, DEAD_LETTERS)]
    assert sorted((letter.reason, letter.offset) for letter in letters) == expected


async def more_is_told(kafka: KafkaSettings, than: int) -> bool:
    return len(await told(kafka)) > than


async def forgotten(kafka: KafkaSettings, expected: Log) -> bool:
    records = await toy.read_all(kafka, RECALIBRATIONS)
    return [record.key.decode() for record in records if record.value is None] == expected.forgotten != []


async def has_told(kafka: KafkaSettings, expected: Log) -> bool:
    return await told(kafka) == expected.told


async def begins_at(kafka: KafkaSettings, offset: int) -> bool:
    begin = Begin()
    for record in await toy.read_all(kafka, EPISODES):
        begin.add(record)
    return begin.frame == offset


async def trim(kafka: KafkaSettings, topic: Topic, before: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(kafka.topic_prefix + topic.name, 0): RecordsToDelete(before)})
    finally:
        await admin.close()
