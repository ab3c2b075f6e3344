"""How many webhooks the notifier delivers, and what endpoints that hang do to the others.

A hundred subscriptions on loopback. Recalibrations are written to their topic at 240 a second, each for one of the
subscriptions, and timed from their record to the receiver: for a minute with all endpoints well, then for a minute
with ten that take a request and never answer. ``hanging_ratio`` is the p99 of the other ninety then, by what it was.
Growth: the same with 6 and 25 subscriptions.
"""

import asyncio
import re
import sys
import uuid
from collections.abc import Sequence, Set
from datetime import UTC, datetime
from time import perf_counter, time
from typing import NamedTuple

import aiohttp
import psutil
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.progress import Progress

from benchmarks._http import Receiver
from benchmarks._report import Bar, Report, Row, arguments, percentile, present
from headroom.local.loops import run_apart
from headroom.local.system import LocalSystem
from shared.kafka import create_producer
from shared.schemas import recalibration
from shared.schemas.envelope import headers
from shared.schemas.recalibration import AskedPerson, Recalibration, Week
from shared.topics import RECALIBRATIONS

ENDPOINTS, HANGING = 100, 10
RATE = 240
WARM = 3.0
ARRIVE_WITHIN = 30.0

_EVENT = re.compile(rb'"event_id":"([^"]+)"')


def asked(endpoint: int, now: datetime) -> Recalibration:
    """A recalibration of a usual size, of the pool that one subscription listens to."""
    pool = f"pool-{endpoint}"
    weeks = [
        Week(f"2026-W{week}", capacity=120.0, demand=150.0, missing=30.0, overload=0.93, utilisation=1.25)
        for week in range(23, 29)
    ]
    return Recalibration(
        id=str(uuid.uuid4()),
        event_id=str(uuid.uuid4()),
        kind="firing",
        transition=1,
        trigger="overcommitted",
        scope=pool,
        watch="position",
        severity="critical",
        at=now,
        fired=now,
        plan="bench@1",
        summary=f"{pool} is short of 180 hours from 2026-W23 to 2026-W28",
        pool=pool,
        unit="hours",
        size=180.0,
        weeks=weeks,
        owners=[AskedPerson("owner", "Head of Implementation", "owner@example.com")],
    )


class Written(NamedTuple):
    """One recalibration: its event, the endpoint it goes to, and when it was written."""

    event: str
    endpoint: int
    at: float


