"""A receiver of Headroom's webhooks as a customer would write one: check the signature, drop repeats, keep the rest.

It is a real HTTP server. The demo and the end-to-end tests subscribe it; read it as the example of how to receive.
"""

import asyncio
import json
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

BODY_LIMIT = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message whose signature was good. ``id`` is the ``webhook-id``; the same id again is the same message."""

    id: str
    type: str
    timestamp: str
    data: dict[str, Any]


@dataclass(slots=True)
class Receiver:
    """Listens on loopback from entering to leaving; ``deliveries`` grows in the order of arrival.

    A message with a bad signature is answered with 401 and counted in ``refused``; one that came before is answered
    like the first time and counted in ``repeated``. ``trust`` must be called with the secret that the subscription
    answered with; a message that comes earlier is answered with 503, so that the sender tries again.
    """

    host: str = "127.0.0.1"
    deliveries: list[Delivery] = field(default_factory=list)
    refused: int = 0
    repeated: int = 0
    _port: int = 0
    _webhook: Webhook | None = None
    _seen: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None
    _arrived: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """Where to deliver."""
        return f"http://{self.host}:{self._port}/headroom"

    def trust(self, secret: str) -> None:
        """Take messages signed with this secret (``whsec_…``) from now on."""
        self._webhook = Webhook(secret)

    async def arrival(self) -> None:
        """Return when the next new message has arrived."""
        self._arrived.clear()
        await self._arrived.wait()

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_post("/headroom", self._receive)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _receive(self, request: web.Request) -> web.Response:
        if self._webhook is None:
            return web.Response(status=503, text="The secret of the subscription is not known here yet.")
        body = await request.read()  # the signature is over these bytes; parse only what was signed
        try:
            self._webhook.verify(body, {name.lower(): value for name, value in request.headers.items()})
        except WebhookVerificationError as error:
            self.refused += 1
            return web.Response(status=401, text=str(error))
        message = json.loads(body)
        id = request.headers["webhook-id"]
        if id in self._seen:
            self.repeated += 1
            return web.Response(status=204)
        self._seen.add(id)
        self.deliveries.append(Delivery(id, message["type"], message["timestamp"], message["data"]))
        self._arrived.set()
        return web.Response(status=204)
