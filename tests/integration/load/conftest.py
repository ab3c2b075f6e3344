"""A door that only records, and the command as a process of its own."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner

from headroom.cli import exit_code
from headroom.load import app
from shared.errors import HeadroomError
from tests.unit.load.files import HEADER, MAPPING

Answer = web.Response | None


@dataclass
class RecordingDoor:
    """Takes batches in and notes them; ``answer`` may say something else than 202 to a batch, or wait."""

    url: str = ""
    batches: list[list[dict[str, Any]]] = field(default_factory=list)
    requests: list[web.Request] = field(default_factory=list)
    answer: Callable[[list[dict[str, Any]]], Awaitable[Answer]] | None = None

    async def events(self, request: web.Request) -> web.Response:
        assert request.content_type == "application/cloudevents-batch+json"
        batch = await request.json()
        self.requests.append(request)
        if self.answer is not None and (other := await self.answer(batch)) is not None:
            return other
        self.batches.append(batch)
        return web.json_response({"accepted": len(batch)}, status=202)

    @property
    def taken(self) -> list[dict[str, Any]]:
        """All events it acknowledged, in order."""
        return [event for batch in self.batches for event in batch]


@pytest.fixture
async def door() -> AsyncIterator[RecordingDoor]:
    recording = RecordingDoor()
    app = web.Application(client_max_size=2**24)
    app.router.add_post("/v1/events", recording.events)
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    recording.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield recording
    await runner.cleanup()


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Folder:
    """The present folder, with the files of a load, in which the command also keeps its state."""

    path: Path

    def write(self, rows: list[str], mapping: str = MAPPING) -> None:
        (self.path / "rows.csv").write_text("\n".join([HEADER, *rows]) + "\n", encoding="utf-8")
        (self.path / "map.yaml").write_text(mapping, encoding="utf-8")

    async def load(self, url: str, *more: str) -> Ended:
        """Load the files through the door at ``url`` and wait for the end."""
        arguments = ["deals", "rows.csv", "--map", "map.yaml", "--url", url, *more]
        result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
        error = result.exception
        if isinstance(error, HeadroomError):
            return Ended(exit_code(error), result.stdout, result.stderr + str(error))
        if error is not None and not isinstance(error, SystemExit):
            raise error
        return Ended(result.exit_code, result.stdout, result.stderr)

    async def start(self, url: str) -> asyncio.subprocess.Process:
        """Start the same as a process of its own."""
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from headroom.load import app; app()",
            "deals", "rows.csv", "--map", "map.yaml", "--url", url,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("HEADROOM_")]:
        monkeypatch.delenv(name)
    for name, value in {"HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path / "state"), "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    return Folder(tmp_path)


@pytest.fixture
def many() -> list[str]:
    """1,000 rows, 1,500 events."""
    closed = [f"w{n},Widget,,Won,2025-01-{1 + n % 28:02},2025-02-{1 + n % 28:02},{n + 1}" for n in range(500)]
    return closed + [f"o{n},Widget,,Open,2025-01-{1 + n % 28:02},," for n in range(500)]
