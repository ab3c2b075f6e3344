"""How many events the door takes in and makes durable, one worker, and how long a single event waits for its 202.

``events_per_s``: signed HubSpot webhooks, arrays of 100, as fast as the door answers eight connections; what was
accepted is then counted on the inbox topic. ``single_p99_ms``: single CloudEvents at 500 a second, timed from when each
was due. Growth: CPU of an event in arrays of 6, 25 and 100.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import aiokafka
import psutil
from aiokafka import TopicPartition
from rich.console import Console
from rich.progress import Progress

from benchmarks._http import Answer, Client, post
from benchmarks._report import Bar, Report, arguments, percentile, present
from headroom.local.loops import run_apart
from headroom.local.system import LocalSystem
from services.ingest.domain.signature import sign_v3
from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.topics import INBOX

CONNECTIONS = 8
SINGLE_CONNECTIONS = 64
ARRAY = 100
RATE = 500
PATH = "/v1/webhooks/hubspot/bench"
URI = f"https://bench.example{PATH}"
DIFFERENT = 200
"""Requests made beforehand; they are sent again and again."""


def element(number: int, now: int) -> dict[str, Any]:
    """One change of a property, in the form HubSpot sends."""
    return {
        "eventId": 3_000_000_000 + number,
        "subscriptionId": 1_234_567,
        "portalId": 62515,
        "appId": 54321,
        "occurredAt": now + number,
        "subscriptionType": "deal.propertyChange",
        "attemptNumber": 0,
        "objectId": 9_000_000 + number % 50_000,
        "propertyName": "amount",
        "propertyValue": str(1000 + number),
        "changeSource": "CRM_UI",
        "sourceId": "userId:67890",
    }


def webhooks(secret: str, size: int) -> list[bytes]:
    """Signed arrays of ``size`` changes each; good for five minutes."""
    now = int(time.time() * 1000)
    made = []
    for first in range(0, DIFFERENT * size, size):
        body = json.dumps([element(number, now) for number in range(first, first + size)]).encode()
        signature = sign_v3(secret, "POST", URI, body, str(now))
        headers = [
            ("Content-Type", "application/json"),
            ("X-HubSpot-Request-Timestamp", str(now)),
            ("X-HubSpot-Signature-v3", signature),
        ]
        made.append(post(PATH, body, headers))
    return made


def events(key: str, count: int) -> Iterator[bytes]:
    """Single CloudEvents, each of a deal with two lines."""
    headers = [("Content-Type", "application/cloudevents+json"), ("Authorization", f"Bearer {key}")]
    for number in range(count):
        event = {
            "specversion": "1.0",
            "type": "com.headroom.deal.changed",
            "source": "bench",
            "id": f"event-{number}",
            "subject": f"deal-{number % 5000}",
            "time": "2026-05-04T08:00:00Z",
            "data": {
                "name": f"Deal number {number}",
                "stage": "proposal",
                "close": "2026-09-01",
                "amount": 20_000 + number,
                "currency": "EUR",
                "lines": [
                    {"product": "service", "quantity": 1, "amount": 12_000},
                    {"product": "licence", "quantity": 10, "amount": 8_000},
                ],
            },
        }
        yield post("/v1/events", json.dumps(event).encode(), headers)


async def kept(kafka: KafkaSettings) -> int:
    """How many records the inbox holds. Nothing writes it in transactions, so offsets count records."""
    consumer = aiokafka.AIOKafkaConsumer(**connection_options(kafka))
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [TopicPartition(kafka.topic_prefix + INBOX.name, number) for number in range(kafka.partitions)]
        )
        return sum(ends.values())
    finally:
        await consumer.stop()


class Bench:
    """The running door and what is asked of it."""

    def __init__(self, system: LocalSystem, secret: str, seconds: float) -> None:
        (door,) = system.processes()
        self._port, self._door = int(door.url.rsplit(":", 1)[1]), psutil.Process(door.pid)
        self._system, self._secret, self._seconds = system, secret, seconds
        self._accepted = 0

    async def run(self, report: Report, progress: Progress) -> None:
        step = progress.add_task("Arrays of 100", total=5)
        await self._arrays(ARRAY, self._seconds / 5)  # warm
        fastest = await self._arrays(ARRAY, self._seconds)
        report.figure("arrays", **fastest)
        for size in (6, 25, ARRAY):
            progress.update(step, description=f"Arrays of {size}", advance=1)
            report.figure("growth", **await self._arrays(size, self._seconds / 3))
        progress.update(step, description="Single events", advance=1)
        singles = await self._singles()
        report.figure("singles", **singles)
        durable = await kept(self._system.settings.kafka)
        report.figure("durable", accepted=self._accepted, on_the_inbox=durable)
        report.bars += [
            Bar("events_per_s", fastest["events_per_s"], 10_000),
            Bar("single_p99_ms", singles["p99_ms"], 50, at_most=True),
            Bar("lost", float(self._accepted - durable), 0, at_most=True),
        ]

    async def _arrays(self, size: int, seconds: float) -> dict[str, float]:
        async with Client(self._port, CONNECTIONS) as client:
            requests = webhooks(self._secret, size)
            worked = self._cpu()
            answers = await client.at_once(requests, seconds)
            return self._figure(answers, size, self._cpu() - worked) | {"array": size}

    async def _singles(self) -> dict[str, float]:
        key = self._system.api_key or ""
        async with Client(self._port, SINGLE_CONNECTIONS) as client:
            self._count(await client.paced(events(key, RATE), RATE), 1)  # warm
            requests = list(events(key, int(self._seconds * RATE)))
            worked = self._cpu()
            answers = await client.paced(requests, RATE)
            return self._figure(answers, 1, self._cpu() - worked)

    def _figure(self, answers: Sequence[Answer], size: int, cpu: float) -> dict[str, float]:
        self._count(answers, size)
        taken = [answer.ms for answer in answers]
        wall = max(answer.answered for answer in answers) - min(answer.due for answer in answers)
        count = len(answers) * size
        return {
            "events": count,
            "events_per_s": count / wall,
            "p50_ms": percentile(taken, 0.5),
            "p99_ms": percentile(taken, 0.99),
            "us_cpu_per_event": cpu / count * 1e6,
            "cpu_share": cpu / wall,
        }

    def _count(self, answers: Sequence[Answer], size: int) -> None:
        refused = [answer.status for answer in answers if answer.status != 202]
        if refused:
            raise SystemExit(f"The door answered {refused[0]} to {len(refused)} of {len(answers)} requests.")
        self._accepted += len(answers) * size

    def _cpu(self) -> float:
        times = self._door.cpu_times()
        return float(times.user + times.system)


def measure(seconds: float, console: Console) -> Report:
    """Start broker, database and door, and measure."""
    secret = secrets.token_hex(16)
    connection = {"bench": {"secrets": [secret], "uri": URI}}
    environment = {"HEADROOM_INGEST__HUBSPOT": json.dumps(connection)}
    report = Report()
    with (
        Progress(console=console, transient=True) as progress,
        LocalSystem(environment=environment, programs=("door",)) as system,
    ):
        bench = Bench(system, secret, seconds)
        run_apart(lambda: bench.run(report, progress))
    return report


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = arguments("ingest", __doc__)
    parser.add_argument("--seconds", type=float, default=15.0, help="of the run with arrays, and of that with singles")
    options = parser.parse_args()
    titles = {
        "arrays": "Arrays of 100 HubSpot changes, eight connections",
        "growth": "Growth: larger arrays",
        "singles": "Single CloudEvents at 500 a second",
        "durable": "What was accepted is on the inbox topic",
    }
    return present(options, lambda console: measure(options.seconds, console), titles)


if __name__ == "__main__":
    sys.exit(main())
