"""One door for the tests of a module: they use ids of their own, so they do not see each other."""

import uuid
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from headroom import topics
from shared.access import metadata
from shared.db import create_engine
from tests.integration.ingest.doors import Door, free_port, running_door, settings_for


@pytest.fixture(scope="module")
async def keys_database(database_server: str) -> AsyncIterator[str]:
    """A database with the table of API keys."""
    name = f"t{uuid.uuid4().hex[:10]}"
    server = create_async_engine(database_server, isolation_level="AUTOCOMMIT")
    async with server.connect() as connection:
        await connection.execute(text(f'CREATE DATABASE "{name}"'))
    url = make_url(database_server).set(database=name).render_as_string(hide_password=False)
    engine = create_engine(url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    yield url
    async with server.connect() as connection:
        await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await server.dispose()


@pytest.fixture(scope="module")
async def door(kafka: str, keys_database: str) -> AsyncIterator[Door]:
    """A door over topics of its own."""
    settings = settings_for(kafka, f"t{uuid.uuid4().hex[:10]}.", keys_database, free_port())
    await topics.apply(settings.kafka)
    try:
        async with running_door(settings) as made:
            yield made
    finally:
        await topics.delete(settings.kafka)
