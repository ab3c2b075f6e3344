"""A webhook receiver as a customer would run it: a real HTTP server that remembers what came."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook

Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Received:
    """One request: where, with which headers and body, and when."""

    path: str
    headers: dict[str, str]
    body: str
    at: float

    def verified(self, secret: str) -> Any:
        """The body as JSON, if the signature is good; raises otherwise."""
        return Webhook(secret).verify(self.body, self.headers)

    @property
    def event(self) -> str:
        return self.headers["webhook-id"]


class Receiver:
    """Answers 200, or what a path was told to answer: statuses one after the other, the last for ever."""

    def __init__(self) -> None:
        self.got: list[Received] = []
        self.port = 0
        self._answers: dict[str, list[Answerer]] = {}
        self._hanging = asyncio.Event()

    async def __aenter__(self) -> "Receiver":
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._hanging.set()
        await self._runner.cleanup()

    def url(self, path: str = "hook") -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def answer(self, path: str, *answers: int | Answerer) -> str:
        """Let ``path`` answer these in turn; its URL."""
        self._answers[path] = [_status(one) if isinstance(one, int) else one for one in answers]
        return self.url(path)

    def release(self) -> None:
        """Let what hangs go, with 200."""
        self._hanging.set()

    async def hang(self, _: web.Request) -> web.StreamResponse:
        """Never answer."""
        await self._hanging.wait()
        return web.Response(status=200)

    def at(self, path: str) -> list[Received]:
        return [one for one in self.got if one.path == path]

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        path = request.match_info["path"]
        body = await request.text()
        self.got.append(Received(path, dict(request.headers), body, monotonic()))
        answers = self._answers.get(path, [])
        if not answers:
            return web.Response(text="thanks")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return await answer(request)


def _status(status: int) -> Answerer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=f"this is {status}")

    return answer


def with_headers(status: int, **headers: str) -> Answerer:
    """An answer of ``status`` with ``headers``, underscores for dashes."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer
