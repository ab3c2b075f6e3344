"""The event stream over a real connection: live, resumed, and bounded."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import aiohttp
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier import stream
from services.notifier.store.feed import Entry, Feed, Happening, append, lock_appending
from services.notifier.store.recalibrations import Recalibrations
from services.notifier.store.tables import feed, recalibrations
from services.notifier.stream import Hub
from shared.access import REMEMBER_SECONDS, api_keys, hash_key, new_key
from tests.integration.notifier.made import arrivals, recalibration
from tests.integration.notifier.service import Service, serving
from tests.waiting import eventually


@pytest.fixture
async def service(migrated_url: str) -> AsyncIterator[Service]:
    async with serving(migrated_url, heartbeat=0.2) as service:
        yield service


class Listener:
    """An open stream, parsed as a browser would."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._lines = response.content

    async def next(self) -> dict[str, str]:
        """The next event."""
        event: dict[str, str] = {}
        while True:
            line = (await asyncio.wait_for(self._lines.readline(), 10)).decode()
            if not line:
                raise EOFError
            if line == "\n" and "data" in event:
                return event
            name, _, value = line.rstrip("\n").partition(": ")
            if name in ("id", "event", "data"):
                event[name] = value

    async def comment(self) -> str:
        """The next comment."""
        while True:
            line = (await asyncio.wait_for(self._lines.readline(), 10)).decode()
            if line.startswith(": "):
                return line[2:].strip()


@asynccontextmanager
async def listening(
    service: Service, last: str | None = None, query: str = "", key: str | None = None
) -> AsyncIterator[Listener]:
    headers = {} if last is None else {"Last-Event-ID": last}
    if key is not None:
        headers["X-API-Key"] = key
    async with service.api.get(f"/v1/stream{query}", headers=headers) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        listener = Listener(response)
        assert await listener.comment() == "connected"
        yield listener


async def tell(engine: AsyncEngine, first: int, count: int) -> None:
    await Recalibrations(engine).take_in(arrivals(*(recalibration(f"r{n}") for n in range(first, first + count))))


async def test_what_happens_is_heard_and_silence_is_marked(service: Service, engine: AsyncEngine) -> None:
    await tell(engine, 0, 1)
    await eventually(lambda: service.notifier.hub.position == 1)
    async with listening(service) as listener:
        assert await listener.comment() == "still here"
        await tell(engine, 1, 1)
        event = await listener.next()
        assert event["event"] == "recalibration.firing"
        assert json.loads(event["data"])["id"] == "r1"
        await service.call("POST", "/v1/recalibrations/r1/acknowledge", {"by": "ada"})
        answer = await listener.next()
        assert answer["event"] == "decision.acknowledged"
        assert json.loads(answer["data"])["by"] == "ada"
        assert int(answer["id"]) > int(event["id"])


async def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice(
    service: Service, engine: AsyncEngine
) -> None:
    async with listening(service) as listener:
        await tell(engine, 0, 1)
        last = (await listener.next())["id"]
    telling = asyncio.create_task(tell_on(engine))
    heard: list[str] = []
    while len(heard) < 120:
        async with listening(service, last) as listener:
            for _ in range(40):
                event = await listener.next()
                last = event["id"]
                heard.append(json.loads(event["data"])["id"])
    await telling
    assert heard == [f"r{n}" for n in range(1, 121)]


async def tell_on(engine: AsyncEngine) -> None:
    for n in range(1, 121):
        await tell(engine, n, 1)


async def add_key(engine: AsyncEngine, id: str) -> str:
    key = new_key()
    row = {"id": id, "name": id, "hash": hash_key(key), "scopes": ["read"]}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(api_keys).values(row))
    return key


