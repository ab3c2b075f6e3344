"""Connections of an engine: lent again, and replaced when their server has closed them."""

import sqlalchemy as sa

from shared.db import create_engine
from tests.waiting import eventually

MY_NUMBER = sa.text("SELECT pg_backend_pid()")
END = sa.text("SELECT pg_terminate_backend(:number)")
IS_THERE = sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = :number")


async def test_a_connection_that_its_server_closed_is_replaced_before_it_is_lent(database_url: str) -> None:
    engine, other = create_engine(database_url, pool_size=1), create_engine(database_url, pool_size=1)
    async with engine.connect() as connection:
        number = await connection.scalar(MY_NUMBER)
        closing = (await connection.get_raw_connection()).driver_connection
    async with engine.connect() as connection:
        assert await connection.scalar(MY_NUMBER) == number
    async with other.connect() as connection:
        await connection.execute(END, {"number": number})
        await eventually(closing.is_closed)
        assert not await connection.scalar(IS_THERE, {"number": number})
    async with engine.begin() as connection:
        assert await connection.scalar(MY_NUMBER) != number
    await engine.dispose()
    await other.dispose()
