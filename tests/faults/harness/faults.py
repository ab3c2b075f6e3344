"""The faults, each drawn by a seed and done to the running system while the load goes on.

A fault says with ``Void`` that it did not come about (its point was not passed, its process was just starting); it is
drawn again then.
"""

import asyncio
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp

from tests.faults.harness import killpoints, plan
from tests.faults.harness.compacting import compact
from tests.faults.harness.load import TIMEOUT, Load
from tests.faults.harness.receiver import Receiver
from tests.faults.harness.system import PARTITIONS, SESSION_TIMEOUT, System
from tests.waiting import eventually

PASSED_WITHIN = 45.0
RECOVERS_WITHIN = 150.0
SHARDED = ("normalise", "fold")

KillPoint = tuple[str, str]
"""A process by name, and a point of it."""


class Void(Exception):
    """The fault did not come about, so that surviving it says nothing."""


@dataclass
class Scene:
    """What a fault is done to."""

    system: System
    load: Load
    receiver: Receiver
    dice: random.Random
    passed: set[KillPoint] = field(default_factory=set)
    """The points at which a process has been killed."""
    _turns: list[KillPoint] = field(default_factory=list)

    def next_point(self) -> KillPoint:
        """Each point in its turn, in an order that is drawn anew when all have been had."""
        if not self._turns:
            self._turns = sorted((name, point) for name, points in killpoints.POINTS.items() for point in points)
            self.dice.shuffle(self._turns)
        return self._turns.pop()

    def put_back(self, point: KillPoint) -> None:
        """It was not passed; its turn comes again after all others."""
        self._turns.insert(0, point)

    async def alive(self) -> None:
        """Wait until a deal that is sent now has gone all the way: from the door to a webhook and to the API."""
        before = self.receiver.probes
        # Each time the other way, so that each time there is something to tell.
        units = 20.0 if before % 2 == 0 else 0.0
        await self.load.probe(units)
        await eventually(lambda: self.receiver.probes > before, within=RECOVERS_WITHIN, what="a probe's webhook")
        hours = units * plan.NEEDS[plan.PROBE][0][1]
        await eventually(lambda: self._shows(hours), within=RECOVERS_WITHIN, every=0.1, what="a probe in the API")

    async def _shows(self, hours: float) -> bool:
        """Whether the API says that so many hours are booked on the probe's pool."""
        url = f"{self.system.url('views')}/v1/positions?pool={plan.PROBE}"
        async with aiohttp.ClientSession(headers={"X-API-Key": self.system.key}, timeout=TIMEOUT) as session:
            try:
                async with session.get(url) as answer:
                    rows = (await answer.json(content_type=None)).get("rows", [])
            except (aiohttp.ClientError, TimeoutError):
                return False
        return sum(row["booked"] for row in rows) == hours

    async def ready(self) -> None:
        """Wait until every process says that it is ready."""
        await eventually(lambda: not self.system.not_ready(), within=RECOVERS_WITHIN, every=0.1, what="readiness")

    async def attempts(self, more: int) -> None:
        """Let the load go on for so many requests."""
        until = self.load.attempts + more
        await eventually(lambda: self.load.attempts >= until, within=RECOVERS_WITHIN, what="the load's requests")


Fault = Callable[[Scene], Awaitable[str]]
"""Does it, and says what it was. Recovery is waited for afterwards."""


async def kill_at_a_point(scene: Scene) -> str:
    """``kill -9`` exactly before or after an effect becomes durable."""
    name, point = scene.next_point()
    publishing, passing = None, scene.dice.randint(1, 4)
    if point in killpoints.PUBLISHING:
        publishing, passing = asyncio.create_task(scene.load.new_plan()), 1
    try:
        await _die_at(scene, name, point, passing)
    except Void:
        scene.put_back((name, point))
        raise
    finally:
        if publishing is not None:
            await publishing
    scene.passed.add((name, point))
    return f"{name} at {point}, passing {passing}"


async def kill_while_it_restores(scene: Scene) -> str:
    """``kill -9``, and again in the middle of the restore that follows."""
    name, point = scene.dice.choice(killpoints.RESTORING), scene.dice.choice(killpoints.RESTORE)
    passing = scene.dice.randint(1, PARTITIONS) if name in SHARDED else 1
    restarts = scene.system.restarts()
    scene.system.arm(name, point, passing)
    scene.system.kill(name)
    await _passed(scene, name)
    await eventually(lambda: scene.system.restarts() >= restarts + 2, within=PASSED_WITHIN, what="two restarts")
    return f"{name} again at {point}, passing {passing}"


async def kill_at_any_time(scene: Scene) -> str:
    """``kill -9`` of one to three processes at once."""
    names = scene.dice.sample(sorted(killpoints.POINTS), scene.dice.choice([1, 1, 2, 3]))
    await scene.attempts(scene.dice.randint(1, 10))
    for name in names:
        scene.system.kill(name)
    return ", ".join(names)


async def stall(scene: Scene) -> str:
    """SIGSTOP past the session timeout, another worker takes over, SIGCONT."""
    name = scene.dice.choice(["normalise", "fold", "project", "triggers"])
    restarts = scene.system.restarts()
    scene.system.kill(name, signal.SIGSTOP)
    try:
        another = scene.system.another(name)
        await scene.alive()
    finally:
        scene.system.kill(name, signal.SIGCONT)
    await scene.alive()
    # The one that was replaced has ended itself, or has joined again as one that holds nothing.
    await asyncio.to_thread(scene.system.end, another, scene.dice.choice([0, 15]))
    return f"{name}, {scene.system.restarts() - restarts} ended"


