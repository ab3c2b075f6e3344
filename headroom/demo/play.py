"""Plays a story into the running system: tells its events, watches what the system says, lets the owners answer.

Two tasks beside each other: one posts events through the door when the system's clock reaches their time; one looks at
the read models and at what the webhook receiver got, a few times a second, and answers for the owners. The clock is on
a leash: it never runs further ahead of what the read models show than on a machine with time to spare. On a busy one
the story takes longer and comes out the same.
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec

from headroom.demo.answers import Owners
from headroom.demo.client import Api
from headroom.demo.facts import Facts
from headroom.demo.screen import Screen
from headroom.demo.summary import Summary, summarise
from headroom.door import Door
from headroom.local.system import LocalSystem
from headroom.receiver import Receiver
from headroom.story import Moment, Story
from shared.clock import HeldClock
from shared.errors import NotReady
from shared.schemas.deal import Deal
from shared.schemas.plan_file import parse_plan
from shared.schemas.recalibration import Recalibration

TELL_EVERY = 0.05
LOOK_EVERY = 0.2
EVENTS_A_REQUEST = 200
SETTLED_WITHIN = 60.0
"""Seconds of wall time that the system may take to take everything in before the demo gives up on it."""
LEASH = 0.9
"""Seconds at the story's own pace that the clock may be ahead of what was seen."""


@dataclass(slots=True)
class Awaited:
    """What a deal was told to be and is not yet seen to be; ``since`` is when the first of it was told."""

    since: datetime
    fields: dict[str, object]


