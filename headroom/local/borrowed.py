"""A corner of a database server that is not ours: a database with a name of its own, gone when it is given back."""

import secrets

import sqlalchemy as sa
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from headroom.local.loops import run_apart


def create_database(server: str) -> str:
    """Make a database on ``server``, the URL of any database there; returns the URL of the new one."""
    name = f"headroom_{secrets.token_hex(4)}"
    run_apart(lambda: _administer(server, f'CREATE DATABASE "{name}"'))
    return make_url(server).set(database=name).render_as_string(hide_password=False)


def drop_database(server: str, database: str) -> None:
    """Delete what ``create_database`` made, whoever is still connected to it."""
    name = make_url(database).database
    run_apart(lambda: _administer(server, f'DROP DATABASE "{name}" WITH (FORCE)'))


async def _administer(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(sa.text(statement))
    finally:
        await engine.dispose()
