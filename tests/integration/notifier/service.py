"""The notifier without Kafka: its API served on loopback, its worker, stream and upkeep running."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from ipaddress import IPv4Network
from typing import Any

import aiohttp
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.app import Notifier, create_app
from services.notifier.settings import DeliverySettings, NotifierSettings
from shared.access import api_keys, hash_key, new_key
from shared.http import serve
from shared.settings import HttpSettings
from tests.integration.notifier.process import KEY, free_port
from tests.waiting import eventually


class Service:
    """The parts, and a session with the API under the key that may do everything."""

    def __init__(self, notifier: Notifier, api: aiohttp.ClientSession, url: str) -> None:
        self.notifier, self.api, self.url = notifier, api, url

    async def call(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        """Status and JSON of one request."""
        async with self.api.request(method, path, json=body, **more) as response:
            return response.status, None if response.status == 204 else await response.json(content_type=None)


@asynccontextmanager
async def serving(database_url: str, **sending: Any) -> AsyncIterator[Service]:
    """A service on the database, until the end of the block; it fails there if a part failed."""
    settings = NotifierSettings(
        database_url=database_url,
        bootstrap_key_hash=hash_key(KEY),
        notifier=DeliverySettings(allow_networks=[IPv4Network("127.0.0.0/8")], poll=0.1, **sending),
        http=HttpSettings(port=free_port()),
    )
    notifier, stop = create_app(settings), asyncio.Event()
    notifier.plans.read = True  # of an empty log
    url = f"http://127.0.0.1:{settings.http.port}"
    async with (
        notifier.webhook,
        aiohttp.ClientSession(url, headers={"X-API-Key": KEY}) as api,
        asyncio.TaskGroup() as parts,
    ):
        parts.create_task(serve(notifier.api, settings.http, stop))
        running = [parts.create_task(part.run()) for part in (notifier.worker, notifier.hub, notifier.upkeep)]
        service = Service(notifier, api, url)
        await eventually(lambda: _answers(service))
        yield service
        notifier.hub.end()
        stop.set()
        for part in running:
            part.cancel()
    await notifier.engine.dispose()
    await notifier.delivery_engine.dispose()


async def _answers(service: Service) -> bool:
    try:
        return (await service.call("GET", "/healthz"))[0] == 200
    except aiohttp.ClientConnectionError:
        return False


async def key(engine: AsyncEngine, *scopes: str, person: str | None = None) -> dict[str, str]:
    """A fresh key with these scopes, as a header."""
    made = new_key()
    row = {"id": str(uuid.uuid4()), "name": "test", "hash": hash_key(made), "scopes": list(scopes), "person": person}
    async with engine.begin() as connection:
        await connection.execute(sa.insert(api_keys).values(**row, created=datetime.now(UTC)))
    return {"X-API-Key": made}