async def stall_of_a_sink(scene: Scene) -> str:
    """SIGSTOP of a process that writes to the database, for longer than its session and its leases."""
    name = scene.dice.choice(["views", "notifier"])
    restarts = scene.system.restarts()
    scene.system.kill(name, signal.SIGSTOP)
    try:
        another = scene.system.another(name)
        await eventually(lambda: scene.system.status(another).state == "ready", within=RECOVERS_WITHIN)
        await asyncio.sleep(SESSION_TIMEOUT)  # it is the fault that lasts
    finally:
        scene.system.kill(name, signal.SIGCONT)
    await scene.alive()
    await asyncio.to_thread(scene.system.end, another)
    return f"{name}, {scene.system.restarts() - restarts} ended"


async def workers_come_and_go(scene: Scene) -> str:
    """One worker, three, one again."""
    name = scene.dice.choice(SHARDED)
    more = [scene.system.another(name) for _ in range(2)]
    await eventually(lambda: _share_shards(scene, more), within=RECOVERS_WITHIN, every=0.2, what="new workers' shards")
    await scene.alive()
    for one, grace in zip(more, scene.dice.sample([0, 15], 2), strict=True):
        await asyncio.to_thread(scene.system.end, one, grace)
    return name


async def kill_the_broker(scene: Scene) -> str:
    """``kill -9`` of Kafka, and its restart."""
    await asyncio.to_thread(scene.system.kafka.kill)
    await scene.attempts(scene.dice.randint(3, 10))
    await asyncio.to_thread(scene.system.kafka.start)
    return "broker"


async def restart_the_database(scene: Scene) -> str:
    """PostgreSQL is shut down, or crashes, and comes back."""
    postgres, hard = scene.system.postgres, scene.dice.random() < 0.5
    await asyncio.to_thread(lambda: postgres.end(crash=hard))
    await scene.attempts(scene.dice.randint(5, 25))
    await asyncio.to_thread(postgres.start)
    return "crashed" if hard else "shut down"


async def start_without_the_database(scene: Scene) -> str:
    """PostgreSQL is away while the processes that need it start."""
    await asyncio.to_thread(lambda: scene.system.postgres.end(crash=False))
    for name in ("views", "notifier"):
        scene.system.kill(name)
    await scene.attempts(scene.dice.randint(25, 40))
    await asyncio.to_thread(scene.system.postgres.start)
    return "views, notifier"


async def slow_broker(scene: Scene) -> str:
    """Everything to and from Kafka takes long, and now and then all connections are cut."""
    # The longest is more than the door waits for a durable answer, there and back.
    delay = scene.dice.choice([0.02, 0.2, 2.5])
    scene.system.proxy.slow(delay)
    try:
        for _ in range(scene.dice.randint(1, 3)):
            await scene.attempts(scene.dice.randint(5, 12))
            scene.system.proxy.cut()
    finally:
        scene.system.proxy.slow(0.0)
    return f"{delay * 1000:.0f} ms"


async def compaction(scene: Scene) -> str:
    """The tables are compacted down to what counts, and whoever reads them starts again."""
    try:
        await compact(scene.system)
    except AssertionError as late:
        raise Void("the broker did not compact all tables") from late
    for name in ("normalise", "fold", "project", "triggers", "views"):
        scene.system.kill(name)
    return "all readers"


async def stall_and_compaction(scene: Scene) -> str:
    """SIGSTOP, takeover, SIGCONT, compaction, restart of the readers."""
    name = await stall(scene)
    return f"{name}, then {await compaction(scene)}"


FAULTS: dict[str, Fault] = {
    "kill at a point": kill_at_a_point,
    "kill while it restores": kill_while_it_restores,
    "kill at any time": kill_at_any_time,
    "stall and takeover": stall,
    "stall of a sink": stall_of_a_sink,
    "1→3→1 workers": workers_come_and_go,
    "broker killed": kill_the_broker,
    "database restarted": restart_the_database,
    "start without database": start_without_the_database,
    "slow broker": slow_broker,
    "compaction": compaction,
    "stall, then compaction": stall_and_compaction,
}
"""Every kind, by the name it has in the table."""

DECK: Mapping[str, int] = {
    "kill at a point": 8,
    "kill while it restores": 1,
    "kill at any time": 2,
    "stall and takeover": 1,
    "stall of a sink": 1,
    "1→3→1 workers": 1,
    "broker killed": 1,
    "database restarted": 1,
    "start without database": 1,
    "slow broker": 1,
    "compaction": 1,
    "stall, then compaction": 1,
}
"""How often each kind comes among twenty."""


async def _die_at(scene: Scene, name: str, point: str, passing: int) -> None:
    if name in scene.system.not_ready():
        raise Void(f"{name} was not ready")
    scene.system.arm(name, point, passing)
    await _passed(scene, name)


async def _passed(scene: Scene, name: str) -> None:
    """Wait until the process has died at its point."""
    try:
        await eventually(lambda: not scene.system.armed(name), within=PASSED_WITHIN)
    except AssertionError as late:
        raise Void(f"{name} did not pass its point") from late
    finally:
        scene.system.disarm(name)


async def _share_shards(scene: Scene, names: list[str]) -> bool:
    """Whether workers are ready and each of them has been given partitions."""
    if not all(scene.system.status(name).state == "ready" for name in names):
        return False
    told = []
    async with aiohttp.ClientSession(timeout=TIMEOUT) as session:
        for name in names:
            async with session.get(f"{scene.system.url(name)}/metrics") as answer:
                told.append(await answer.text())
    return all("headroom_restore_progress_ratio{" in text for text in told)
