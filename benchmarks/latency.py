"""From an event sent over HTTP to the recalibration's webhook at its receiver, through the whole system.

300 events a second for a minute, single CloudEvents; ten of them a second are probes, each of which tips a pool that
nothing has tipped before. ``p50_ms`` and ``p99_ms`` are timed from when a probe was due to be sent until its webhook
arrived. Where the time goes is read from the timestamps of the records on the way. Growth: shorter runs with a quarter
and a sixteenth of the deals in the book.
"""

import asyncio
import json
import random
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import aiohttp
import psutil
from rich.console import Console
from rich.progress import Progress

from benchmarks._http import Answer, Client, Receiver, post
from benchmarks._report import Bar, Report, Row, arguments, percentile, present
from benchmarks._stages import STAGES, Stages
from headroom.local.loops import run_apart
from headroom.local.system import LocalSystem

RATE, PROBE_EVERY = 300, 30
CONNECTIONS = 64
WEEKS = 52
USUAL = 50
"""Pools that the other events are about; they are never overloaded."""
QUIET = 2.0
ARRIVE_WITHIN = 30.0
PUBLISH_WITHIN = 60.0

_POOL = re.compile(rb'"pool":"probe-(\d+)"')


def plan(probes: int, start: date) -> dict[str, Any]:
    """A pool and a product for every probe, and those of the other events."""

    def pool(capacity: float) -> dict[str, Any]:
        return {
            "kind": "work",
            "unit": "hours",
            "owner": "owner",
            "escalation": ["boss"],
            "capacity": {"per_week": capacity},
        }

    def product(name: str, effort: float) -> dict[str, Any]:
        return {"needs": [{"pool": name, "effort": effort, "curve": {"shape": "flat", "weeks": 2}}]}

    probed = [f"probe-{number}" for number in range(probes)]
    usual = [f"usual-{number}" for number in range(USUAL)]
    year, week, _ = start.isocalendar()
    return {
        "plan": "bench",
        "currency": "EUR",
        "timezone": "UTC",
        "start": f"{year}-W{week:02}",
        "horizon_weeks": WEEKS,
        "people": {"owner": {"name": "Owner"}, "boss": {"name": "Boss"}},
        "stages": {
            "proposal": {"class": "open", "probability": 0.4},
            "commit": {"class": "open", "probability": 0.9},
            "won": {"class": "won"},
            "lost": {"class": "lost"},
        },
        "pools": {name: pool(40) for name in probed} | {name: pool(1_000_000) for name in usual},
        "products": {name: product(name, 120) for name in probed} | {name: product(name, 10) for name in usual},
        "triggers": [
            {
                "trigger": "overcommitted",
                "watch": "position",
                "when": "utilisation > 1.0",
                "clear": "utilisation < 0.9",
                "severity": "critical",
                "ask": {"owners": ["pool.owner"], "acknowledge_within": "4h", "decide_within": "2d"},
            }
        ],
    }


class Events:
    """Makes the requests: probes in turn, and changes of a book of ``deals``."""

    def __init__(self, key: str, today: date) -> None:
        self._headers = [("Content-Type", "application/cloudevents+json"), ("Authorization", f"Bearer {key}")]
        self._dice = random.Random(1)
        self._today = today
        self._number = 0
        self.probes = 0
        self.deals = 0

    def book(self, deals: int, together: int = 200) -> Iterator[bytes]:
        """Batches that bring the book to so many deals."""
        headers = [("Content-Type", "application/cloudevents-batch+json"), self._headers[1]]
        while self.deals < deals:
            count = min(together, deals - self.deals)
            body = [self._change(self.deals + number) for number in range(count)]
            self.deals += count
            yield post("/v1/events", json.dumps(body).encode(), headers)

    def run(self, seconds: float) -> list[bytes]:
        """The requests of a run, every ``PROBE_EVERY``-th a probe."""
        return [
            self.probe() if number % PROBE_EVERY == PROBE_EVERY - 1 else self._other()
            for number in range(int(seconds * RATE))
        ]

    def probe(self) -> bytes:
        """A deal that tips the next pool."""
        name = f"probe-{self.probes}"
        self.probes += 1
        event = self._event(name, name, "commit", self._today + timedelta(days=60), 1.0)
        return post("/v1/events", json.dumps(event).encode(), self._headers)

    def _other(self) -> bytes:
        change = self._change(self._dice.randrange(self.deals))
        return post("/v1/events", json.dumps(change).encode(), self._headers)

    def _change(self, deal: int) -> dict[str, Any]:
        dice = self._dice
        closing = self._today + timedelta(days=dice.randrange(7, 250))
        stage = dice.choice(("proposal", "commit", "won", "lost"))
        return self._event(f"deal-{deal}", f"usual-{deal % USUAL}", stage, closing, float(dice.randrange(1, 20)))

    def _event(self, deal: str, product: str, stage: str, closing: date, quantity: float) -> dict[str, Any]:
        self._number += 1
        return {
            "specversion": "1.0",
            "type": "com.headroom.deal.changed",
            "source": "bench",
            "id": f"{deal}-{self._number}",
            "subject": deal,
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "sequence": str(self._number),
            "data": {
                "name": deal,
                "stage": stage,
                "close": closing.isoformat(),
                "amount": 20_000,
                "currency": "EUR",
                "lines": [{"product": product, "quantity": quantity, "amount": 20_000}],
            },
        }


