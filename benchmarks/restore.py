"""How soon a killed worker is back, and what a deal costs it in memory.

One fold process over a million deals of two lines each. ``ready_s``: from its ``kill -9`` until the one that is started
instead answers ``/readyz`` with 200, all deals read from the log. ``bytes_per_deal``: the resident memory of that
process less that of one without deals, by deal. Growth: the same at a sixteenth and a quarter of the deals.
"""

import asyncio
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
from rich.console import Console
from rich.progress import Progress

from benchmarks._deals import changes, partition_of
from benchmarks._report import Bar, Report, arguments, present
from headroom.local.loops import run_apart
from headroom.local.system import LocalSystem
from shared.kafka import create_producer
from shared.settings import KafkaSettings
from shared.topics import DEALS

PRODUCTS = 4
READY_WITHIN = 300.0
SETTLED_WITHIN = 120.0


async def load(kafka: KafkaSettings, first: int, deals: int, progress: Progress) -> None:
    """Write the deals from number ``first`` on, each once, in batches to all partitions."""
    producer = create_producer(kafka, linger_ms=20)
    await producer.start()
    task = progress.add_task(f"Writing deals up to {deals:,}", total=deals - first)
    name = kafka.topic_prefix + DEALS.name
    open_batches: dict[int, Any] = {}
    sent: list[asyncio.Future[Any]] = []

    async def send(partition: int) -> None:
        sent.append(await producer.send_batch(open_batches.pop(partition), name, partition=partition))

    for number, (key, value) in enumerate(_records(first, deals)):
        partition = partition_of(key, kafka.partitions)
        batch = open_batches.get(partition)
        if batch is not None and batch.append(key=key, value=value, timestamp=None) is not None:
            continue
        if batch is not None:
            await send(partition)
        batch = open_batches[partition] = producer.create_batch()
        batch.append(key=key, value=value, timestamp=None)
        progress.update(task, completed=number)
    for partition in list(open_batches):
        await send(partition)
    await asyncio.gather(*sent)
    await producer.stop()
    progress.remove_task(task)


def _records(first: int, deals: int) -> Iterator[tuple[bytes, bytes]]:
    return changes(deals, deals - first, seed=deals, products=PRODUCTS, first=first)


def fold_of(system: LocalSystem) -> psutil.Process:
    """The one process of the system."""
    (fold,) = system.processes()
    assert fold.pid is not None, "it runs"
    return psutil.Process(fold.pid)


def settled(system: LocalSystem) -> None:
    """Wait until the fold does nothing for a second: it has read everything."""
    deadline = time.monotonic() + SETTLED_WITHIN
    process = fold_of(system)
    while time.monotonic() < deadline:
        if process.cpu_percent(interval=1.0) < 15:
            return
    raise SystemExit(f"The fold was still busy after {SETTLED_WITHIN:.0f} s.")


def restored(system: LocalSystem) -> tuple[float, float]:
    """Kill the fold; seconds until the next one is ready, and the seconds of CPU that one had used by then."""
    killed = time.perf_counter()
    system.kill("fold")
    system.wait_ready(READY_WITHIN)
    ready = time.perf_counter() - killed
    times = fold_of(system).cpu_times()
    return ready, float(times.user + times.system)


def measure(deals: int, console: Console) -> Report:
    """Start broker, database and fold; load, kill and measure at three sizes."""
    report = Report()
    with Progress(console=console, transient=True) as progress, LocalSystem(programs=("fold",)) as system:
        # Twice: the first one started with what a system has to do only once.
        restored(system)
        ready, _ = restored(system)
        settled(system)
        empty = fold_of(system).memory_info().rss
        report.figure("growth", deals=0, ready_s=ready, rss_mib=empty / 2**20)
        known = 0
        for part in (16, 4, 1):
            wanted = deals // part
            run_apart(lambda: load(system.settings.kafka, known, wanted, progress))  # noqa: B023 - it is awaited here
            known = wanted
            settled(system)
            ready, cpu = restored(system)
            at_once = fold_of(system).memory_info().rss
            settled(system)
            memory = fold_of(system).memory_info().rss
            report.figure(
                "growth",
                deals=wanted,
                ready_s=ready,
                deals_per_s=wanted / ready,
                cpu_s=cpu,
                rss_mib=memory / 2**20,
                bytes_per_deal=(max(memory, at_once) - empty) / wanted,
            )
    last = report.figures[-1]
    report.bars += [
        Bar("ready_s", last["ready_s"], 20, at_most=True),
        Bar("bytes_per_deal", last["bytes_per_deal"], 1200, at_most=True),
    ]
    return report


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = arguments("restore", __doc__)
    parser.add_argument("--deals", type=int, default=1_000_000)
    options = parser.parse_args()
    titles = {"growth": "From kill -9 to ready, one fold process"}
    return present(options, lambda console: measure(options.deals, console), titles)


if __name__ == "__main__":
    sys.exit(main())
