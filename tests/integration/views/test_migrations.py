"""What migrations make of rows that an earlier version wrote, and of a database that a later one has migrated."""

import asyncio
import inspect
import re

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import text
from typer.testing import CliRunner

from headroom.cli import app
from services.capacity.store.reading import ReadingModels
from services.notifier.store.deliveries import Deliveries
from shared.db import MIGRATIONS, create_engine, upgrade


def _to(url: str, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    command.upgrade(config, revision)


async def test_capacity_by_plan_keeps_its_figure_under_its_new_name(database_url: str) -> None:
    await asyncio.to_thread(_to, database_url, "0004")
    engine = create_engine(database_url)
    row = '{"pool": "eng", "week": "2026-W14", "unit": "hours", "capacity": 90.0, "planned": 80.0, "decided": 10.0}'
    async with engine.begin() as connection:
        put = text("INSERT INTO positions VALUES ('eng', '2026-W14', 0, CAST(:row AS jsonb))")
        await connection.execute(put, {"row": row})
    await asyncio.to_thread(upgrade, database_url)
    async with ReadingModels(engine).snapshot() as snapshot:
        (found,) = await snapshot.positions(None, None, None, None, 10)
    assert (found.by_plan, found.planned, found.capacity, found.decided) == (80.0, 0.0, 90.0, 10.0)
    await engine.dispose()


async def test_a_grouped_message_of_before_is_found_by_what_it_tells_of(database_url: str) -> None:
    await asyncio.to_thread(_to, database_url, "0009")
    engine = create_engine(database_url)
    body = r'{"type": "recalibration.grouped", "data": {"count": 2, "recalibrations": [{"id": "r2"}, {"id": "r1"}],'
    body += r' "x": "\u0000"}}'
    async with engine.begin() as connection:
        put = text(
            "INSERT INTO subscriptions (id, name, channel, url, filters, enabled, key_name)"
            " VALUES (gen_random_uuid(), 'a', 'webhook', 'https://a.example', '{}', true, 'k') RETURNING id"
        )
        to = await connection.scalar(put)
        put = text(
            "INSERT INTO deliveries (subscription, event, type, body, recorded, state)"
            " VALUES (:to, 'e', 'recalibration.grouped', :body, now(), 'delivered')"
        )
        await connection.execute(put, {"to": to, "body": body})
    await asyncio.to_thread(upgrade, database_url)
    found = [len(await Deliveries(engine).listed(limit=9, recalibration=name)) for name in ("r1", "r2", "r3")]
    assert found == [1, 1, 0]
    await engine.dispose()


async def test_a_version_from_before_leaves_a_newer_database_as_it_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One can go back to it: the job that migrates comes to its end, and says what it found."""
    assert await asyncio.to_thread(upgrade, database_url) is None
    await _set_revision(database_url, "9999")
    assert await asyncio.to_thread(upgrade, database_url) == "9999"
    monkeypatch.setenv("HEADROOM_DATABASE_URL", database_url)
    done = await asyncio.to_thread(CliRunner().invoke, app, ["migrate"])
    assert (done.exit_code, done.exception) == (0, None)
    assert "The database is at 9999, which this version does not know" in done.stdout
    assert await _revision(database_url) == "9999"


async def test_what_is_no_later_revision_is_refused(database_url: str) -> None:
    await asyncio.to_thread(upgrade, database_url)
    await _set_revision(database_url, "of another program")
    with pytest.raises(CommandError, match="of another program"):
        await asyncio.to_thread(upgrade, database_url)


def test_migrations_only_add() -> None:
    """What the version before reads and writes is still there after them."""
    for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions():
        assert script.revision.isdigit(), "a later one is known by its number"
        assert len(script.revision) == 4
        assert not re.search(r"drop_|alter_|rename", inspect.getsource(script.module.upgrade)), script.revision


async def _set_revision(url: str, revision: str) -> None:
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = :to"), {"to": revision})
    await engine.dispose()


async def _revision(url: str) -> str:
    engine = create_engine(url)
    async with engine.connect() as connection:
        found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
    await engine.dispose()
    return str(found)
