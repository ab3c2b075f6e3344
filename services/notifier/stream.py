"""The event stream: one reader of the feed per process, and as many clients as like to listen.

A client first gets from PostgreSQL what it missed since the id it names, then what the reader hands out. Each client's
queue is bounded: one that does not keep up is dropped, and comes back with ``Last-Event-ID`` to miss nothing.

A feed seen to end before what was handed out is another one: the database was made anew or restored. Then all clients
are let go, and one that comes back with an id beyond the end gets all that is kept, rather than nothing until ids pass
it. (A feed that has grown past that again before anybody looks is not told from the former one.)
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.notifier import metrics
from services.notifier.store.feed import Entry, Feed
from shared.db import patiently

PAGE = 500
QUEUE = 1000
WHEN_NOBODY_LISTENS = 10
"""Of so many polls the feed is looked at once while there is no client."""
RECONNECT_MS = 2000
LOOK_EVERY = 1.0
"""Seconds between two looks whether a listener may still listen."""

log = structlog.get_logger(__name__)


class Dropped(Exception):
    """The client reads too slowly, or the process ends."""


class Client:
    """One listener's queue of what comes after the entry ``known``."""

    def __init__(self, capacity: int, known: int) -> None:
        self._queue: asyncio.Queue[Entry | None] = asyncio.Queue(capacity + 1)
        self._capacity, self._known = capacity, known

    def put(self, entry: Entry) -> bool:
        """Hand an entry over; False, and the end of the client, when the queue is full."""
        if entry.id <= self._known:
            return True
        full = self._queue.qsize() >= self._capacity
        self._queue.put_nowait(None if full else entry)
        return not full

    def end(self) -> None:
        """Let the client go after what is queued."""
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def next(self, timeout: float) -> Entry:
        """The next entry; raises TimeoutError after ``timeout`` seconds without one, ``Dropped`` when it is over."""
        entry = await asyncio.wait_for(self._queue.get(), timeout)
        if entry is None:
            raise Dropped
        return entry


class Hub:
    """Reads the feed once and hands every entry to every client."""

    def __init__(self, feed: Feed, *, poll: float, capacity: int = QUEUE) -> None:
        self._feed, self._poll, self._capacity = feed, poll, capacity
        self._clients: set[Client] = set()
        self._wake = asyncio.Event()
        self._started = asyncio.Event()
        self._ended = False
        self._position = 0
        self._begun_anew = 0

    @property
    def position(self) -> int:
        """The id of the last entry handed out."""
        return self._position

    @property
    def clients(self) -> int:
        """How many listen."""
        return len(self._clients)

    def wake(self) -> None:
        """Something was appended to the feed by this process."""
        if self._clients:
            self._wake.set()

    def end(self) -> None:
        """Let all clients go and take no more."""
        self._ended = True
        self._started.set()  # whoever waits for the beginning need not
        for client in self._clients:
            client.end()

    async def run(self) -> None:
        """Follow the feed for ever."""
        self._position = await self._end()
        self._started.set()
        while True:
            self._wake.clear()
            page = await self._next()
            for entry in page:
                self._position = entry.id
                self._hand_out(entry)
            if len(page) < PAGE:
                looks = 1 if self._clients else WHEN_NOBODY_LISTENS
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll * looks)

    async def _next(self) -> list[Entry]:
        """What was not handed out yet. The last entry of a feed is always kept, so one without any ends before it."""
        page = await patiently("reading the feed", lambda: self._feed.after(self._position - 1, PAGE + 1))
        if not page and self._position:
            await self._begin_anew()
        return [entry for entry in page if entry.id > self._position]

    async def _begin_anew(self) -> None:
        end = await self._end()
        log.warning("the feed is another one, with lower ids; clients begin anew", former=self._position, end=end)
        self._position = end
        self._begun_anew += 1
        for client in self._clients:
            client.end()

    async def _end(self) -> int:
        return await patiently("finding the feed's end", self._feed.end)

    async def _missed(self, position: int) -> list[Entry]:
        return await patiently("reading what a client missed", lambda: self._feed.after(position, PAGE))

    def _hand_out(self, entry: Entry) -> None:
        for client in [client for client in self._clients if not client.put(entry)]:
            self._clients.discard(client)
            metrics.STREAM_DROPPED.inc()
            log.info("a client of the stream was dropped: it reads too slowly", entry=entry.id)

    async def listen(self, last: int | None, heartbeat: float) -> AsyncGenerator[Entry | None]:
        """Entries after ``last`` (None: from now on), and None after each ``heartbeat`` seconds of silence.

        One beyond the feed's end is of another feed: all that is kept. Ends when the client is too slow, the feed
        begins anew or the process stops.
        """
        await self._started.wait()
        begun_anew = self._begun_anew
        end = self._position if self._ended else await self._end()
        position = end if last is None else last if last <= end else 0
        client: Client | None = None
        try:
            while not self._ended:
                handed_out = self._position  # all up to here was committed before the query, so is in it if it is kept
                page = await self._missed(position)
                for entry in page:
                    position = entry.id
                    yield entry
                # No await between this look and the joining: what the reader hands out next reaches this client.
                if len(page) < PAGE and position >= self._position:
                    break
                if not page:
                    position = max(position, handed_out)  # what lay between is no longer kept
            client = Client(self._capacity, position)
            self._clients.add(client)
            self._wake.set()  # the reader may have taken its time, for nobody listened
            metrics.STREAM_CLIENTS.set(len(self._clients))
            if self._ended or begun_anew != self._begun_anew:
                return
            while True:
                try:
                    entry = await client.next(heartbeat)
                except TimeoutError:
                    yield None
                    continue
                yield entry
        except Dropped:
            return
        finally:
            if client is not None:
                self._clients.discard(client)
            metrics.STREAM_CLIENTS.set(len(self._clients))


class EventStream(Response):
    """Entries as server-sent events.

    A client that takes none for ``patience`` seconds is cut off, and one that ``may_listen`` no longer, at once after
    it is asked; then the last comment says so.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        entries: AsyncGenerator[Entry | None],
        may_listen: Callable[[], Awaitable[bool]],
        *,
        patience: float = 30.0,
    ) -> None:
        self._entries, self._may_listen, self._patience = entries, may_listen, patience
        self.status_code = 200
        self.background = None
        self.body = b""
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(_left(receive))
        forbidding = asyncio.create_task(self._forbidden())
        tasks = (writing, leaving, forbidding)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, (TimeoutError, OSError)):
                raise result
        if done == {forbidding}:
            with suppress(TimeoutError, OSError):
                await self._send(send, ": the API key is no longer valid\n\n")
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _forbidden(self) -> None:
        """Returns when the client may no longer listen."""
        while await self._may_listen():  # noqa: ASYNC110 - there is no event for it: keys are revoked in the database
            await asyncio.sleep(LOOK_EVERY)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await self._send(send, f": connected\nretry: {RECONNECT_MS}\n\n")
        async with aclosing(self._entries) as entries:
            async for entry in entries:
                await self._send(send, ": still here\n\n" if entry is None else event_text(entry))
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, text: str) -> None:
        async with asyncio.timeout(self._patience):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})


async def _left(receive: Receive) -> None:
    """Returns when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def event_text(entry: Entry) -> str:
    """One entry as the stream spells it; ``data`` is one line, as JSON is."""
    return f"id: {entry.id}\nevent: {entry.type}\ndata: {entry.data}\n\n"
