"""A run: a system under load, one fault after another, after each a look at everything; and the table at its end."""

import asyncio
import logging
import random
import statistics
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from tests.faults.harness import killpoints, plan
from tests.faults.harness.compacting import COMPACTED
from tests.faults.harness.differences import Difference, missing_and_extra
from tests.faults.harness.faults import DECK, FAULTS, RECOVERS_WITHIN, KillPoint, Scene, Void
from tests.faults.harness.load import Load
from tests.faults.harness.log import Log
from tests.faults.harness.receiver import Receiver
from tests.faults.harness.reconcile import Reconciler
from tests.faults.harness.system import System
from tests.waiting import eventually

AT_REST_WITHIN = 120.0
TRIES = 4
"""How often a fault that did not come about is drawn anew."""
BETWEEN = 12
"""Requests of the load between two faults."""
NEW_PLAN = 0.25
"""Share of faults during which somebody publishes a plan."""


@dataclass
class Outcome:
    """What one fault did."""

    kind: str
    what: str
    recovery: float
    """Seconds from the fault until a deal sent after it had gone all the way to a webhook."""
    acknowledged: int
    """Events that the door took while the fault lasted and the system recovered."""
    differences: list[Difference] = field(default_factory=list)


class Broken(AssertionError):
    """The system did not come back, or what it says is not what came in."""


@dataclass
class Run:
    """Faults on one running system."""

    seed: int
    say: Callable[[str], None]
    scene: Scene
    reconciler: Reconciler
    outcomes: list[Outcome] = field(default_factory=list)
    voided: int = 0

    async def one(self, kind: str) -> Outcome:
        """Do one fault, wait until the system is alive and at rest, and look at everything."""
        for _ in range(TRIES):
            began, taken = time.monotonic(), self.scene.load.taken
            try:
                outcome = await self._faulted(kind)
                outcome.differences = await self.at_rest(anew="compaction" in kind)
            except AssertionError as failed:
                # It did not come back; what is missing by now says why.
                outcome = Outcome(kind, str(failed), time.monotonic() - began, self.scene.load.taken - taken)
                outcome.differences = await self.at_rest() + [Difference("lost", "recovery", str(failed))]
            except Void as void:
                self.voided += 1
                self.say(f"{kind}: void, {void}")
                await self.scene.ready()
                continue
            self.outcomes.append(outcome)
            told = "; ".join(map(str, outcome.differences[:3])) or "nothing lost, nothing doubled"
            self.say(f"{len(self.outcomes)}. {kind}: {outcome.what}; recovered in {outcome.recovery:.1f} s; {told}")
            return outcome
        raise Broken(f"{kind} did not come about in {TRIES} tries")

    async def _faulted(self, kind: str) -> Outcome:
        scene = self.scene
        await scene.attempts(BETWEEN)
        publishing = None
        if scene.dice.random() < NEW_PLAN:
            publishing = asyncio.create_task(scene.load.new_plan())
        taken, began = scene.load.taken, time.monotonic()
        what = await FAULTS[kind](scene)
        await scene.alive()
        recovery = time.monotonic() - began
        await scene.ready()
        if publishing is not None:
            await publishing
        scene.load.check()
        if scene.load.taken == taken:
            raise Void("the load stood still")
        return Outcome(kind, what, recovery, scene.load.taken - taken)

    async def at_rest(self, *, anew: bool = False) -> list[Difference]:
        """Let the load pause until everything has gone through; what differs from the recompute then.

        ``anew``: also what a reader would find that begins now and meets only what compaction has kept.
        """
        load, receiver = self.scene.load, self.scene.receiver
        receiver.refusing = False
        last = [Difference("lost", "rest", "what is under way does not end")]

        async def none() -> bool:
            last[:] = await self.reconciler.differences()
            return not last

        try:
            async with asyncio.timeout(AT_REST_WITHIN):
                await load.pause()
                await receiver.settled()
            await eventually(none, within=AT_REST_WITHIN, every=0.3, what="rest")
        except (AssertionError, TimeoutError):
            return list(last)
        else:
            if not anew:
                return []
            try:
                return await self._read_anew()
            except AssertionError as restless:
                return [Difference("lost", "rest", str(restless))]
        finally:
            receiver.refusing = True
            load.resume()

    async def _read_anew(self) -> list[Difference]:
        """Both readings are of one moment, for what was held back for its turn may be told between two looks."""
        log = self.reconciler.log
        async with Log(log.kafka, topics=COMPACTED) as fresh:

            async def of_one_moment() -> bool:
                await log.catch_up()
                await fresh.catch_up()
                return all(log.ends[place] == end for place, end in fresh.ends.items())

            await eventually(of_one_moment, within=AT_REST_WITHIN, what="a moment at which nothing is written")
        return [
            difference
            for topic in COMPACTED
            for difference in missing_and_extra(topic.name, fresh.tables[topic].items(), log.tables[topic].items())
        ]


