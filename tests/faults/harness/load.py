"""The load: senders that never stop until they are told to, and what the door has acknowledged to them.

Deals are created, moved, staged anew, deleted and revived; each moment is used once, so the newest is never a matter of
taste. A part of the events is held back and comes late, a part comes twice, and poison comes between. What the door
does not take is sent again, or given up: then it may be in or not.
"""

import asyncio
import json
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

import aiohttp

from services.ingest.domain.signature import sign_v3
from tests.faults.harness import plan
from tests.faults.harness.system import AS_OF, HOOK, SECRET, System, weeks_ahead

DEALS = 200
EVENTS_A_BATCH = 6
PACE = 0.12
"""Seconds between two batches of one sender: a load that goes on for as long as the faults take, not one that breaks
records."""
SENDERS = 2
LATE, TWICE, GIVEN_UP = 0.1, 0.08, 0.3
"""Shares: of events that come late, of events that come twice, of failed requests that are not repeated."""
TIMEOUT = aiohttp.ClientTimeout(total=8)
BATCH, YAML = "application/cloudevents-batch+json", "application/yaml"
SOURCE = "crm"


@dataclass
class Acknowledged:
    """What the door said it has."""

    events: set[str] = field(default_factory=set)
    poison: int = 0
    plans: list[dict[str, float]] = field(default_factory=list)
    """What each pool can do a week by each plan, in the order in which they were published."""


