"""A system's topics and tables for each test of the operator's commands."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from headroom import topics
from shared.db import upgrade
from shared.settings import KafkaSettings
from tests.integration.capacity.system import Topics


@pytest.fixture
async def log(kafka: str, topic_prefix: str) -> AsyncIterator[Topics]:
    """Topics of this test alone, with two partitions where they are sharded."""
    settings = KafkaSettings(bootstrap=kafka, topic_prefix=topic_prefix, partitions=2, session_timeout=6.0)
    await topics.apply(settings)
    async with Topics(settings) as made:
        yield made


@pytest.fixture
async def migrated_url(database_url: str) -> str:
    """A database with all tables."""
    await asyncio.to_thread(upgrade, database_url)
    return database_url
