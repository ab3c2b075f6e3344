"""Triggers killed and stalled while frames come in: afterwards the log holds what one undisturbed run makes of them."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from headroom import topics
from headroom.local.ports import free_ports
from services.triggers.plans import Plans
from shared.schemas import episode, frame, recalibration
from shared.schemas.frame import Frame
from shared.settings import KafkaSettings
from shared.topics import EPISODES, FRAMES, PLANS, RECALIBRATIONS
from tests.integration.streams import toy
from tests.unit.triggers.scenes import (
    MONDAY,
    POOLS,
    Log,
    at,
    plan_json,
    position,
    published,
    trigger,
    undisturbed,
)
from tests.unit.triggers.test_trigger_shard import FIRST, KNOWN, SECOND, story
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
FEED_EVERY = 0.05
KILLS = int(os.environ.get("HEADROOM_FAULT_RUNS", "4"))

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


class Processes:
    """Triggers processes of one system; what they log is kept in a folder."""

    def __init__(self, kafka: KafkaSettings, folder: Path) -> None:
        self._kafka, self._folder = kafka, folder
        self.started: list[subprocess.Popen[bytes]] = []

    def start(self, instance: str = "") -> subprocess.Popen[bytes]:
        """One more process; with ``instance`` a lasting member of the group, whose return moves nothing."""
        environment = os.environ | {
            "HEADROOM_KAFKA__BOOTSTRAP": self._kafka.bootstrap,
            "HEADROOM_KAFKA__TOPIC_PREFIX": self._kafka.topic_prefix,
            "HEADROOM_KAFKA__SESSION_TIMEOUT": "6",
            "HEADROOM_HTTP__PORT": str(free_ports(1)[0]),
        }
        if instance:
            environment["HEADROOM_KAFKA__INSTANCE_ID"] = instance
        with (self._folder / f"{len(self.started)}.log").open("wb") as log:
            command = [sys.executable, "-m", "services.triggers"]
            process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()
            process.wait()


@pytest.fixture
async def kafka_settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = toy.settings(kafka, topic_prefix, partitions=1)
    await topics.apply(made)
    await toy.produce(made, PLANS, [(0, b"p@1", published(FIRST)), (0, b"p@2", published(SECOND, 2))])
    return made


@pytest.fixture
def processes(kafka_settings: KafkaSettings, tmp_path: Path) -> Iterator[Processes]:
    made = Processes(kafka_settings, tmp_path)
    yield made
    made.end()


async def publish(kafka: KafkaSettings, frames: list[Frame], enough: asyncio.Event) -> list[Frame]:
    """Publish frames one after another until there were enough faults; returns those that were published."""
    sent = 0
    while sent < len(frames) and not enough.is_set():
        await asyncio.sleep(FEED_EVERY)
        part = frames[sent : sent + 2]
        await toy.produce(kafka, FRAMES, [(0, b"", frame.encode(one)) for one in part])
        sent += len(part)
    return frames[:sent]


async def number_told(kafka: KafkaSettings) -> int:
    return len(await toy.read_all(kafka, RECALIBRATIONS))


async def settled(kafka: KafkaSettings, expected: Log) -> bool:
    """The log holds every transition once with the same content, and the same episodes."""
    made = [recalibration.decode(record.value) for record in await toy.read_all(kafka, RECALIBRATIONS) if record.value]
    assert len(made) == len(expected.told)
    assert made == expected.told
    records = await toy.read_all(kafka, EPISODES)
    rows = [episode.decode(record.value) for record in records if record.key != episode.EVALUATED_KEY]
    assert {(row.trigger, row.scope): row for row in rows} == expected.rows()
    return True


async def test_kills_while_frames_come_in(kafka_settings: KafkaSettings, processes: Processes) -> None:
    enough, chance = asyncio.Event(), random.Random(7)
    publishing = asyncio.create_task(publish(kafka_settings, story(7, 20_000), enough))
    for _ in range(KILLS):
        process = processes.start("triggers-1")
        before = await number_told(kafka_settings)

        async def moved_on(before: int = before) -> bool:
            return await number_told(kafka_settings) > before + chance.randrange(5)

        await eventually(moved_on, within=90, every=0.3)
        assert not publishing.done(), "the frames ended before the fault"
        process.kill()
        process.wait()
    enough.set()
    published_ = await publishing
    processes.start("triggers-1")
    expected = undisturbed(published_, KNOWN)
    await eventually(lambda: settled(kafka_settings, expected), within=120, every=0.5)


async def test_a_stalled_owner_is_replaced_and_cannot_write_again(
    kafka_settings: KafkaSettings, processes: Processes
) -> None:
    frames = story(11, 400)
    first = processes.start()
    await publish(kafka_settings, frames[:200], asyncio.Event())
    expected = undisturbed(frames[:200], KNOWN)
    await eventually(lambda: settled(kafka_settings, expected), within=90, every=0.5)
    first.send_signal(signal.SIGSTOP)
    processes.start()
    await publish(kafka_settings, frames[200:], asyncio.Event())
    both = undisturbed(frames, KNOWN)
    await eventually(lambda: settled(kafka_settings, both), within=90, every=0.5)
    first.send_signal(signal.SIGCONT)
    await publish(kafka_settings, story(12, 50), asyncio.Event())
    longer = undisturbed([*frames, *story(12, 50)], KNOWN)
    await eventually(lambda: settled(kafka_settings, longer), within=90, every=0.5)


async def recomputed(kafka: KafkaSettings) -> Log:
    """What one undisturbed run makes of the plans and frames that lie in the log."""
    known = Plans()
    for record in await toy.read_all(kafka, PLANS):
        known.add(record)
    return undisturbed([frame.decode(record.value) for record in await toy.read_all(kafka, FRAMES)], known)


async def is_as_recomputed(kafka: KafkaSettings) -> bool:
    return await settled(kafka, await recomputed(kafka))


HOLD = trigger(trigger="patient", for_="6h")
SENT_BACK = trigger(trigger="wavering", where={"pool": "engineering"}, clear=None, when="overload > 0.5", keep="30m")
CALM = [position(i, 0.05, pool=pool) for i in range(6) for pool in POOLS]
BREACHED = [position(1, 0.9), position(2, 0.9, pool="engineering")]

REGRESSIONS = [
    # What others lose: the time that a breach was held, at a restart …
    ("the beginning of `for`", [at(0, *CALM, complete=True), at(1, *BREACHED)]),
    # … and at a new plan with the same trigger.
    ("a new plan while pending", [at(4, *CALM, *BREACHED, complete=True, plan="p@4"), at(5, plan="p@4")]),
    ("`for` is over", [at(7, plan="p@4"), at(7.5, plan="p@4")]),
    # What others do then: send a firing episode back to pending, because it was firing in memory only.
    ("firing stays firing", [at(8, *BREACHED, plan="p@4"), at(9, plan="p@4")]),
    # Data that goes missing resolves nothing.
    ("silence", [at(10, complete=True, plan="p@4"), at(40, plan="p@4")]),
    ("it comes back", [at(41, *CALM, *BREACHED, complete=True, plan="p@4")]),
    # An input that wavers calls nobody twice.
    (
        "oscillation",
        [at(42 + i / 60, position(2, 0.9 if i % 2 else 0.05, pool="engineering"), plan="p@4") for i in range(240)],
    ),
    # What is over is told, whatever happens at that moment.
    ("the end", [at(50, *CALM, plan="p@4"), at(51, plan="p@4")]),
]


async def test_the_regressions_others_met(kafka_settings: KafkaSettings, processes: Processes) -> None:
    """A kill in the middle of each: between its frames, and without waiting for what the first half came to."""
    plan = plan_json(HOLD, SENT_BACK)
    values = [published(plan, 3), published({**plan, "horizon_weeks": 30}, 4)]
    await toy.produce(kafka_settings, PLANS, [(0, f"p@{n}".encode(), value) for n, value in enumerate(values, start=3)])
    begun = [replace(one, plan=one.plan.replace("p@1", "p@3")) for _, frames in REGRESSIONS for one in frames]
    process = processes.start("triggers-1")
    sent = 0
    for name, frames in REGRESSIONS:
        half = sent + len(frames) // 2
        for part in (begun[sent:half], begun[half : sent + len(frames)]):
            await toy.produce(kafka_settings, FRAMES, [(0, b"", frame.encode(one)) for one in part])
            process.kill()
            process.wait()
            process = processes.start("triggers-1")
        sent += len(frames)
        assert process.poll() is None, name
        await eventually(lambda: is_as_recomputed(kafka_settings), within=90, every=0.5)
    made = [recalibration.decode(record.value) for record in await toy.read_all(kafka_settings, RECALIBRATIONS)]
    patient = [(one.kind, (one.at - MONDAY).total_seconds() / 3600) for one in made if one.trigger == "patient"]
    assert patient == [("firing", 7), ("resolved", 50)]
    wavering = [(one.kind, (one.at - MONDAY).total_seconds() / 3600) for one in made if one.trigger == "wavering"]
    assert wavering == [("firing", 1), ("resolved", 51)]
