"""``python -m services.ingest door|normalise``: one process of ingest, until SIGTERM or SIGINT."""

import argparse
import asyncio
import signal

import uvloop

from services.ingest.app import run_door, run_normaliser
from services.ingest.settings import IngestSettings
from shared import telemetry

PROCESSES = {"door": run_door, "normalise": run_normaliser}


async def _run(name: str, settings: IngestSettings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await PROCESSES[name](settings, stop)


def main() -> None:
    """Read the command line and the settings, and run."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest", description=__doc__)
    parser.add_argument("process", choices=sorted(PROCESSES))
    name = parser.parse_args().process
    settings = IngestSettings()
    telemetry.start(settings, name)
    uvloop.run(_run(name, settings))


if __name__ == "__main__":
    main()