class Play:
    """One playing of ``story`` under the plan in ``plan_text``. Without ``decide`` nobody answers anything."""

    def __init__(
        self, system: LocalSystem, story: Story, plan_text: str, clock: HeldClock, screen: Screen, *, decide: bool
    ) -> None:
        self._system, self._story, self._plan_text = system, story, plan_text
        self._clock, self._screen, self._decide = clock, screen, decide
        self._facts = Facts(parse_plan(plan_text, "plan.yaml"), clock.now())
        self._to_tell: list[tuple[datetime, int, Moment]] = []
        self._told = 0
        self._awaited: dict[str, Awaited] = {}
        self._heard = 0
        self._allowed: datetime | None = None
        self._chapters = deque(sorted(story.chapters, key=lambda chapter: chapter.day))

    async def run(self) -> Summary:
        """Play it from the first day to the last and say what came of it; the system must be ready."""
        key = self._system.api_key or ""
        self._add(self._story.moments)
        async with (
            Receiver() as receiver,
            Door(self._system.door_url, key) as door,
            Api(self._system.capacity_url, self._system.notifier_url, key) as api,
        ):
            owners = Owners(self._story, api, self._screen.say, self._add)
            await self._prepare(receiver, door, api)
            self._clock.start(datetime.now(UTC), self._leash_from(self._clock.now()))
            telling = asyncio.create_task(self._tell(door))
            try:
                await self._watch(telling, receiver, api, owners)
                await telling
                await self._settle(receiver, api)
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
            found = await api.recalibrations(), await api.deliveries()
            return summarise(self._story, self._facts, *found, receiver, decided=self._decide)

    async def _prepare(self, receiver: Receiver, door: Door, api: Api) -> None:
        """Publish the plan, subscribe the receiver, load what happened before the first day, and see it arrive."""
        await door.put_plan(self._facts.plan.plan, self._plan_text)
        receiver.trust(await api.subscribe("demo", receiver.url))
        history = self._due(self._clock.now())
        await self._post(door, history)
        self._screen.say(f"Plan published, receiver subscribed at {receiver.url}, {len(history)} past events loaded")
        async with asyncio.timeout(SETTLED_WITHIN) as patience:
            try:
                while self._awaited or not self._facts.positions or not self._facts.work:
                    await self._look(api)
                    await asyncio.sleep(LOOK_EVERY)
            except TimeoutError:
                if not patience.expired():
                    raise
                raise self._stuck("the system has not taken in the story's past") from None

    async def _tell(self, door: Door) -> None:
        """Post each event when the clock reaches its time, to the story's end."""
        while (now := self._clock.now()) < self._story.end:
            await self._post(door, self._due(now))
            await asyncio.sleep(TELL_EVERY)
        await self._post(door, self._due(self._story.end))

    async def _watch(self, telling: asyncio.Task[None], receiver: Receiver, api: Api, owners: Owners) -> None:
        moved = asyncio.get_running_loop().time()
        while not telling.done():
            await self._look(api)
            if self._loosen():
                moved = asyncio.get_running_loop().time()
            elif asyncio.get_running_loop().time() > moved + SETTLED_WITHIN:
                raise self._stuck("the system no longer takes in what happens")
            self._narrate()
            for recalibration in self._hear(receiver):
                owners.hear(recalibration)
            if self._decide:
                await owners.act(self._facts)
            self._screen.show(self._facts)
            await asyncio.sleep(LOOK_EVERY)

    def _leash_from(self, seen: datetime) -> datetime:
        return seen + timedelta(days=LEASH * self._story.days_a_second(seen))

    def _loosen(self) -> bool:
        """Let the clock run on as far as what was seen allows; whether that is further than before."""
        told = [awaited.since for awaited in self._awaited.values()]
        seen = min([self._facts.as_of or self._clock.as_of, *told])
        limit = self._leash_from(seen)
        further = self._allowed is None or limit > self._allowed
        if further:
            self._allowed = limit
            self._clock.allow(limit)
        return further

    def _stuck(self, what: str) -> NotReady:
        return NotReady(
            what,
            where=self._system.capacity_url,
            why=f"of {len(self._awaited)} deals it does not know after {SETTLED_WITHIN:.0f} s what it was told",
            do="The ends of its logs may say more",
        )

    def _narrate(self) -> None:
        while self._chapters and self._chapters[0].day <= self._facts.today:
            chapter = self._chapters.popleft()
            self._screen.say(f"{chapter.day:%d %b} {chapter.says}", "italic")

    async def _settle(self, receiver: Receiver, api: Api) -> None:
        """Look until the system has taken everything in and every planned message has arrived or been given up."""
        deadline = asyncio.get_running_loop().time() + SETTLED_WITHIN
        while asyncio.get_running_loop().time() < deadline:
            await self._look(api)
            self._hear(receiver)
            pending = [entry for entry in await api.deliveries() if entry["state"] == "pending"]
            if not pending and not self._awaited:
                break
            await asyncio.sleep(LOOK_EVERY)
        self._screen.show(self._facts)

    async def _look(self, api: Api) -> None:
        """Bring the facts to what the system says; deals are asked for until they are as they were told."""
        asked = list(self._awaited)
        await api.see(self._facts)
        for id, deal in zip(asked, await asyncio.gather(*(api.deal(id) for id in asked)), strict=True):
            if deal is None:
                continue
            self._facts.deals[id] = deal
            if is_as_told(deal, self._awaited[id].fields):
                del self._awaited[id]
        self._facts.now = self._clock.now()
        self._facts.see_bookings()
        self._facts.see_overload()

    def _hear(self, receiver: Receiver) -> list[Recalibration]:
        """What the receiver got since the last time, noted and shown."""
        arrived = receiver.deliveries[self._heard :]
        self._heard += len(arrived)
        found = []
        for delivery in arrived:
            if not delivery.type.startswith("recalibration."):
                continue
            recalibration = msgspec.convert(delivery.data, Recalibration)
            found.append(recalibration)
            self._facts.hear(recalibration)
            self._screen.tell(recalibration, first=self._facts.firings[:1] == [recalibration])
        return found

    def _add(self, moments: Iterable[Moment]) -> None:
        for moment in moments:
            self._told += 1  # keeps moments of one time in the order in which they were added
            heapq.heappush(self._to_tell, (moment.at, self._told, moment))

    def _due(self, now: datetime) -> list[Moment]:
        due = []
        while self._to_tell and self._to_tell[0][0] <= now:
            due.append(heapq.heappop(self._to_tell)[2])
        return due

    async def _post(self, door: Door, moments: list[Moment]) -> None:
        for first in range(0, len(moments), EVENTS_A_REQUEST):
            some = moments[first : first + EVENTS_A_REQUEST]
            for moment in some:
                if moment.deal is not None:
                    awaited = self._awaited.setdefault(moment.deal, Awaited(moment.at, {}))
                    awaited.fields.update(moment.event["data"])
            await door.post_events([moment.event for moment in some])


def is_as_told(deal: Deal, told: dict[str, object]) -> bool:
    """Whether the system knows a deal's stage and configuration as they were last told."""
    return deal.stage == told.get("stage", deal.stage) and deal.custom == told.get("custom", deal.custom)
