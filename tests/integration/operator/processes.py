"""Processes of the system under the supervisor that production has too, and the operator's command beside them."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from headroom.cli import app
from headroom.local.ports import free_ports
from headroom.local.processes import Program, Supervisor
from headroom.local.system import PROGRAMS, ROOT
from shared.settings import KafkaSettings


def environment(kafka: KafkaSettings, database_url: str = "", **more: str) -> dict[str, str]:
    """The variables that give a process these settings."""
    return {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "HEADROOM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": str(kafka.partitions),
        "HEADROOM_KAFKA__SESSION_TIMEOUT": str(kafka.session_timeout),
        "HEADROOM_DATABASE_URL": database_url,
        "HEADROOM_HTTP__HOST": "127.0.0.1",
        **more,
    }


@asynccontextmanager
async def running(*names: str, logs: Path, ready: bool = True, **variables: str) -> AsyncIterator[Supervisor]:
    """Processes of these names, started again when they end; ready on entry unless told otherwise, ended on exit."""
    programs = [
        Program(
            name=name,
            argv=(sys.executable, "-m", *PROGRAMS[name]),
            port=port,
            env={"HEADROOM_HTTP__PORT": str(port), "HEADROOM_KAFKA__INSTANCE_ID": name},
        )
        for name, port in zip(names, free_ports(len(names)), strict=True)
    ]
    supervisor = Supervisor(programs, logs=logs, environment={**os.environ, **variables}, cwd=ROOT)
    supervisor.start()
    try:
        if ready:
            await asyncio.to_thread(supervisor.wait_ready, 120)
        yield supervisor
    finally:
        await asyncio.to_thread(supervisor.stop)


async def headroom(*words: str, variables: Mapping[str, str], exit_code: int = 0) -> Result:
    """Run a command as an operator with these settings would; fails unless it ends with ``exit_code``."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        result = await asyncio.to_thread(CliRunner().invoke, app, list(words))
    assert result.exit_code == exit_code, (result.output, result.exception)
    return result