async def test_a_stream_ends_when_its_key_is_revoked_and_no_other_does(service: Service, engine: AsyncEngine) -> None:
    revoked, kept = await add_key(engine, "revoked"), await add_key(engine, "kept")
    async with listening(service, key=revoked) as cut, listening(service, key=kept) as other:
        assert await cut.comment() == "still here"
        async with engine.begin() as connection:
            await connection.execute(
                sa.update(api_keys).where(api_keys.c.id == "revoked").values(revoked=sa.func.now())
            )
        async with asyncio.timeout(REMEMBER_SECONDS + 15):
            while (said := await cut.comment()) == "still here":
                pass
        assert said == "the API key is no longer valid"
        await tell(engine, 0, 1)
        with pytest.raises(EOFError):
            await cut.next()
        assert json.loads((await other.next())["data"])["id"] == "r0"
    assert (await service.call("GET", "/v1/stream", headers={"X-API-Key": revoked}))[0] == 401


async def test_the_whole_past_can_be_asked_for(service: Service, engine: AsyncEngine) -> None:
    await tell(engine, 0, 1200)
    async with listening(service, query="?since=0") as listener:
        heard = [json.loads((await listener.next())["data"])["id"] for _ in range(1200)]
    assert heard == [f"r{n}" for n in range(1200)]


async def test_a_place_that_is_no_longer_kept_goes_on_from_what_is(service: Service, engine: AsyncEngine) -> None:
    await tell(engine, 0, 5)
    await eventually(lambda: service.notifier.hub.position == 5)
    async with engine.begin() as connection:
        await connection.execute(sa.update(feed).values(created=sa.func.now() - timedelta(days=100)))
    assert await Feed(engine).forget(timedelta(days=90)) == 4
    async with listening(service, "1") as listener:
        assert (await listener.next())["id"] == "5"
        await tell(engine, 5, 1)
        assert json.loads((await listener.next())["data"])["id"] == "r5"


async def begin_anew(engine: AsyncEngine) -> None:
    """As a database that was made anew: nothing in it, and ids from 1 on."""
    async with engine.begin() as connection:
        await connection.execute(sa.text("TRUNCATE feed RESTART IDENTITY"))
        await connection.execute(sa.delete(recalibrations))


async def test_a_place_beyond_the_end_begins_with_all_that_is_kept(service: Service, engine: AsyncEngine) -> None:
    await tell(engine, 0, 2)
    async with listening(service, "1000") as listener:
        heard = [await listener.next() for _ in range(2)]
        assert [(event["id"], json.loads(event["data"])["id"]) for event in heard] == [("1", "r0"), ("2", "r1")]
        await tell(engine, 2, 1)
        assert json.loads((await listener.next())["data"])["id"] == "r2"


async def test_who_listens_while_the_database_is_made_anew_comes_back_and_hears_all(
    service: Service, engine: AsyncEngine
) -> None:
    await tell(engine, 0, 5)
    async with listening(service, "0") as listener:
        last = [await listener.next() for _ in range(5)][-1]["id"]
        await begin_anew(engine)
        await tell(engine, 10, 1)
        with pytest.raises(EOFError):
            await listener.next()
    async with listening(service, last) as listener:
        assert json.loads((await listener.next())["data"])["id"] == "r10"
        await tell(engine, 11, 1)
        assert json.loads((await listener.next())["data"])["id"] == "r11"


async def test_a_client_that_does_not_keep_up_is_dropped_and_nobody_else(engine: AsyncEngine) -> None:
    hub = Hub(Feed(engine), poll=0.02, capacity=10)
    running = asyncio.create_task(hub.run())
    slow, quick = hub.listen(None, 10.0), hub.listen(None, 10.0)
    first = [asyncio.create_task(anext(client)) for client in (slow, quick)]
    await eventually(lambda: hub.clients == 2)
    await tell(engine, 0, 1)
    await asyncio.gather(*first)
    heard = 1
    for n in range(1, 40):
        await tell(engine, n, 1)
        assert await anext(quick) is not None
        heard += 1
    assert heard == 40
    assert hub.clients == 1
    assert len([entry async for entry in slow]) == 10
    await quick.aclose()
    assert hub.clients == 0
    running.cancel()
    await asyncio.wait({running})


