"""How every process of a service runs: in uvloop, until it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event it is given is set, and finishes what is under way."""


def run(work: Work) -> None:
    """Run ``work``; SIGTERM and SIGINT set its event."""
    # A policy rather than one loop: the thread in which Faust reads from Kafka makes a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_until_told(work))


async def _until_told(work: Work) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await work(stop)
