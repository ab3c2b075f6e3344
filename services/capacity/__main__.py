"""``python -m services.capacity fold|project|views``: one process of capacity, until SIGTERM or SIGINT."""

import os

# Products of matrices here are small: threads of their own cost more than they bring, most of all on a busy machine.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import asyncio
from collections.abc import Callable
from typing import Protocol

from services.capacity.app import FoldProcess, ProjectProcess
from services.capacity.settings import CapacitySettings
from services.capacity.views_app import ViewsProcess
from shared import process, telemetry
from shared.settings import read_settings


class Process(Protocol):
    """A process, built and not yet running."""

    async def run(self, stop: asyncio.Event) -> None: ...


PROCESSES: dict[str, Callable[[CapacitySettings], Process]] = {
    "fold": FoldProcess,
    "project": ProjectProcess,
    "views": ViewsProcess,
}


def main() -> None:
    """Read the command line and the settings, and run."""
    parser = argparse.ArgumentParser(prog="python -m services.capacity", description=__doc__)
    parser.add_argument("process", choices=sorted(PROCESSES))
    name = parser.parse_args().process
    settings = read_settings(CapacitySettings)
    telemetry.start(settings, name)
    process.run(lambda stop: PROCESSES[name](settings).run(stop), settings.kafka)


if __name__ == "__main__":
    main()
