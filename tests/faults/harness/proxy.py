"""A TCP proxy between the services and the broker that can be made slow, and that can cut every connection.

It runs in a thread of its own, so that what else the harness does slows nothing down.
"""

import asyncio
import random
import threading
from typing import Self

CHUNK = 64 * 1024


class Proxy:
    """Carries bytes from ``port`` to ``target``; both on loopback. As a context manager it is started and stopped."""

    def __init__(self, port: int, target: int) -> None:
        self.port, self.target = port, target
        self._delay = 0.0
        self._dice = random.Random(0)
        self._loop = asyncio.new_event_loop()
        self._ways: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._serving = threading.Event()
        self.cuts = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._serving.wait()
        return self

    def __exit__(self, *failure: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def slow(self, seconds: float) -> None:
        """From now on each piece is held up for up to twice ``seconds``; 0: not at all."""
        self._delay = seconds

    def cut(self) -> None:
        """End every connection there is."""
        self.cuts += 1
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for way in list(self._ways):
            way.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._carry, "127.0.0.1", self.port))
        self._serving.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        self._loop.run_until_complete(asyncio.gather(*self._ways, return_exceptions=True))
        self._loop.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        way = asyncio.current_task()
        assert way is not None
        self._ways.add(way)
        onward: asyncio.StreamWriter | None = None
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", self.target)
            async with asyncio.TaskGroup() as both:
                both.create_task(self._pump(reader, onward))
                both.create_task(self._pump(back, writer))
        except (OSError, asyncio.CancelledError, ExceptionGroup):
            # The broker is away, an end hung up, or the connection is cut: the other end learns of it below.
            pass
        finally:
            self._ways.discard(way)
            for end in (writer, onward):
                if end is not None:
                    end.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(CHUNK):
            if self._delay:
                await asyncio.sleep(self._dice.uniform(0, 2 * self._delay))
            sink.write(piece)
            await sink.drain()
        # One end has hung up; with it goes the whole connection.
        raise ConnectionResetError