async def test_who_comes_after_a_silence_hears_at_once_what_happens_from_then_on(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told by another process, of which nothing wakes the reader; without clients it hardly looks."""
    monkeypatch.setattr(stream, "WHEN_NOBODY_LISTENS", 100_000)
    await tell(engine, 0, 1)
    hub = Hub(Feed(engine), poll=0.05, capacity=1)
    running = asyncio.create_task(hub.run())
    await eventually(lambda: hub.position == 1)
    await tell(engine, 1, 5)
    listener = hub.listen(None, 10.0)
    first = asyncio.create_task(anext(listener))
    await eventually(lambda: hub.clients == 1)
    await tell(engine, 6, 1)
    entry = await asyncio.wait_for(first, 10)
    assert entry is not None
    assert json.loads(entry.data)["id"] == "r6"
    await listener.aclose()
    running.cancel()
    await asyncio.wait({running})


class HeldFeed(Feed):
    """A feed whose answer to the task ``held`` is kept back, once it is read, until ``go`` is set."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine)
        self.held: asyncio.Task[Entry | None] | None = None
        self.read, self.go = asyncio.Event(), asyncio.Event()

    async def after(self, last: int, limit: int) -> list[Entry]:
        page = await super().after(last, limit)
        if asyncio.current_task() is self.held:
            self.read.set()
            await self.go.wait()
        return page


async def test_what_is_committed_while_a_client_joins_is_heard(engine: AsyncEngine) -> None:
    """The client's query sees nothing; before its answer is there the hub reads and hands out what came after it."""
    await tell(engine, 0, 1)
    feed = HeldFeed(engine)
    hub = Hub(feed, poll=0.02)
    running = asyncio.create_task(hub.run())
    await eventually(lambda: hub.position == 1)
    quick, joining = hub.listen(1, 10.0), hub.listen(1, 10.0)
    heard = asyncio.create_task(anext(quick))  # while somebody listens the hub reads on
    await eventually(lambda: hub.clients == 1)
    feed.held = first = asyncio.create_task(anext(joining))
    await asyncio.wait_for(feed.read.wait(), 10)
    await tell(engine, 1, 1)
    await heard
    assert hub.position == 2
    await tell(engine, 2, 1)
    await anext(quick)
    assert hub.position == 3
    feed.go.set()
    entries = [await asyncio.wait_for(first, 10), await asyncio.wait_for(anext(joining), 10)]
    assert [entry and json.loads(entry.data)["id"] for entry in entries] == ["r1", "r2"]
    await quick.aclose()
    await joining.aclose()
    running.cancel()
    await asyncio.wait({running})


async def test_the_process_ends_although_clients_listen(migrated_url: str) -> None:
    async with serving(migrated_url) as service:
        response = await service.api.get("/v1/stream")
        await response.content.readline()
    assert await asyncio.wait_for(response.content.read(), 10) is not None
    response.close()


async def test_the_stream_ends_before_it_began(engine: AsyncEngine) -> None:
    hub = Hub(Feed(engine), poll=1.0)
    waiting = asyncio.create_task(anext(hub.listen(None, 10.0), "over"))
    await asyncio.sleep(0)
    hub.end()
    assert await asyncio.wait_for(waiting, 5) == "over"


async def test_ids_are_given_in_the_order_of_commits(engine: AsyncEngine) -> None:
    """A transaction that appended and is not committed yet keeps others from appending; a reader never skips one."""
    seen: list[int] = []

    async def appending(name: str) -> None:
        async with engine.begin() as connection:
            await lock_appending(connection)
            await append(connection, [Happening(name, "t", "{}")])
            await connection.execute(sa.select(sa.func.pg_sleep(0.002)))

    async def reading() -> None:
        while len(seen) < 60:
            seen.extend(entry.id for entry in await Feed(engine).after(seen[-1] if seen else 0, 100))

    await asyncio.wait_for(asyncio.gather(reading(), *(appending(f"e{n}") for n in range(60))), 30)
    assert seen == list(range(1, 61))
