"""The counting role as a process of its own, to be killed: ``worker.py BOOTSTRAP PREFIX NAME [INSTANCE]``.

Each flush also writes a pulse, so there is always something to write: its value names the worker. Prints ``shard N``
for every shard it makes and ``restored N`` when one is live.
"""

import asyncio
import json
import logging
import signal
import sys
from collections.abc import Mapping
from datetime import datetime

from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.shards import Outgoing, Role
from shared.topics import Topic
from tests.integration.streams import toy


class Telling(toy.Counter):
    def __init__(self, number: int, writer: str) -> None:
        super().__init__(number, writer)
        print("shard", number, flush=True)

    def restored(self, ends: Mapping[Topic, int]) -> None:
        super().restored(ends)
        print("restored", self.number, flush=True)

    @property
    def waiting(self) -> bool:
        return True

    def flush(self, now: datetime) -> list[Outgoing]:
        pulse = Outgoing(toy.COUNTS, self.number, toy.PULSE, json.dumps([0, 0, self.writer]).encode())
        return [*super().flush(now), pulse]


async def main(bootstrap: str, prefix: str, name: str, instance: str = "") -> None:
    # A static member is waited for longer, so that a restart on a busy machine still falls into its session.
    kafka = toy.settings(bootstrap, prefix, instance_id=instance or None, session_timeout=40.0 if instance else 6.0)
    role = Role("counter", (toy.COUNTS,), (toy.INPUT,), lambda number: Telling(number, name), flush_every=0.2)
    task = asyncio.ensure_future(run(role, kafka=kafka, health=Health()))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        print("stopped", flush=True)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    asyncio.run(main(*sys.argv[1:]))
