"""A system of topics for each test of capacity."""

from collections.abc import AsyncIterator

import pytest

from headroom import topics
from shared.settings import KafkaSettings
from tests.integration.capacity.system import Topics


@pytest.fixture
async def log(kafka: str, topic_prefix: str) -> AsyncIterator[Topics]:
    """Topics of this test alone, with two deals partitions."""
    settings = KafkaSettings(bootstrap=kafka, topic_prefix=topic_prefix, partitions=2, session_timeout=6.0)
    await topics.apply(settings)
    async with Topics(settings) as made:
        yield made
