"""The doctor on a real broker and database: from nothing there to processes that run, and what it advises between."""

import asyncio
import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from shared.db import create_engine, upgrade
from shared.schemas import deal
from shared.schemas.deal import Deal
from shared.topics import DEALS
from tests.integration.capacity.system import Topics
from tests.integration.operator.processes import environment, headroom, running
from tests.integration.operator.test_rebuild_models import commit
from tests.waiting import eventually


async def examined(
    variables: dict[str, str], folder: Path, exit_code: int, *words: str
) -> tuple[dict[str, dict[str, Any]], str]:
    """The findings by what was looked at, and all of it as text."""
    said = await headroom("doctor", "--json", "--data", str(folder), *words, variables=variables, exit_code=exit_code)
    return {one["check"]: one for one in json.loads(said.stdout)["findings"]}, said.stdout


async def test_where_nothing_answers_it_says_what_to_start(tmp_path: Path) -> None:
    variables = {
        "HEADROOM_KAFKA__BOOTSTRAP": "127.0.0.1:9",
        "HEADROOM_DATABASE_URL": "postgresql+asyncpg://headroom:not-to-be-shown@127.0.0.1:9/headroom",
    }
    found, text = await examined(variables, tmp_path, 5, "--url", "door=http://127.0.0.1:9")
    assert [found[name]["state"] for name in ("broker", "database", "process door", "roles")] == [
        "problem", "problem", "problem", "unknown",
    ]  # fmt: skip
    assert "HEADROOM_KAFKA__BOOTSTRAP" in found["broker"]["do"]
    assert "not-to-be-shown" not in text
    shown = await headroom("doctor", "--data", str(tmp_path), variables=variables | {"NO_COLOR": "1"}, exit_code=5)
    assert "→ Start it" in shown.stdout
    assert "\x1b" not in shown.stdout


async def test_before_the_first_start_it_names_both_commands(
    kafka: str, topic_prefix: str, database_url: str, tmp_path: Path
) -> None:
    variables = {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka,
        "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix,
        "HEADROOM_DATABASE_URL": database_url,
    }
    found, _ = await examined(variables, tmp_path, 3)
    assert (found["topics"]["do"], found["tables"]["do"]) == ("Run `headroom topics apply`", "Run `headroom migrate`")
    assert "Kafka 4.1 or newer" in found["broker"]["what"]
    assert found["clock of the database"]["state"] == "ok"


async def test_processes_lag_and_places_are_told(log: Topics, migrated_url: str, tmp_path: Path) -> None:
    variables = environment(log.kafka, migrated_url)
    made = Deal(id="crm/1", source="crm", object="1", version=1)
    await log.write(DEALS, [(b"crm/1", deal.encode(made))], 1)
    await commit(log, "normalise", DEALS, 0, 5)  # not its topic, so no reason for anything
    async with running("views", "fold", logs=tmp_path, **variables) as processes:
        urls = [word for one in processes.status() for word in ("--url", f"{one.name}={one.url}")]

        async def settled() -> dict[str, dict[str, Any]]:
            found, text = await examined(variables, tmp_path, 3, *urls)
            assert "role views" in found, text
            assert [found[f"role {name}"]["state"] for name in ("views", "fold")] == ["ok", "ok"], found
            return found

        found = await eventually(settled, within=90)
        assert [found[f"process {name}"]["what"] for name in ("views", "fold")] == ["ready", "ready"]
        assert found["topics"]["state"] == found["tables"]["state"] == found["clock of the log"]["state"] == "ok"
        assert "no process runs" in found["role normalise"]["what"]
        assert "Start a triggers process" in found["role triggers"]["do"]
    await log.write(DEALS, [(b"crm/1", deal.encode(made))] * 3, 1)

    async def gone() -> bool:
        found, _ = await examined(variables, tmp_path, 3)
        assert "no process runs" in found["role fold"]["what"], "until its session is over it counts"
        return "behind by deals.v1[1] 3" in found["role fold"]["means"]

    await eventually(gone, within=60)


async def test_tables_of_another_version(database_url: str, tmp_path: Path) -> None:
    await asyncio.to_thread(upgrade, database_url)
    variables = {"HEADROOM_KAFKA__BOOTSTRAP": "127.0.0.1:9", "HEADROOM_DATABASE_URL": database_url}
    found, _ = await examined(variables, tmp_path, 3)
    assert found["tables"]["state"] == "ok"
    await set_revision(database_url, "0001")
    found, _ = await examined(variables, tmp_path, 3)
    assert found["tables"]["do"] == "Run `headroom migrate`"
    await set_revision(database_url, "9999")
    found, _ = await examined(variables, tmp_path, 3)
    assert "newer" in found["tables"]["means"]


async def set_revision(url: str, revision: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(sa.text("UPDATE alembic_version SET version_num = :revision"), {"revision": revision})
    await engine.dispose()
