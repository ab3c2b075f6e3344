"""Views killed, and their database taken away, while frames and deals come in: the tables end up as the log says."""

import asyncio
import os
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from itertools import cycle
from pathlib import Path

import aiohttp
import pytest

from headroom import topics
from headroom.local.ports import free_ports
from headroom.local.postgres import EmbeddedPostgres
from services.capacity.store.reading import ReadingModels
from shared.access import hash_key, new_key
from shared.db import create_engine, upgrade
from shared.schemas import deal, frame
from shared.schemas.deal import Deal
from shared.schemas.frame import Frame
from shared.settings import KafkaSettings
from shared.topics import DEALS, FRAMES, PLANS
from tests.integration.streams import toy
from tests.unit.triggers.scenes import plan_json, published
from tests.unit.triggers.test_trigger_shard import story
from tests.unit.views.test_views_fold import one_by_one
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("HEADROOM_FAULT_RUNS", "4"))
PARTITIONS = 2
FEED_EVERY = 0.1
FRAMES_OF_STORY = story(21, 1_000)

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


class System:
    """The views process with a broker and a database of its own, and a feed that runs beside it."""

    def __init__(self, kafka: KafkaSettings, postgres: EmbeddedPostgres, url: str, log: Path) -> None:
        self.kafka, self.postgres, self.url, self._log = kafka, postgres, url, log
        self._engine = create_engine(url)
        self._models = ReadingModels(self._engine)
        self.key = new_key()
        (self.port,) = free_ports(1)
        self.process: subprocess.Popen[bytes] | None = None
        self.frames: list[Frame] = []
        self.deals: dict[str, Deal] = {}
        self._enough = asyncio.Event()

    def start(self) -> None:
        """Start the process, as the group's lasting member."""
        environment = os.environ | {
            "HEADROOM_KAFKA__BOOTSTRAP": self.kafka.bootstrap,
            "HEADROOM_KAFKA__TOPIC_PREFIX": self.kafka.topic_prefix,
            "HEADROOM_KAFKA__SESSION_TIMEOUT": "6",
            "HEADROOM_KAFKA__INSTANCE_ID": "views-1",
            "HEADROOM_DATABASE_URL": self.url,
            "HEADROOM_BOOTSTRAP_KEY_HASH": hash_key(self.key),
            "HEADROOM_HTTP__PORT": str(self.port),
        }
        command = [sys.executable, "-m", "services.capacity", "views"]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)

    async def close(self) -> None:
        """End everything that was started."""
        self.kill()
        await self._engine.dispose()

    def kill(self) -> None:
        """End it without a word."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    async def feed(self) -> None:
        """Publish frames and deals until there were enough faults."""
        chance, story_again = random.Random(3), cycle(FRAMES_OF_STORY)
        while not self._enough.is_set():
            await asyncio.sleep(FEED_EVERY)
            part = [next(story_again) for _ in range(3)]
            await toy.produce(self.kafka, FRAMES, [(0, b"", frame.encode(one)) for one in part])
            self.frames += part
            changed = [self._change(f"crm/{chance.randrange(50)}") for _ in range(10)]
            records = [(int(d.object) % PARTITIONS, d.id.encode(), deal.encode(d)) for d in changed]
            await toy.produce(self.kafka, DEALS, records)

    def enough(self) -> None:
        self._enough.set()

    def _change(self, name: str) -> Deal:
        version = self.deals[name].version + 1 if name in self.deals else 1
        made = Deal(id=name, source="crm", object=name.partition("/")[2], version=version, stage=f"s{version}")
        self.deals[name] = made
        return made

    async def shown(self) -> int:
        """The frame that the tables show, -1 for none."""
        async with self._models.snapshot() as snapshot:
            projection = await snapshot.projection()
        return -1 if projection is None else projection.frame

    async def agrees(self) -> bool:
        """The tables hold what the log says."""
        positions, work, _, _ = one_by_one(({}, {}, [], {}), self.frames)
        async with self._models.snapshot() as snapshot:
            projection = await snapshot.projection()
            assert projection is not None
            assert projection.as_of == self.frames[-1].now
            found = await snapshot.positions(None, None, None, None, 10_000)
            assert found == [positions[key] for key in sorted(positions)]
            assert await snapshot.work() == [work[key] for key in sorted(work)]
            for name, expected in self.deals.items():
                assert await snapshot.deal(name) == expected
        return True

    async def ask(self, path: str) -> int:
        """The status of an answer, 0 when nobody answers."""
        headers = {"Authorization": f"Bearer {self.key}"}
        async with aiohttp.ClientSession() as session:
            try:
                async with session.get(f"http://127.0.0.1:{self.port}{path}", headers=headers) as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                return 0


@pytest.fixture
async def kafka_settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    made = toy.settings(kafka, topic_prefix, partitions=PARTITIONS)
    await topics.apply(made)
    await toy.produce(made, PLANS, [(0, b"p@1", published(plan_json())), (0, b"p@2", published(plan_json(), 2))])
    return made


@pytest.fixture
async def system(kafka_settings: KafkaSettings, tmp_path: Path) -> AsyncIterator[System]:
    with EmbeddedPostgres() as postgres:
        url = postgres.create_database("views")
        made = System(kafka_settings, postgres, url, tmp_path / "views.log")
        yield made
        await made.close()


async def further(system: System, than: int, by: int) -> bool:
    return await system.shown() > than + by


async def test_kills_while_frames_and_deals_come_in(system: System) -> None:
    await asyncio.to_thread(upgrade, system.url)
    feeding, chance = asyncio.create_task(system.feed()), random.Random(9)
    for _ in range(KILLS):
        system.start()
        before = await system.shown()
        by = chance.randrange(10)
        await eventually(lambda before=before, by=by: further(system, before, by), within=90, every=0.3)  # type: ignore[misc]
        assert not feeding.done(), "the feed ended before the fault"
        system.kill()
    system.enough()
    await feeding
    system.start()
    await eventually(system.agrees, within=90, every=0.5)


async def test_the_database_goes_away_and_comes_back(system: System) -> None:
    await asyncio.to_thread(upgrade, system.url)
    feeding = asyncio.create_task(system.feed())
    system.start()
    await eventually(lambda: further(system, -1, 0), within=90, every=0.3)
    os.kill(system.postgres.pid, signal.SIGINT)
    await eventually(lambda: not system.postgres.alive)
    sent = len(system.frames)

    async def answers_later() -> bool:
        return await system.ask("/v1/positions") == 503

    await eventually(answers_later)
    await eventually(lambda: len(system.frames) > sent + 30, within=60)
    assert system.process is not None
    assert system.process.poll() is None, "it ended although the database was only away"
    await asyncio.to_thread(system.postgres.start)
    system.enough()
    await feeding
    await eventually(system.agrees, within=90, every=0.5)

    async def answers() -> bool:
        return await system.ask("/v1/positions") == 200

    await eventually(answers)
    assert system.process.poll() is None
