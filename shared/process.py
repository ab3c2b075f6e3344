"""How every process of a service runs: in uvloop where Kafka speaks without TLS, until it is told to stop."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

import uvloop

from shared.settings import KafkaSettings

Work = Callable[[asyncio.Event], Awaitable[None]]
"""Works until the event it is given is set, and finishes what is under way."""


def run(work: Work, kafka: KafkaSettings) -> None:
    """Run ``work``, which is a client of ``kafka``; SIGTERM and SIGINT set its event."""
    # A policy rather than one loop: the thread in which Faust reads from Kafka makes a loop of its own.
    # Not with TLS: a closed connection of uvloop 0.23 may stay open for 30 s, and clients of Kafka wait for its end.
    if not kafka.security_protocol.endswith("SSL"):
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_until_told(work))


async def _until_told(work: Work) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await work(stop)
