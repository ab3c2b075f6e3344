"""What tests stand on: a real broker and a real database, found or started, and a corner of each per test.

A broker or a database named in the environment is used as it is; else a container is started where a Docker engine
answers, else the embedded one.
"""

import os
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

NAMED_BROKER = "HEADROOM_KAFKA__BOOTSTRAP"
NAMED_DATABASE = "HEADROOM_DATABASE_URL"


# -- the one place that starts servers


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    import docker

    try:
        docker.from_env().ping()
    except docker.errors.DockerException:
        return False
    return True


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Kafka broker, ``host:port``."""
    if named := os.environ.get(NAMED_BROKER):
        yield named
    elif _docker_answers():
        from testcontainers.kafka import KafkaContainer

        container = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
        with container:
            yield container.get_bootstrap_server()
    else:
        from headroom.local.kafka import EmbeddedKafka

        with EmbeddedKafka() as embedded:
            yield embedded.bootstrap


@pytest.fixture(scope="session")
def database_server() -> Iterator[str]:
    """The SQLAlchemy URL of a real PostgreSQL server on which databases may be made."""
    if named := os.environ.get(NAMED_DATABASE):
        yield named
    elif _docker_answers():
        from testcontainers.postgres import PostgresContainer

        with PostgresContainer("postgres:18", driver="asyncpg") as container:
            yield container.get_connection_url()
    else:
        from headroom.local.postgres import EmbeddedPostgres

        with EmbeddedPostgres() as embedded:
            yield embedded.url


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