class Bench:
    """The running notifier, its subscriptions and its receiver."""

    def __init__(self, system: LocalSystem, receiver: Receiver, producer: AIOKafkaProducer, arrived: dict[str, float]):
        (notifier,) = system.processes()
        self._process = psutil.Process(notifier.pid)
        self._system, self._receiver, self._producer = system, receiver, producer
        self._arrived = arrived
        self._topic = system.settings.kafka.topic_prefix + RECALIBRATIONS.name

    async def subscribe(self, numbers: Sequence[int]) -> None:
        """One webhook for each of the pools."""
        bearer = {"Authorization": f"Bearer {self._system.api_key}"}
        async with aiohttp.ClientSession(self._system.notifier_url, headers=bearer) as http:
            for number in numbers:
                body = {
                    "name": f"endpoint {number}",
                    "url": f"http://127.0.0.1:{self._receiver.port}/{number}",
                    "filters": {"pools": [f"pool-{number}"]},
                }
                async with http.post("/v1/subscriptions", json=body) as answer:
                    answer.raise_for_status()

    async def phase(self, seconds: float, endpoints: int, hanging: int = 0) -> Row:
        """Load for so long, wait for what is to arrive, and the figures of the endpoints that never hang."""
        self._receiver.hanging = {f"/{number}" for number in range(endpoints - hanging, endpoints)}
        worked, began = self._cpu(), perf_counter()
        written = await self._load(seconds, endpoints)
        loaded = perf_counter() - began
        expected = {one.event: one for one in written if one.endpoint < endpoints - hanging}
        await self._all_arrived(expected.keys())
        # With and without those that hang the same ones are looked at.
        looked_at = [one for one in expected.values() if one.endpoint < endpoints - HANGING or endpoints < ENDPOINTS]
        took = [(self._arrived[one.event] - one.at) * 1000 for one in looked_at]
        last = max(self._arrived[event] for event in expected) - written[0].at
        return {
            "endpoints": endpoints,
            "hanging": hanging,
            "delivered": len(expected),
            "deliveries_per_s": len(expected) / max(last, seconds),
            "p50_ms": percentile(took, 0.5),
            "p99_ms": percentile(took, 0.99),
            "cpu_share": (self._cpu() - worked) / loaded,
        }

    async def _all_arrived(self, events: Set[str]) -> None:
        deadline = perf_counter() + ARRIVE_WITHIN
        while missing := events - self._arrived.keys():
            if perf_counter() > deadline:
                raise SystemExit(f"{len(missing)} of {len(events)} did not arrive within {ARRIVE_WITHIN:.0f} s.")
            await asyncio.sleep(0.2)

    async def _load(self, seconds: float, endpoints: int) -> list[Written]:
        written = []
        started = perf_counter()
        for turn in range(int(seconds * RATE)):
            wait = started + turn / RATE - perf_counter()
            if wait > 0.001:
                await asyncio.sleep(wait)
            now = datetime.now(UTC)
            one = asked(turn % endpoints, now)
            envelope = headers(recalibration.TYPE, one.event_id, "headroom/triggers", now)
            await self._producer.send(self._topic, recalibration.encode(one), one.id.encode(), 0, headers=envelope)
            written.append(Written(one.event_id, turn % endpoints, time()))
        return written

    def _cpu(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


async def run(system: LocalSystem, seconds: float, report: Report, progress: Progress) -> None:
    """All phases against a running notifier."""
    arrived: dict[str, float] = {}

    def note(path: str, body: bytes, at: float) -> None:
        found = _EVENT.search(body)
        if found is not None:
            arrived.setdefault(found[1].decode(), at)

    producer = create_producer(system.settings.kafka, linger_ms=2)
    await producer.start()
    try:
        async with Receiver(note) as receiver:
            bench = Bench(system, receiver, producer, arrived)
            step = progress.add_task("Warming up", total=5)
            known = 0
            for endpoints in (6, 25, ENDPOINTS):
                await bench.subscribe(range(known, endpoints))
                known = endpoints
                await bench.phase(WARM, endpoints)
                progress.update(step, description=f"{endpoints} endpoints", advance=1)
                if endpoints < ENDPOINTS:
                    report.figure("growth", **await bench.phase(seconds / 6, endpoints))
            calm = await bench.phase(seconds, ENDPOINTS)
            report.figure("growth", **calm)
            report.figure("calm", **calm)
            progress.update(step, description=f"{HANGING} endpoints hang", advance=1)
            hanging = await bench.phase(seconds, ENDPOINTS, HANGING)
            report.figure("hanging", **hanging)
    finally:
        await producer.stop()
    report.bars += [
        Bar("deliveries_per_s", calm["deliveries_per_s"], 200),
        Bar("hanging_ratio", hanging["p99_ms"] / calm["p99_ms"], 2, at_most=True),
    ]


def measure(seconds: float, console: Console) -> Report:
    """Start broker, database and notifier, and measure."""
    report = Report()
    environment = {"HEADROOM_NOTIFIER__ALLOW_NETWORKS": '["127.0.0.0/8"]'}
    with (
        Progress(console=console, transient=True) as progress,
        LocalSystem(environment=environment, programs=("notifier",)) as system,
    ):
        run_apart(lambda: run(system, seconds, report, progress))
    return report


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = arguments("delivery", __doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of the two long phases")
    options = parser.parse_args()
    titles = {
        "growth": "Growth: more endpoints, all well",
        "calm": "All endpoints well",
        "hanging": "Ten endpoints never answer: the other ninety",
    }
    return present(options, lambda console: measure(options.seconds, console), titles)


if __name__ == "__main__":
    sys.exit(main())
