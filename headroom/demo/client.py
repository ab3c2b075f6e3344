"""What the demo asks of the running system over HTTP; events and plans go through ``headroom.door``."""

import asyncio
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from headroom.demo.facts import Facts
from shared.errors import BadInput, NotReady
from shared.schemas.deal import Deal
from shared.schemas.position import Position, WorkState
from shared.schemas.recalibration import Recalibration

AT_ONCE = 16
"""Requests under way at the same time."""
ATTEMPTS = 40
PAUSE = 0.5
"""Seconds between attempts: together as long as a process takes to be started again."""


class Api:
    """The read models at ``capacity``; recalibrations, subscriptions, deliveries at ``notifier``. To be entered."""

    def __init__(self, capacity: str, notifier: str, key: str) -> None:
        self._capacity, self._notifier, self._key = capacity, notifier, key
        self._session: aiohttp.ClientSession | None = None
        self._at_once = asyncio.Semaphore(AT_ONCE)

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._key}"}
        self._session = aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=30))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def see(self, facts: Facts) -> None:
        """Bring positions and work items of ``facts`` to what the system says now."""
        positions, work = await asyncio.gather(
            self._get(f"{self._capacity}/v1/positions?limit=5000"), self._get(f"{self._capacity}/v1/work")
        )
        if positions is not None:
            rows = msgspec.convert(positions["rows"], list[Position])
            facts.positions = {(row.pool, row.week): row for row in rows}
            facts.as_of = datetime.fromisoformat(positions["as_of"])
        if work is not None:
            facts.see_work(msgspec.convert(work["rows"], list[WorkState]))

    async def deal(self, id: str) -> Deal | None:
        """A deal as the system knows it, None while it does not."""
        answer = await self._get(f"{self._capacity}/v1/deals/{id}")
        return None if answer is None else msgspec.convert(answer["deal"], Deal)

    async def recalibrations(self) -> list[Recalibration]:
        """Every recalibration as it stands, newest firing first."""
        answer = await self._get(f"{self._notifier}/v1/recalibrations?limit=500")
        return msgspec.convert([item["recalibration"] for item in answer["items"]], list[Recalibration])

    async def subscribe(self, name: str, url: str) -> str:
        """Have every recalibration delivered to ``url``; returns the secret its deliveries are signed with."""
        answer = await self._send(f"{self._notifier}/v1/subscriptions", {"name": name, "url": url})
        return str(answer["secret"])

    async def deliveries(self) -> list[dict[str, Any]]:
        """The log of deliveries, newest first."""
        answer = await self._get(f"{self._notifier}/v1/deliveries?limit=500")
        return list(answer["items"])

    async def acknowledge(self, recalibration: str, by: str) -> None:
        """Say in the name of ``by`` that a recalibration is seen."""
        await self._send(f"{self._notifier}/v1/recalibrations/{recalibration}/acknowledge", {"by": by})

    async def decide(
        self, recalibration: str, *, by: str, why: str, action: str, effects: list[dict[str, Any]]
    ) -> None:
        """Decide about a recalibration in the name of ``by``, with effects on capacity."""
        body = {"by": by, "why": why, "action": action, "effects": effects}
        await self._send(f"{self._notifier}/v1/recalibrations/{recalibration}/decide", body)

    async def _get(self, url: str) -> Any:
        """The answer's JSON; None while there is nothing (404)."""
        return await self._ask("GET", url)

    async def _send(self, url: str, body: dict[str, Any]) -> Any:
        return await self._ask("POST", url, body)

    async def _ask(self, method: str, url: str, body: dict[str, Any] | None = None) -> Any:
        """Ask, and again while the process is away or not ready: everything asked here may be repeated."""
        assert self._session is not None, "an API is entered before it is used"
        why = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(PAUSE)
            try:
                async with self._at_once, self._session.request(method, url, json=body) as response:
                    if response.status == 404:
                        return None
                    if response.status < 300:
                        return await response.json(content_type=None)
                    why = f"{response.status} {(await response.read()).decode(errors='replace')[:1000]}"
                    if response.status != 503:
                        raise BadInput("the system refuses what the demo asks", where=url, why=why)
            except (aiohttp.ClientError, TimeoutError) as error:
                why = str(error) or type(error).__name__
        raise NotReady("the system does not answer the demo", where=url, why=why, do="Its logs say more")
