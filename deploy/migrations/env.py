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
    context.config.attributes["newer"] = newer = newer_revision()
    if newer is None:
        context.run_migrations()


def newer_revision() -> str | None:
    """The database's revision if it comes after all that this version has: somebody went back to this version."""
    found, newest = context.get_context().get_current_revision(), context.get_head_revision()
    # Revisions are numbers of four digits; whatever else stands there, alembic refuses.
    return found if found is not None and found.isdigit() and found > str(newest) else None


async def connect_and_migrate() -> None:
    """Open a connection to the configured database and migrate it."""
    engine = create_engine(context.config.attributes["url"], pool_size=1)
    async with engine.begin() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


asyncio.run(connect_and_migrate())
