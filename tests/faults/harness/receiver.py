"""A customer's webhook receiver: drops what it has seen by id, refuses some at first, answers some of it."""

import asyncio
import json
import random
from collections import Counter
from datetime import datetime, timedelta
from typing import Any, Self

import aiohttp
from aiohttp import web
from standardwebhooks import Webhook

from tests.faults.harness import plan
from tests.faults.harness.load import TIMEOUT
from tests.faults.harness.system import System

REFUSED, ACKNOWLEDGED, DECIDED = 0.01, 0.3, 0.3
"""Shares: of messages refused at first, of firings that somebody acknowledges, of those that somebody decides on."""
HELPS_FOR = (5, 60)
"""Minutes of the system's time for which what was decided counts; nobody ever confirms it."""


class Receiver:
    """Serves on loopback while its context lasts; ``subscribe`` makes the notifier know it."""

    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._dice = random.Random(seed)
        self._secret = ""
        self.bodies: dict[str, bytes] = {}
        """The first body of each id."""
        self.arrivals: Counter[str] = Counter()
        self.altered: list[str] = []
        """Ids that came again with another body."""
        self.probes = 0
        """How many messages about the probe's pool have come, by id."""
        self.acknowledged: set[str] = set()
        """The ids of the decisions that the notifier answered for."""
        self._refused: set[str] = set()
        self.refusing = True
        self._answering: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        headers = {"X-API-Key": self._system.key}
        self._session = await aiohttp.ClientSession(headers=headers, timeout=TIMEOUT).__aenter__()
        app = web.Application()
        app.router.add_post("/hook", self._take)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        for task in self._answering:
            task.cancel()
        await asyncio.gather(*self._answering, return_exceptions=True)
        await self._runner.cleanup()
        await self._session.close()

    async def subscribe(self) -> None:
        """Be told of everything."""
        url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"
        body = {"name": "faults", "url": url}
        async with self._session.post(f"{self._system.url('notifier')}/v1/subscriptions", json=body) as answer:
            assert answer.status == 201, await answer.text()
            self._secret = (await answer.json())["secret"]

    async def settled(self) -> None:
        """Wait until nobody is about to acknowledge anything."""
        while self._answering:
            await asyncio.wait(self._answering)

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        identity = request.headers["webhook-id"]
        message = Webhook(self._secret).verify(body.decode(), dict(request.headers))
        about = message["data"]["scope"]
        if self._refuses(identity, about):
            self._refused.add(identity)
            return web.Response(status=503)
        self.arrivals[identity] += 1
        if identity in self.bodies:
            if self.bodies[identity] != body:
                self.altered.append(identity)
            return web.Response(status=204)
        self.bodies[identity] = body
        self.probes += about == plan.PROBE
        if message["data"]["kind"] == "firing" and about != plan.PROBE:
            self._perhaps_answer(message["data"])
        return web.Response(status=204)

    def _refuses(self, identity: str, about: str) -> bool:
        if not self.refusing or about == plan.PROBE or identity in self._refused or identity in self.bodies:
            return False
        return self._dice.random() < REFUSED

    def _perhaps_answer(self, data: dict[str, Any]) -> None:
        drawn, owner = self._dice.random(), data["owners"][0]["id"]
        if drawn < ACKNOWLEDGED:
            answering = self._answer(data["id"], "acknowledge", {"by": owner})
        elif drawn < ACKNOWLEDGED + DECIDED:
            lapses = datetime.fromisoformat(data["at"]) + timedelta(minutes=self._dice.randint(*HELPS_FOR))
            effect = {
                "pool": data["scope"],
                "weeks": [week["week"] for week in data["weeks"]],
                "amount": round(1.2 * max(week["missing"] for week in data["weeks"]) + 1.0, 1),
                "confirm_by": lapses.isoformat(),
            }
            answering = self._answer(data["id"], "decide", {"by": owner, "why": "enough hands", "effects": [effect]})
        else:
            return
        task = asyncio.create_task(answering)
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, recalibration: str, how: str, said: dict[str, Any]) -> None:
        """Answer a recalibration until the notifier has the answer; it may be settled by then."""
        url = f"{self._system.url('notifier')}/v1/recalibrations/{recalibration}/{how}"
        while True:
            try:
                async with self._session.post(url, json=said) as answer:
                    if answer.status in (200, 201):
                        self.acknowledged.add(json.loads(await answer.read())["id"])
                        return
                    if answer.status == 409:
                        return
                    assert answer.status in (503, 404), await answer.text()
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.2)
