"""A plan and a real pipeline through the real door, normaliser and fold: cells equal a plain recompute of the CSV."""

import asyncio
import csv
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headroom import load, plan, topics
from shared.access import metadata
from shared.db import create_engine
from shared.errors import BadInput
from shared.schemas import cell as cells
from shared.settings import KafkaSettings
from shared.topics import CELLS
from tests.integration.ingest.doors import Door, add_key, free_port, read_topic, running_door, settings_for
from tests.waiting import eventually

ROOT = Path(__file__).parents[3]
PIPELINE = ROOT.parent / "shared" / "data" / "maven-crm" / "sales_pipeline.csv"
MAPPING = ROOT / "examples" / "maven-crm" / "mapping.yaml"
PLAN = MAPPING.with_name("plan.yaml")
AS_OF = "2017-10-01"


@dataclass(frozen=True)
class Stage:
    """What one stage sums to: deals, units, and money to the cent."""

    deals: int
    units: int
    cents: int


@pytest.fixture
async def door(kafka: str, topic_prefix: str, database_url: str) -> AsyncIterator[Door]:
    settings = settings_for(kafka, topic_prefix, database_url, free_port())
    engine = create_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    await topics.apply(settings.kafka)
    async with running_door(settings) as running:
        yield running


@contextmanager
def process(module: str, name: str, door: Door, folder: Path) -> Iterator[None]:
    """``python -m MODULE NAME`` beside the door; killed at the end."""
    kafka = door.settings.kafka
    environment = {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "HEADROOM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": str(kafka.partitions),
        "HEADROOM_DATABASE_URL": door.settings.database_url,
        "HEADROOM_HTTP__PORT": str(free_port()),
    }
    with (folder / f"{name}.log").open("w") as log:
        arguments = [sys.executable, "-m", module, name]
        started = subprocess.Popen(arguments, cwd=ROOT, env=os.environ | environment, stdout=log, stderr=log)
    try:
        yield
    finally:
        started.kill()
        started.wait()


def recomputed() -> dict[str, Stage]:
    """The stages as of the day, straight from the rows."""
    deals: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    with PIPELINE.open(newline="") as opened:
        for row in csv.DictReader(opened):
            if row["close_date"] and row["close_date"] <= AS_OF:
                stage = row["deal_stage"]
                cents[stage] += 100 * int(row["close_value"]) if stage == "Won" else 0
            elif row["engage_date"] and row["engage_date"] > AS_OF:
                continue
            else:
                stage = "Engaging" if row["engage_date"] else row["deal_stage"]
            deals[stage] += 1
    return {stage: Stage(number, number, cents[stage]) for stage, number in deals.items()}


async def folded(kafka: KafkaSettings) -> dict[str, Stage]:
    """The stages as the cells have them now."""
    latest = {record.key: record.value for record in await read_topic(kafka, CELLS)}
    deals: Counter[str] = Counter()
    units: Counter[str] = Counter()
    cents: Counter[str] = Counter()
    for key, value in latest.items():
        if value is None or b'"mark"' in key:
            continue
        cell = cells.decode_cell(value)
        deals[cell.key.stage] += cell.stage.count
        units[cell.key.stage] += round(cell.stage.q)
        cents[cell.key.stage] += round(100 * cell.stage.net)
    return {stage: Stage(deals[stage], units[stage], cents[stage]) for stage in deals if deals[stage]}


async def test_a_plan_is_put_in_force_and_keeps_its_version(door: Door) -> None:
    for _ in range(2):
        arguments = ["apply", str(PLAN), "--url", str(door.client.base_url), "--key", door.key]
        result = await asyncio.to_thread(CliRunner().invoke, plan.app, arguments)
        assert (result.exit_code, result.stdout) == (0, "maven-2017 is in force as version 1\n")


async def test_a_plan_is_compared_with_the_one_in_force(door: Door, tmp_path: Path) -> None:
    where = ["--url", str(door.client.base_url), "--key", door.key]

    async def diff(file: Path) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, plan.app, ["diff", str(file), *where])

    nothing = await diff(PLAN)
    assert isinstance(nothing.exception, BadInput)
    assert "no plan is in force" in str(nothing.exception)
    await asyncio.to_thread(CliRunner().invoke, plan.app, ["apply", str(PLAN), *where])
    assert (await diff(PLAN)).stdout == "Nothing changes.\n"
    changed = tmp_path / "plan.yaml"
    changed.write_text(PLAN.read_text().replace("horizon_weeks: 26", "horizon_weeks: 30"), encoding="utf-8")
    assert "horizon_weeks from 26 to 30" in (await diff(changed)).stdout


async def test_a_plan_needs_the_scope_for_it(door: Door) -> None:
    key = await add_key(door.settings.database_url, "ingest")
    arguments = ["apply", str(PLAN), "--url", str(door.client.base_url), "--key", key]
    result = await asyncio.to_thread(CliRunner().invoke, plan.app, arguments)
    assert result.exit_code == 4
    assert "The route needs the scope admin; the key 'some key' has ingest." in result.stderr


@pytest.mark.skipif(not PIPELINE.exists(), reason=f"{PIPELINE.name} is not beside this checkout")
@pytest.mark.timeout(400)
async def test_the_cells_equal_a_plain_recompute_of_the_csv(
    door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    where = ["--url", str(door.client.base_url), "--key", door.key, "--as-of", AS_OF]
    with process("services.ingest", "normalise", door, tmp_path), process("services.capacity", "fold", door, tmp_path):
        for _ in range(2):
            arguments = ["deals", str(PIPELINE), "--map", str(MAPPING), *where]
            result = await asyncio.to_thread(CliRunner().invoke, load.app, arguments)
            assert result.exit_code == 0, (result.output, result.exception)

        async def equal() -> bool:
            assert await folded(door.settings.kafka) == recomputed()
            return True

        await eventually(equal, within=120, every=1, what="the cells")
    assert sum(stage.deals for stage in recomputed().values()) == 7672
