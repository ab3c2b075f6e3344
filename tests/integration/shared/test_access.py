"""API keys on a real database: who gets in, who does not, and when a revocation arrives."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated

import pytest
import sqlalchemy as sa
from click.testing import Result
from fastapi import Depends, FastAPI
from httpx2 import ASGITransport, AsyncClient
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner

from headroom import keys as keys_command
from shared import access, problems
from shared.access import Keys, Principal, api_keys, hash_key, new_key, requires
from shared.db import create_engine, upgrade

BOOTSTRAP = new_key()


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    made = create_engine(database_url)
    async with made.begin() as connection:
        await connection.run_sync(access.metadata.create_all)
    yield made
    await made.dispose()


@pytest.fixture
async def client(engine: AsyncEngine) -> AsyncIterator[AsyncClient]:
    app = FastAPI()
    problems.install(app)
    app.state.keys = Keys(engine, hash_key(BOOTSTRAP))

    @app.get("/read")
    async def read(who: Annotated[Principal, Depends(requires("read"))]) -> str:
        return who.id

    @app.get("/report")
    async def report(who: Annotated[Principal, Depends(requires("report", "ingest"))]) -> str:
        return who.id

    async with AsyncClient(transport=ASGITransport(app), base_url="http://test") as made:
        yield made


async def add(engine: AsyncEngine, scopes: list[str], *, revoked: bool = False) -> str:
    key = new_key()
    row = {"id": f"id-{key[-6:]}", "name": "a key", "hash": hash_key(key), "scopes": scopes}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(api_keys).values(row | {"revoked": datetime.now(UTC) if revoked else None}))
    return key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize(
    ("scopes", "path", "status"),
    [
        (["read"], "/read", 200),
        (["ingest"], "/read", 403),
        (["ingest"], "/report", 200),
        (["report"], "/report", 200),
        (["admin"], "/read", 200),
        ([], "/read", 403),
    ],
)
async def test_a_key_opens_what_its_scopes_name(
    client: AsyncClient, engine: AsyncEngine, scopes: list[str], path: str, status: int
) -> None:
    key = await add(engine, scopes)
    assert (await client.get(path, headers=bearer(key))).status_code == status
    assert (await client.get(path, headers={"X-API-Key": key})).status_code == status


async def test_without_a_valid_key_nobody_gets_in(client: AsyncClient, engine: AsyncEngine) -> None:
    revoked = await add(engine, ["admin"], revoked=True)
    for headers in ({}, bearer(""), bearer("hr_wrong"), bearer(revoked), {"Authorization": f"Basic {revoked}"}):
        answer = await client.get("/read", headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        assert revoked not in answer.text


async def test_the_bootstrap_key_opens_everything(client: AsyncClient) -> None:
    assert (await client.get("/read", headers=bearer(BOOTSTRAP))).json() == "bootstrap"


async def test_a_revocation_arrives_within_the_time_a_key_is_remembered(
    client: AsyncClient, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await add(engine, ["read"])
    assert (await client.get("/read", headers=bearer(key))).status_code == 200
    async with engine.begin() as connection:
        await connection.execute(sa.update(api_keys).values(revoked=datetime.now(UTC)))
    assert (await client.get("/read", headers=bearer(key))).status_code == 200, "remembered for a moment"
    now = access.time.monotonic()
    monkeypatch.setattr(access.time, "monotonic", lambda: now + access.REMEMBER_SECONDS + 0.1)
    assert (await client.get("/read", headers=bearer(key))).status_code == 401


async def test_the_command_makes_lists_and_revokes_keys(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(upgrade, database_url)
    monkeypatch.setenv("HEADROOM_DATABASE_URL", database_url)

    async def run(*words: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, keys_command.app, list(words))

    made = json.loads((await run("new", "crm", "-s", "ingest", "--json")).stdout)
    assert made["key"].startswith("hr_")
    (listed,) = json.loads((await run("list", "--json")).stdout)
    assert (listed["id"], listed["scopes"], listed["revoked"]) == (made["id"], ["ingest"], None)
    assert made["key"] not in json.dumps(listed)
    assert hash_key(made["key"]) not in json.dumps(listed)
    assert (await run("revoke", made["id"])).exit_code == 0
    (revoked,) = json.loads((await run("list", "--json")).stdout)
    assert revoked["revoked"]
    assert (await run("revoke", made["id"])).exit_code != 0, "it is revoked already"
    assert (await run("new", "crm", "-s", "everything")).exit_code != 0, "there is no such scope"
