"""Runs the migrations over asyncpg, one process at a time: an advisory lock keeps two starts apart."""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from shared.db import create_engine

LOCK = 7_236_001


def migrate(connection: Connection) -> None:
    """Apply what is missing, all in one transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
    context.configure(connection=connection, target_metadata=None)
    context.run_migrations()


async def connect_and_migrate() -> None:
    """Open a connection to the configured database and migrate it."""
    engine = create_engine(context.config.attributes["url"], pool_size=1)
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(connect_and_migrate())
