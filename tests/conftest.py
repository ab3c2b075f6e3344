"""What tests stand on: a real broker and a real database, found or started, and a corner of each per test.

A broker or a database named in the environment is used as it is; else a container is started where a Docker engine
answers, else the embedded one.
"""

import gc
import os
import sys
import uuid
from collections.abc import AsyncIterator, Generator, Iterator
from typing import Any

import pytest
import structlog
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import settings
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from headroom.local import servers

# No test is held to a time: machines are busy, and how long an example takes says nothing of whether it is right.
settings.register_profile("untimed", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "untimed")

# As in the processes: a log line on standard output would be taken for what a command prints.
structlog.configure(logger_factory=structlog.WriteLoggerFactory(sys.stderr))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, Any, Any]:
    """Collect no garbage while a failure, an expected one too, is put into words.

    For that its source is parsed, and up to CPython 3.11.7 a parse in a parse is an internal error: a task that failed
    unseen tells so when it is collected, and that is put into words, too.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Kafka broker, ``host:port``."""
    with servers.broker(os.environ) as broker:
        yield broker.bootstrap


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """The SQLAlchemy URL of a real PostgreSQL server on which databases may be made."""
    with servers.database(os.environ) as database:
        yield database.url


# -- a corner of them per test


@pytest.fixture
async def topic_prefix(kafka: str) -> AsyncIterator[str]:
    """A prefix for topics, groups and transactional ids of this test alone; its topics are deleted after."""
    prefix = f"t{uuid.uuid4().hex[:10]}."
    yield prefix
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        ours = [topic for topic in await admin.list_topics() if topic.startswith(prefix)]
        if ours:
            await admin.delete_topics(ours)
    finally:
        await admin.close()


@pytest.fixture
async def database_url(database_server: str) -> AsyncIterator[str]:
    """The SQLAlchemy URL of an empty database of this test alone, dropped after."""
    name = f"t{uuid.uuid4().hex[:10]}"
    await _administer(database_server, f'CREATE DATABASE "{name}"')
    yield make_url(database_server).set(database=name).render_as_string(hide_password=False)
    await _administer(database_server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def _administer(server: str, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()
