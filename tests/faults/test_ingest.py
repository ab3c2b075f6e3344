"""Door and normaliser killed without warning while events pour in: nothing acknowledged is lost, nothing is done twice.

The truth is computed from what the sender had acknowledged, by plain sorting; it shares no code with the merge.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient, HTTPError

from headroom import topics
from services.ingest.settings import IngestSettings
from shared.access import hash_key, metadata, new_key
from shared.db import create_engine
from shared.schemas import dead_letter, deal
from shared.topics import DEAD_LETTERS, DEALS, HISTORY
from tests.integration.ingest.doors import BATCH, Door, free_port, header, settings_for
from tests.integration.ingest.processes import Process
from tests.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.timeout(420)]

DEALS_IN_ALL = 120
BATCH_OF = 25
PACE = 0.05
"""Seconds between two batches: the load must last longer than the faults, not break records."""
START = datetime(2026, 4, 1, tzinfo=UTC)
FIELDS = {"stage": ["open", "commit", "won", "lost"], "amount": [0, 1, 2.5, None], "segment": ["smb", "mid"]}


@dataclass
class Said:
    """What the sender had acknowledged: per deal and field every (time, value), and the poison."""

    values: dict[tuple[str, str], list[tuple[str, Any]]] = field(default_factory=lambda: defaultdict(list))
    poison: set[bytes] = field(default_factory=set)
    events: int = 0

    def note(self, batch: list[dict[str, Any]]) -> None:
        self.events += len(batch)
        for event in batch:
            for name, value in event["data"].items():
                self.values[f"crm/{event['subject']}", name].append((event["time"], value))

    def newest(self) -> dict[tuple[str, str], Any]:
        return {place: max(said, key=lambda entry: entry[0])[1] for place, said in self.values.items()}


@dataclass
class Load:
    """A sender that sends each batch until it is acknowledged, some of it twice and all of it out of order."""

    door: Door
    said: Said = field(default_factory=Said)
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    done: bool = False

    async def run(self) -> None:
        while not self.done:
            await asyncio.sleep(PACE)
            batch = [self._event() for _ in range(BATCH_OF)]
            if self.dice.random() < 0.3:
                batch += self.dice.sample(batch, 5)
            self.dice.shuffle(batch)
            await self._until_taken(lambda sent=batch: self.door.send(sent, BATCH))
            self.said.note(batch)
            if self.dice.random() < 0.2:
                poison = b'{"portalId": "no number", "n": %d}' % len(self.said.poison)
                await self._until_taken(lambda body=poison: self.door.hubspot(b"[" + body + b"]"))
                self.said.poison.add(poison)

    def _event(self) -> dict[str, Any]:
        # Every moment is used once, so the newest is never a matter of taste.
        at = START + timedelta(microseconds=self.dice.randrange(10**12))
        names = self.dice.sample(sorted(FIELDS), self.dice.randint(1, 2))
        return {
            "specversion": "1.0",
            "id": at.isoformat(),
            "source": "crm",
            "type": "com.headroom.deal.changed",
            "subject": str(self.dice.randrange(DEALS_IN_ALL)),
            "time": at.isoformat(timespec="microseconds"),
            "data": {name: self.dice.choice(FIELDS[name]) for name in names},
        }

    async def _until_taken(self, send: Any) -> None:
        async def taken() -> bool:
            try:
                answer = await send()
            except HTTPError:
                return False
            assert answer.status_code in (202, 503), answer.text
            return bool(answer.status_code == 202)

        await eventually(taken, within=120, what="an acknowledgement")


@pytest.fixture
async def settings(kafka: str, topic_prefix: str, database_url: str) -> IngestSettings:
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    made = settings_for(kafka, topic_prefix, database_url, free_port())
    await topics.apply(made.kafka)
    return made


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


async def test_nothing_is_lost_or_done_twice(settings: IngestSettings, stack: ExitStack, tmp_path: Path) -> None:
    key = new_key()
    settings = settings.model_copy(update={"bootstrap_key_hash": hash_key(key)})
    ports = {"door": settings.http.port, "normalise": free_port()}

    def start(name: str) -> Process:
        return stack.enter_context(Process(name, settings, ports[name], tmp_path / name))

    running = {name: start(name) for name in ports}
    async with AsyncClient(base_url=running["door"].url, timeout=30) as client:
        door = Door(settings, client, key)
        load = Load(door)
        loading = asyncio.create_task(load.run())
        for name in ("normalise", "door", "normalise"):
            await _more(load, loading)
            normalised = len(await door.read(HISTORY))
            running[name].kill()
            running[name] = start(name)
            await eventually(lambda before=normalised: _goes_on(door, before), within=120, what="new history")
        assert not loading.done(), "the load ended before the faults: the run is void"
        load.done = True
        await loading
        await eventually(lambda: _reflects(door, load.said), within=120, every=0.5)
        await _nothing_twice(door, load.said)
    assert running["normalise"].terminate() == 0
    assert running["door"].terminate() == 0


async def _more(load: Load, loading: "asyncio.Task[None]") -> None:
    """Wait until another ten batches were acknowledged."""
    before = load.said.events

    def grown() -> bool:
        if loading.done():
            loading.result()
        return load.said.events >= before + 10 * BATCH_OF

    await eventually(grown, within=120, what="the load")


async def _goes_on(door: Door, before: int) -> bool:
    return len(await door.read(HISTORY)) > before


async def _reflects(door: Door, said: Said) -> bool:
    """Every deal on the log is what was acknowledged of it, and the poison is in the dead letters."""
    deals = {record.key.decode(): deal.decode(record.value) for record in await door.read(DEALS)}
    for (deal_id, name), value in said.newest().items():
        assert deal_id in deals, f"{deal_id} is missing"
        assert getattr(deals[deal_id], name) == value, (deal_id, name)
    letters = [dead_letter.decode(record.value) for record in await door.read(DEAD_LETTERS)]
    assert {letter.value for letter in letters} == said.poison
    return True


async def _nothing_twice(door: Door, said: Said) -> None:
    """Each version of each deal was written once, in order; each dead letter has an id of its own origin."""
    versions: dict[bytes, list[int]] = defaultdict(list)
    for record in await door.read(HISTORY):
        versions[record.key].append(deal.decode(record.value).version)
    for key, found in versions.items():
        assert found == list(range(1, len(found) + 1)), key
    on_deals = await door.read(DEALS)
    assert {record.key: deal.decode(record.value).version for record in on_deals} == {
        key: found[-1] for key, found in versions.items()
    }
    for record in await door.read(DEAD_LETTERS):
        letter = dead_letter.decode(record.value)
        assert header(record, "ce_id") == f"{letter.topic}/{letter.partition}/{letter.offset}"
