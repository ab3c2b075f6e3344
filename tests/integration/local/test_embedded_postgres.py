"""The embedded database: reached over its socket, keeps its data over restarts, never outlives us."""

import os
import pwd
import secrets
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from headroom.local import postgres
from headroom.local.folders import temporary_folder
from headroom.local.postgres import EmbeddedPostgres
from shared.errors import ConfigurationError
from tests.waiting import eventually_sync

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder() -> Iterator[Path]:
    import shutil

    made = temporary_folder()
    yield made
    shutil.rmtree(made)


async def execute(url: str, *statements: str) -> list[object]:
    engine = create_async_engine(url)
    try:
        async with engine.begin() as connection:
            results = [await connection.execute(sa.text(statement)) for statement in statements]
            return list(results[-1].scalars()) if results[-1].returns_rows else []
    finally:
        await engine.dispose()


async def test_data_survive_restarts_and_a_later_start(folder: Path) -> None:
    with EmbeddedPostgres(folder / "pg") as server:
        url = server.create_database("kept")
        assert server.create_database("kept") == url
        await execute(url, "CREATE TABLE t (n int)", "INSERT INTO t VALUES (1)")
        server.restart()
        assert await execute(url, "SELECT n FROM t") == [1]
    with EmbeddedPostgres(folder / "pg") as server:
        assert await execute(server.url_of("kept"), "SELECT n FROM t") == [1]


async def test_it_is_the_version_we_ship_with_and_speaks_utf8(database_url: str) -> None:
    assert await execute(database_url, "SELECT current_setting('server_version_num')::int / 10000 >= 18") == [True]
    assert await execute(database_url, "SELECT 'Größe × 2 ≥ ü'") == ["Größe × 2 ≥ ü"]


async def test_a_path_too_long_for_a_socket_is_no_obstacle(folder: Path) -> None:
    with EmbeddedPostgres(folder / ("long" * 30)) as server:
        assert await execute(server.url, "SELECT 1") == [1]


def test_a_temporary_server_leaves_nothing() -> None:
    server = EmbeddedPostgres()
    server.start()
    process = psutil.Process(server.pid)
    server.stop()
    assert not process.is_running()
    assert not server.data_dir.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must run the server as somebody else")
def test_a_folder_closed_to_the_servers_account_is_refused_with_a_way_out(folder: Path) -> None:
    folder.chmod(0o700)
    with pytest.raises(ConfigurationError, match="may not pass through"):
        EmbeddedPostgres(folder / "pg").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root must run the server as somebody else")
def test_starts_at_the_same_time_make_the_account_once(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"pgtest{secrets.token_hex(4)}"
    monkeypatch.setattr(postgres, "ACCOUNT", name)
    try:
        with ThreadPoolExecutor(4) as starts:
            accounts = list(starts.map(lambda _: postgres.account_to_run_as(), range(4)))
        assert {account.user for account in accounts} == {pwd.getpwnam(name).pw_uid}
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_the_server_does_not_outlive_a_killed_parent(folder: Path) -> None:
    script = f"""
import time
from pathlib import Path
from headroom.local.postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path({str(folder / "pg")!r}))
server.start()
print(server.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    server = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    eventually_sync(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, what="server has ended")
