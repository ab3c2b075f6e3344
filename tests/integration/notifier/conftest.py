"""A migrated database and receivers for the notifier's tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.db import create_engine, upgrade
from tests.integration.notifier.process import System
from tests.integration.notifier.process import system as make_system
from tests.integration.notifier.receiver import Receiver
from tests.integration.notifier.service import Service, serving


@pytest.fixture
async def migrated_url(database_url: str) -> str:
    """A database with all tables."""
    await asyncio.to_thread(upgrade, database_url)
    return database_url


@pytest.fixture
async def engine(migrated_url: str) -> AsyncIterator[AsyncEngine]:
    """An engine on a database with all tables."""
    engine = create_engine(migrated_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """Somebody's webhook receiver, on loopback."""
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
async def system(kafka: str, topic_prefix: str, database_url: str, tmp_path: Path) -> AsyncIterator[System]:
    """Topics and a database on which notifier processes can be started; the first of them migrates."""
    async with make_system(kafka, topic_prefix, database_url, tmp_path) as system:
        yield system


@pytest.fixture
async def service(migrated_url: str) -> AsyncIterator[Service]:
    """The notifier without Kafka, its API served."""
    async with serving(migrated_url) as service:
        yield service