class Load:
    """Sends until it is closed. As an asynchronous context manager it begins on entry."""

    def __init__(self, system: System, seed: int) -> None:
        self._system = system
        self._dice = random.Random(seed)
        self.acknowledged = Acknowledged()
        self.attempts = 0
        self._probes = 0
        self._number = 0
        self._poison = 0
        self._held: list[dict[str, Any]] = []
        self._past: deque[dict[str, Any]] = deque(maxlen=400)
        self._going = asyncio.Event()
        self._idle = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._under_way = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        headers = {"X-API-Key": self._system.key}
        self._session = await aiohttp.ClientSession(headers=headers, timeout=TIMEOUT).__aenter__()
        self._going.set()
        self._tasks = [asyncio.create_task(self._send_deals(), name=f"sender {n}") for n in range(SENDERS)]
        self._tasks.append(asyncio.create_task(self._send_others(), name="sender of reports and poison"))
        return self

    async def __aexit__(self, *failure: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._session.close()

    @property
    def taken(self) -> int:
        """How many events of the load have been acknowledged; the harness's own probes are none of it."""
        return len(self.acknowledged.events) - self._probes

    def check(self) -> None:
        """Raise what ended a sender, if one has ended: a load that is over proves nothing."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise AssertionError(f"{task.get_name()} ended by itself")

    # -- pausing, for a look at a system at rest

    async def pause(self) -> None:
        """Send no more; returns when nothing is under way. What was held back goes out first."""
        self._going.clear()
        while self._under_way:
            self._idle.clear()
            await self._idle.wait()
        held, self._held = self._held, []
        for start in range(0, len(held), 50):
            await self.events(held[start : start + 50])

    def resume(self) -> None:
        """Go on sending."""
        self._going.set()

    # -- sending

    async def _send_deals(self) -> None:
        while True:
            await self._turn(self._deals)
            await asyncio.sleep(PACE)

    async def _send_others(self) -> None:
        while True:
            others = [self._reports, self._signal, self._bad, self._swing]
            await self._turn(self._dice.choices(others, [2, 1, 1, 6])[0])
            await asyncio.sleep(PACE)

    async def _turn(self, send: Callable[[], Awaitable[None]]) -> None:
        """One request at a time of each sender, and none while the load pauses."""
        # Who is woken may find that it pauses again by the time it runs.
        while not self._going.is_set():
            await self._going.wait()
        self._under_way += 1
        try:
            await send()
        finally:
            self._under_way -= 1
            self._idle.set()

    async def _deals(self) -> None:
        batch = [self._deal(f"{self._dice.randrange(DEALS)}") for _ in range(EVENTS_A_BATCH)]
        late = [event for event in batch if self._dice.random() < LATE]
        now = [event for event in batch if event not in late]
        while self._held and self._dice.random() < LATE:
            now.append(self._held.pop(self._dice.randrange(len(self._held))))
        self._held += late
        if self._past:
            now += [self._dice.choice(self._past) for _ in range(len(now)) if self._dice.random() < TWICE]
        self._past.extend(now)
        self._dice.shuffle(now)
        await self.events(now, give_up=True)

    async def _reports(self) -> None:
        first, second = self._report(), self._report()
        if self._dice.random() < 3 * LATE:
            # Late behind a newer one of the same object about the same week.
            first["data"] |= {"pool": second["data"]["pool"], "week": second["data"]["week"]}
            first["subject"] = second["subject"]
            self._held.append(first)
            await self.events([second])
        else:
            await self.events([first, second])

    async def _signal(self) -> None:
        data = {"kind": "tickets", "pool": self._dice.choice(list(plan.NEEDS)), "value": self._dice.randrange(9)}
        await self.events([self._event("com.headroom.signal.observed", f"s{self._number}", data)])

    async def _swing(self) -> None:
        """One large deal of each product tips its pools over, or leaves them."""
        product = self._dice.choice([name for name in plan.NEEDS if name != plan.PROBE])
        event = self._deal(f"swing-{product}")
        pool, hours, weeks = plan.NEEDS[product][0]
        much = round(plan.PER_WEEK[pool] * weeks / hours * self._dice.uniform(0.7, 1.3), 2)
        quantity = much if self._dice.random() < 0.5 else 0.0
        event["data"] |= {"stage": "won", "deleted": False, "lines": [{"product": product, "quantity": quantity}]}
        await self.events([event])

    async def _bad(self) -> None:
        self._poison += 1
        number = self._poison
        parts = [
            {"portalId": "no number", "n": number},
            {"portalId": 1, "subscriptionType": "deal.danced", "occurredAt": 1, "objectId": number},
            {"portalId": 2, "subscriptionType": "deal.creation", "occurredAt": 1, "objectId": number},
        ]
        body = json.dumps([self._dice.choice(parts)]).encode()

        async def send() -> bool:
            at = str(int(time.time() * 1000))
            signed = {
                "content-type": "application/json",
                "x-hubspot-signature-v3": sign_v3(SECRET, "POST", HOOK, body, at),
                "x-hubspot-request-timestamp": at,
            }
            return await self._posted("/v1/webhooks/hubspot/acme", body, signed)

        if await self._until_taken(send):
            self.acknowledged.poison += 1

    async def events(self, events: list[dict[str, Any]], *, give_up: bool = False) -> bool:
        """Send events until the door has them; with ``give_up`` perhaps not. Whether it has."""
        if not events:
            return True
        body = json.dumps(events).encode()
        taken = await self._until_taken(lambda: self._posted("/v1/events", body, {"content-type": BATCH}), give_up)
        if taken:
            self.acknowledged.events.update(event["id"] for event in events)
        return taken

    async def publish(self, capacities: dict[str, float]) -> None:
        """Put a plan with these capacities in force."""
        body = plan.text(capacities).encode()

        async def send() -> bool:
            async with self._session.put(
                f"{self._system.url('door')}/v1/plans/faults", data=body, headers={"content-type": YAML}
            ) as answer:
                assert answer.status in (200, 201, 503), await answer.text()
                return answer.status != 503

        async with self._publishing:  # one after the other, so that it is known which is in force
            await self._until_taken(send)
            self.acknowledged.plans.append(capacities)

    async def new_plan(self) -> None:
        """Put a plan in force that differs in what some pools can do."""
        await self.publish(
            {
                pool: hours if pool == plan.PROBE else round(hours * self._dice.uniform(0.8, 1.2), 1)
                for pool, hours in plan.PER_WEEK.items()
            }
        )

    async def _until_taken(self, send: Any, give_up: bool = False) -> bool:
        while True:
            self.attempts += 1
            try:
                if await send():
                    return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            if give_up and self._dice.random() < GIVEN_UP:
                return False
            await asyncio.sleep(0.1)

    async def _posted(self, path: str, body: bytes, headers: dict[str, str]) -> bool:
        async with self._session.post(f"{self._system.url('door')}{path}", data=body, headers=headers) as answer:
            assert answer.status in (202, 503), await answer.text()
            return answer.status == 202

    # -- what is sent

    def _event(self, kind: str, subject: str, data: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        at = AS_OF + timedelta(milliseconds=self._number, microseconds=self._number % 997)
        return {
            "specversion": "1.0",
            "id": f"e{self._number}",
            "source": SOURCE,
            "type": kind,
            "subject": subject,
            "time": at.isoformat(timespec="microseconds"),
            "data": data,
        }

    def _deal(self, subject: str) -> dict[str, Any]:
        """Some fields of a deal, as somebody changed them at a moment of their own."""
        dice = self._dice
        said: dict[str, Any] = {
            "stage": dice.choices(list(plan.STAGES), [4, 3, 2, 1])[0],
            "close": (AS_OF + timedelta(weeks=dice.randint(plan.FIRST_CLOSE, plan.LAST_CLOSE))).date().isoformat(),
            "lines": [self._line() for _ in range(dice.choice([1, 1, 2, 3]))],
            "segment": dice.choice(["smb", "mid", ""]),
            "custom": dice.random() < 0.2,
            "probability": dice.choice([None, None, None, 0.35]),
            "currency": dice.choice(["EUR", None]),
            "deleted": dice.random() < 0.3,
        }
        weights = {"deleted": 0.1, "stage": 0.6, "close": 0.5, "lines": 0.6}
        changed = {name: value for name, value in said.items() if dice.random() < weights.get(name, 0.2)}
        return self._event("com.headroom.deal.changed", subject, changed or {"stage": said["stage"]})

    def _line(self) -> dict[str, Any]:
        dice = self._dice
        product = dice.choice([name for name in plan.NEEDS if name != plan.PROBE])
        line = {"product": product, "quantity": dice.choice([0.5, 1, 2, 3])}
        return line | dice.choice([{}, {"amount": 1000.5}, {"amount": 800, "list_amount": 1000}, {"probability": 0.9}])

    def _report(self) -> dict[str, Any]:
        dice = self._dice
        pool = dice.choice([name for name in plan.PER_WEEK if name != plan.PROBE])
        week = weeks_ahead(dice.randint(plan.FIRST_CLOSE, plan.LAST_CLOSE))
        hours = round(plan.PER_WEEK[pool] * dice.uniform(0.7, 1.3), 1)
        data = {"kind": "capacity", "pool": pool, "week": week, "amount": hours, "withdrawn": dice.random() < 0.2}
        return self._event("com.headroom.capacity.reported", f"{pool}-{dice.randrange(2)}", data)

    async def probe(self, quantity: float) -> None:
        """Send the harness's own deal, which overloads the pool ``probe`` or does not, until the door has it."""
        close = (AS_OF + timedelta(weeks=plan.FIRST_CLOSE)).date().isoformat()
        data = {"stage": "won", "close": close, "lines": [{"product": plan.PROBE, "quantity": quantity}]}
        await self.events([self._event("com.headroom.deal.changed", "probe", data)])
        self._probes += 1
