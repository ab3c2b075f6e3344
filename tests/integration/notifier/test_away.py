"""PostgreSQL away: what was taken from the log is held and stored when it is back, and nobody dies of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.integration.notifier.made import recalibration
from tests.integration.notifier.process import System
from tests.integration.notifier.receiver import Receiver
from tests.waiting import eventually


class Line:
    """The line to the database, which can be cut."""

    def __init__(self, server: str, folder: Path) -> None:
        self._server = make_url(server)
        self._folder = folder
        self._listening: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """The address of the database at this end of the line."""
        at_this_end = self._server.set(host=None, port=None).update_query_dict({"host": str(self._folder)})
        return at_this_end.render_as_string(hide_password=False)

    async def mend(self) -> None:
        self._listening = await asyncio.start_unix_server(self._carry, self._folder / ".s.PGSQL.5432")

    async def cut(self) -> None:
        assert self._listening is not None
        self._listening.close()
        (self._folder / ".s.PGSQL.5432").unlink(missing_ok=True)
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host = self._server.query.get("host") or self._server.host or "localhost"
        assert isinstance(host, str)
        if host.startswith("/"):
            far_reader, far_writer = await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{self._server.port or 5432}")
        else:
            far_reader, far_writer = await asyncio.open_connection(host, self._server.port or 5432)
        self._open |= {writer, far_writer}
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer), return_exceptions=True)


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while part := await reader.read(65536):
        writer.write(part)
        await writer.drain()
    writer.close()


@pytest.fixture
async def line(database_url: str, tmp_path: Path) -> AsyncIterator[Line]:
    line = Line(database_url, tmp_path)
    await line.mend()
    yield line
    await line.cut()


async def test_the_database_goes_and_comes_back(system: System, receiver: Receiver, line: Line) -> None:
    system.database_url = line.url
    process = await system.start()
    await process.subscribe(receiver.url())
    await system.tell(recalibration("before"))
    await eventually(lambda: len(receiver.got) == 1)

    await line.cut()
    await system.tell(recalibration("during"))

    async def notices() -> bool:
        status, said = await process.get("/readyz")
        return status == 503 and said["reasons"] == ["the database does not answer"]

    await eventually(notices)
    async with process.api.get("/v1/recalibrations") as response:
        assert response.status == 503
        assert (await response.json(content_type="application/problem+json"))["title"] == "the database is away"
    assert process.child.poll() is None

    await line.mend()
    await eventually(lambda: len(receiver.got) == 2)
    await process.ready()
    words = {"by": "ada", "why": "after"}
    assert (await process.post("/v1/recalibrations/during/decide", words))[0] == 201
    assert [one.why for one in await system.decided(1)] == ["after"]
    assert process.child.poll() is None