@asynccontextmanager
async def running(seed: int, say: Callable[[str], None]) -> AsyncIterator[Run]:
    """A system under load, with a plan, a receiver that is subscribed, and the probe gone through once."""
    # The harness's own clients lose the broker, too, and say so at length.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    async with AsyncExitStack() as stack:
        say(f"seed {seed}: starting broker, database and services")
        system = System()
        await asyncio.to_thread(system.__enter__)
        stack.push_async_callback(asyncio.to_thread, system.__exit__)
        dice = random.Random(seed)
        load = await stack.enter_async_context(Load(system, dice.randrange(2**32)))
        receiver = await stack.enter_async_context(Receiver(system, dice.randrange(2**32)))
        await receiver.subscribe()
        await load.publish(plan.PER_WEEK)
        log = await stack.enter_async_context(Log(system.settings))
        run = Run(seed, say, Scene(system, load, receiver, dice), Reconciler(system, load, receiver, log))
        await asyncio.wait_for(run.scene.alive(), RECOVERS_WITHIN)
        say(f"it runs; logs are in {system.folder / 'logs'}")
        system.keep_logs = True
        yield run
        system.keep_logs = any(outcome.differences for outcome in run.outcomes)


def deck(number: int, dice: random.Random, only: Sequence[str] = ()) -> list[str]:
    """So many kinds of faults: every twenty hold each kind as often as ``DECK`` says, in any order."""
    cards: list[str] = []
    while len(cards) < number:
        twenty = [kind for kind, times in DECK.items() for _ in range(times) if not only or kind in only]
        dice.shuffle(twenty)
        cards += twenty
    return cards[:number]


def _named(before: str, points: set[KillPoint]) -> str:
    return before + ", ".join(f"{point} of {name}" for name, point in sorted(points)) if points else ""


def show(outcomes: Sequence[Outcome], seed: int, console: Console) -> None:
    """The table: what was done how often, what it cost, and how long it took to be alive again."""
    table = Table(title=f"Faults under load, seed {seed}")
    for name in ("fault", "times", "events taken", "lost", "doubled", "recovery median s", "max s"):
        table.add_column(name, justify="left" if name == "fault" else "right")
    kinds = [kind for kind in FAULTS if any(outcome.kind == kind for outcome in outcomes)]
    for name, some in [(kind, [o for o in outcomes if o.kind == kind]) for kind in kinds] + [("all", list(outcomes))]:
        if not some:
            continue
        seconds = [outcome.recovery for outcome in some]
        table.add_row(
            name,
            str(len(some)),
            str(sum(outcome.acknowledged for outcome in some)),
            str(sum(difference.kind == "lost" for outcome in some for difference in outcome.differences)),
            str(sum(difference.kind == "doubled" for outcome in some for difference in outcome.differences)),
            f"{statistics.median(seconds):.1f}",
            f"{max(seconds):.1f}",
            end_section=name == (kinds[-1] if kinds else ""),
        )
    console.print(table)


async def suite(
    number: int, seed: int, only: Sequence[str], say: Callable[[str], None], minutes: float | None = None
) -> list[Outcome]:
    """So many faults; ends early with the first that is not survived. The outcomes so far in any case.

    No fault begins later than ``minutes`` after the system has started.
    """
    outcomes: list[Outcome] = []
    async with running(seed, say) as run:
        outcomes, started = run.outcomes, time.monotonic()
        for kind in deck(number, random.Random(seed), only):
            if minutes is not None and outcomes and time.monotonic() - started > 60 * minutes:
                say(f"{minutes:g} minutes are over; {len(outcomes)} of {number} faults were done")
                break
            outcome = await run.one(kind)
            if outcome.differences:
                return outcomes
        run.reconciler.every_deal = True
        outcomes[-1].differences += await run.at_rest(anew=True)
        load, passed = run.scene.load, run.scene.passed
        every = {(name, point) for name, points in killpoints.POINTS.items() for point in points}
        say(f"killed at {len(passed)} of {len(every)} points" + _named(" but not at ", every - passed))
        say(
            f"{load.taken} events acknowledged, {len(run.reconciler.inbox.poison)} poisonous, "
            f"{len(run.reconciler.judged.told)} transitions, {len(run.scene.receiver.acknowledged)} acknowledged, "
            f"{run.scene.system.restarts()} restarts, {run.voided} void"
        )
    return outcomes
