"""HTTP for load runs: a client and a receiver that cost little beside what they measure. Loopback only.

The client sends requests that were made beforehand over connections that stay open, one at a time on each. Paced
requests are timed from the moment they were due, so that a server that stalls is charged for those it kept waiting.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter, time
from typing import Any, NamedTuple

HOST = "127.0.0.1"
ANSWER_WITHIN = 60.0


class Answer(NamedTuple):
    """One request: its number, when it was due, sent and answered (seconds of wall time), and the status."""

    number: int
    due: float
    sent: float
    answered: float
    status: int

    @property
    def ms(self) -> float:
        """From when it was due."""
        return (self.answered - self.due) * 1000


def post(path: str, body: bytes, headers: Iterable[tuple[str, str]]) -> bytes:
    """The bytes of a POST."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {HOST}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body


class _Connection(asyncio.Protocol):
    """One connection; ``done`` is called with the status of each answer, or 0 when the connection ended."""

    def __init__(self, done: Callable[["_Connection", int], None]) -> None:
        self._done = done
        self._read = b""
        self.transport: Any = None
        self.doing: tuple[int, float, float] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def send(self, request: bytes, number: int, due: float) -> None:
        self.doing = (number, due, time())
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            self._read = b""
            self._done(self, int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        if self.doing is not None:
            self._done(self, 0)


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


class Client:
    """Connections to one port; use as an async context manager."""

    def __init__(self, port: int, connections: int) -> None:
        self._port, self._count = port, connections
        self._all: list[_Connection] = []
        self._idle: deque[_Connection] = deque()
        self._waiting: deque[tuple[bytes, int, float]] = deque()
        self._answers: list[Answer] = []
        self._sent = 0
        self._moved = asyncio.Event()

    async def __aenter__(self) -> "Client":
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, connection = await loop.create_connection(lambda: _Connection(self._done), HOST, self._port)
            self._all.append(connection)
        self._idle.extend(self._all)
        return self

    async def __aexit__(self, *error: object) -> None:
        for connection in self._all:
            connection.doing = None
            connection.transport.close()

    async def paced(self, requests: Iterable[bytes], rate: float) -> list[Answer]:
        """Send ``requests``, ``rate`` a second whatever becomes of them; all answers."""
        self._answers, self._sent = [], 0
        started = perf_counter()
        for number, request in enumerate(requests):
            wait = started + number / rate - perf_counter()
            if wait > 0.001:
                await asyncio.sleep(wait)
            self._begin(request, number, time() - max(0.0, -wait))
        await self._all_answered()
        return self._answers

    async def at_once(self, requests: Sequence[bytes], seconds: float) -> list[Answer]:
        """Send ``requests`` again and again, each connection its next as soon as it is answered; all answers."""
        self._answers, self._sent = [], 0
        ends = perf_counter() + seconds
        while perf_counter() < ends:
            while self._idle:
                self._begin(requests[self._sent % len(requests)], self._sent, time())
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), ANSWER_WITHIN)
        await self._all_answered()
        return self._answers

    async def _all_answered(self) -> None:
        while len(self._answers) < self._sent:
            self._moved.clear()
            await asyncio.wait_for(self._moved.wait(), ANSWER_WITHIN)

    def _begin(self, request: bytes, number: int, due: float) -> None:
        self._sent += 1
        if self._idle:
            self._idle.popleft().send(request, number, due)
        else:
            self._waiting.append((request, number, due))

    def _done(self, connection: _Connection, status: int) -> None:
        assert connection.doing is not None, "nothing is answered that was not asked"
        number, due, sent = connection.doing
        connection.doing = None
        self._answers.append(Answer(number, due, sent, time(), status))
        if status == 0:
            # A connection that ended is not used again; those that wait for it go to the others.
            self._all.remove(connection)
        elif self._waiting:
            connection.send(*self._waiting.popleft())
        else:
            self._idle.append(connection)
        self._moved.set()


class Receiver:
    """Takes webhooks and answers 204 at once; those to ``hanging`` paths are read and never answered.

    ``received`` is called with path, body and the wall time of each that is answered.
    """

    def __init__(self, received: Callable[[str, bytes, float], None]) -> None:
        self._received = received
        self.hanging: set[str] = set()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "it listens once it was entered"
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> "Receiver":
        self._server = await asyncio.get_running_loop().create_server(lambda: _Request(self), HOST, 0, backlog=1024)
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._server is not None:
            self._server.close()

    def take(self, path: str, body: bytes) -> bool:
        """Note one; whether it is to be answered."""
        if path in self.hanging:
            return False
        self._received(path, body, time())
        return True


class _Request(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._read = b""
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, found, body = self._read.partition(b"\r\n\r\n")
        if found and len(body) >= _length(head):
            path = head.split(b" ", 2)[1].decode()
            if self._receiver.take(path, body):
                self._transport.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                self._transport.close()
