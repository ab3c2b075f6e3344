"""Connections of an engine: lent again, replaced when their server has closed them, and waited for."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from structlog.testing import capture_logs

from shared.db import DATABASE_ERRORS, create_engine, is_away, patiently
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


async def test_a_server_finds_a_client_gone_whose_host_vanished(database_url: str) -> None:
    """By its own settings; what is in force (0 on a Unix socket) is the system's business."""
    wanted = sa.text("SELECT name, reset_val FROM pg_settings WHERE name LIKE 'tcp_keepalives%' AND source = 'client'")
    engine = create_engine(database_url)
    async with engine.connect() as connection:
        found = {row.name: row.reset_val for row in await connection.execute(wanted)}
    assert found == {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
    await engine.dispose()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no such limit")
async def test_a_client_finds_a_server_gone_whose_host_vanished(database_url: str) -> None:
    async with over_tcp(database_url) as url:
        engine = create_engine(url, pool_size=1)
        async with engine.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            its = driver._transport.get_extra_info("socket")
            assert its.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
            assert [its.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [10, 5, 3, 25_000]
        await engine.dispose()


@asynccontextmanager
async def over_tcp(database_url: str) -> AsyncIterator[str]:
    """The address of a relay on loopback to a server that listens on a Unix socket; of any other, its own."""
    url = make_url(database_url)
    folder = url.query.get("host")
    if not folder:
        yield database_url
        return

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{url.port or 5432}")
        await asyncio.gather(passed_on(reader, forth), passed_on(back, writer))

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        direct = url.set(host="127.0.0.1", port=port, query={})
        yield direct.render_as_string(hide_password=False)


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65536):
        writer.write(some)
    writer.close()


async def test_a_database_that_is_not_there_yet_is_waited_for(database_url: str) -> None:
    name = f"{make_url(database_url).database}_later"
    engine = create_engine(make_url(database_url).set(database=name).render_as_string(hide_password=False))
    administrator = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
    waits = asyncio.Event()
    with capture_logs() as logs:
        asking = asyncio.create_task(patiently("asking", lambda: answer_of(engine), waits.set))
        await waits.wait()
        assert (logs[0]["doing"], logs[0]["error"]) == ("asking", "InvalidCatalogNameError")
        async with administrator.connect() as connection:
            await connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
            try:
                assert await asking == 1
            finally:
                await engine.dispose()
                await connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))
    await administrator.dispose()


async def test_who_is_not_let_in_waits(database_url: str) -> None:
    stranger = make_url(database_url).set(username="nobody_known", password="wrong")
    engine = create_engine(stranger.render_as_string(hide_password=False))
    with pytest.raises(DATABASE_ERRORS) as raised:
        await answer_of(engine)
    assert is_away(raised.value), repr(raised.value)
    await engine.dispose()


async def test_a_wrong_statement_is_raised_at_once(database_url: str) -> None:
    engine = create_engine(database_url)
    with pytest.raises(DATABASE_ERRORS, match="nowhere"):
        await patiently("asking", lambda: answer_of(engine, "SELECT 1 FROM nowhere"))
    await engine.dispose()


async def answer_of(engine: AsyncEngine, question: str = "SELECT 1") -> int | None:
    async with engine.connect() as connection:
        found: int | None = await connection.scalar(sa.text(question))
        return found


async def test_a_value_that_cannot_be_sent_is_no_database_away(database_url: str) -> None:
    engine = create_engine(database_url)
    with pytest.raises(DATABASE_ERRORS) as raised:
        async with engine.connect() as connection:
            await connection.execute(sa.text("SELECT CAST(:value AS text)"), {"value": "\ud800"})
    assert not is_away(raised.value), repr(raised.value)
    await engine.dispose()