class Bench:
    """The running system, a subscribed receiver, and what has arrived there by probe."""

    def __init__(self, system: LocalSystem, events: Events, arrived: dict[int, float]) -> None:
        self._system, self._events, self._arrived = system, events, arrived
        self._port = int(system.door_url.rsplit(":", 1)[1])
        self._processes = {status.name: psutil.Process(status.pid) for status in system.processes()}

    async def prepare(self, made: dict[str, Any], receiver: Receiver) -> None:
        """Publish the plan and subscribe the receiver."""
        headers = {"Authorization": f"Bearer {self._system.api_key}"}
        timeout = aiohttp.ClientTimeout(PUBLISH_WITHIN)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout) as http:
            async with http.put(f"{self._system.door_url}/v1/plans/bench", json=made) as answer:
                if answer.status != 201:
                    raise SystemExit(f"The plan was not published: {await answer.text()}")
            body = {"name": "bench", "url": f"http://127.0.0.1:{receiver.port}/webhook"}
            async with http.post(f"{self._system.notifier_url}/v1/subscriptions", json=body) as answer:
                answer.raise_for_status()

    async def grow(self, deals: int) -> None:
        """Bring the book to so many deals and wait until everything downstream has followed."""
        async with Client(self._port, 1) as client:
            _check(await client.paced(self._events.book(deals), rate=4))
        await self._probe_once()
        await asyncio.sleep(QUIET)

    async def _probe_once(self) -> None:
        """A probe that is answered shows that nothing stands before it any more."""
        number = self._events.probes
        async with Client(self._port, 1) as client:
            _check(await client.paced([self._events.probe()], RATE))
        await self._wait_for({number}, PUBLISH_WITHIN)

    async def _wait_for(self, probes: set[int], within: float) -> None:
        deadline = time.time() + within
        while missing := probes - self._arrived.keys():
            if time.time() > deadline:
                raise SystemExit(f"{len(missing)} of {len(probes)} webhooks did not arrive within {within:.0f} s.")
            await asyncio.sleep(0.05)

    async def run(self, seconds: float) -> tuple[Row, list[Row]]:
        """A run: its figures and where the time went."""
        first = self._events.probes
        requests = self._events.run(seconds)
        probes = range(first, self._events.probes)
        stages = Stages(self._system.settings.kafka)
        await stages.begin()
        worked, began = self._cpu(), time.time()
        async with Client(self._port, CONNECTIONS) as client:
            answers = sorted(await client.paced(requests, RATE))
        _check(answers)
        await self._wait_for(set(probes), ARRIVE_WITHIN)
        spent = {name: (cpu - worked[name]) / (time.time() - began) for name, cpu in self._cpu().items()}
        sent = dict(zip(probes, answers[PROBE_EVERY - 1 :: PROBE_EVERY], strict=True))
        took = [(self._arrived[number] - answer.due) * 1000 for number, answer in sent.items()]
        accepted = [(self._arrived[number] - answer.answered) * 1000 for number, answer in sent.items()]
        figure = {
            "deals": self._events.deals,
            "probes": len(took),
            "p50_ms": percentile(took, 0.5),
            "p99_ms": percentile(took, 0.99),
            "after_202_p50_ms": percentile(accepted, 0.5),
            "after_202_p99_ms": percentile(accepted, 0.99),
            "cpu_share": sum(spent.values()),
        }
        at = await stages.end({number: (answer.due, self._arrived[number]) for number, answer in sent.items()})
        return figure, [
            *({"stage": name, **at[name]} for name in STAGES),
            *({"stage": f"CPU of {name}", "share": share} for name, share in spent.items()),
        ]

    def _cpu(self) -> dict[str, float]:
        times = {name: process.cpu_times() for name, process in self._processes.items()}
        return {name: float(one.user + one.system) for name, one in times.items()}


def _check(answers: list[Answer]) -> None:
    refused = [answer.status for answer in answers if answer.status != 202]
    if refused:
        raise SystemExit(f"The door answered {refused[0]} to {len(refused)} of {len(answers)} requests.")


async def run(system: LocalSystem, seconds: float, deals: int, report: Report, progress: Progress) -> None:
    """Grow the book and run at each size; the largest for the whole time."""
    short = seconds / 6
    probes = int((seconds + 2 * short) * RATE / PROBE_EVERY) + 8
    arrived: dict[int, float] = {}

    def note(path: str, body: bytes, at: float) -> None:
        found = _POOL.search(body)
        if found is not None:
            arrived.setdefault(int(found[1]), at)

    today = datetime.now(UTC).date()
    events = Events(system.api_key or "", today)
    bench = Bench(system, events, arrived)
    async with Receiver(note) as receiver:
        step = progress.add_task(f"A plan of {probes + USUAL} pools", total=4)
        await bench.prepare(plan(probes, today), receiver)
        for part, lasting in ((16, short), (4, short), (1, seconds)):
            progress.update(step, description=f"{deals // part:,} deals", advance=1)
            await bench.grow(deals // part)
            figure, stages = await bench.run(lasting)
            report.figure("growth", **figure)
    report.figure("latency", pools=probes + USUAL, weeks=WEEKS, events_per_s=RATE, **figure)
    for row in stages:
        report.figure("stage", **row)
    report.bars += [
        Bar("p50_ms", figure["p50_ms"], 250, at_most=True),
        Bar("p99_ms", figure["p99_ms"], 1000, at_most=True),
    ]


def measure(seconds: float, deals: int, console: Console) -> Report:
    """Start the whole system, and measure."""
    report = Report()
    environment = {"HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]'}
    with Progress(console=console, transient=True) as progress, LocalSystem(environment=environment) as system:
        run_apart(lambda: run(system, seconds, deals, report, progress))
    return report


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = arguments("latency", __doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--deals", type=int, default=16_000, help="in the book during the long run")
    options = parser.parse_args()
    titles = {
        "latency": "From the event to its webhook",
        "stage": "Where the time goes",
        "growth": "Growth: more deals in the book",
    }
    return present(options, lambda console: measure(options.seconds, options.deals, console), titles)


if __name__ == "__main__":
    sys.exit(main())
