"""How many deal events a second one process folds, from ``deals.v1`` to ``cells.v1`` on a real broker.

All peers read the same topic in the same run. Ours is the service's own process, live and not restoring: it is started
on the empty topic, stopped (SIGSTOP) while the events are written, and timed from its going on (SIGCONT) to its last
mark. Growth: the cost of an event with four and sixteen times the deals, without a broker.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import perf_counter, process_time, time
from typing import Any

import aiokafka
import msgspec
import psutil
from aiokafka import TopicPartition
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks._deals import changes, partition_of
from headroom import topics
from headroom.local.servers import broker
from services.capacity.domain.cells import Cells
from services.capacity.domain.contribution import decode
from shared.kafka import connection_options, create_producer
from shared.schemas import cell as cells
from shared.settings import KafkaSettings
from shared.topics import CELLS, DEALS

PARTITIONS = 4
BARS = (("ours ÷ stock_faust", "ours", "stock_faust", 5.0), ("ours ÷ bare", "ours", "bare", 0.3))
NOT_RUN = {
    "kafka_streams": "needs a JVM build of its own; it comes with the load issue",
    "quix_streams": "is not among this project's packages",
}


@dataclass(frozen=True)
class Figure:
    """One peer's result."""

    name: str
    events: int
    seconds: float
    cpu: float
    """Seconds of CPU of the peer's process, which other load on the machine does not lengthen."""
    cells: int = 0

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds


async def load(kafka: KafkaSettings, deals: int, events: int, bar: Progress) -> None:
    """Write the events, in batches, to all partitions."""
    producer = create_producer(kafka, linger_ms=20)
    await producer.start()
    task = bar.add_task("Writing deals", total=events)
    name = kafka.topic_prefix + DEALS.name
    batches: dict[int, Any] = {}
    sent: list[asyncio.Future[Any]] = []

    async def send(partition: int) -> None:
        sent.append(await producer.send_batch(batches.pop(partition), name, partition=partition))

    for number, (key, value) in enumerate(changes(deals, events)):
        partition = partition_of(key, kafka.partitions)
        if partition not in batches:
            batches[partition] = producer.create_batch()
        if batches[partition].append(key=key, value=value, timestamp=None) is None:
            await send(partition)
            batches[partition] = producer.create_batch()
            batches[partition].append(key=key, value=value, timestamp=None)
        if number % 5000 == 0:
            bar.update(task, completed=number)
    for partition in list(batches):
        await send(partition)
    await asyncio.gather(*sent)
    await producer.stop()
    bar.update(task, completed=events)


def environment(kafka: KafkaSettings) -> dict[str, str]:
    """What makes a process use these settings."""
    return os.environ | {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka.bootstrap,
        "HEADROOM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": str(kafka.partitions),
        "HEADROOM_KAFKA__SESSION_TIMEOUT": str(kafka.session_timeout),
        "HEADROOM_HTTP__PORT": "0",
    }


@asynccontextmanager
async def marks_of(kafka: KafkaSettings) -> AsyncIterator["Marks"]:
    """The marks and cells as they come in."""
    consumer = aiokafka.AIOKafkaConsumer(
        **connection_options(kafka), enable_auto_commit=False, isolation_level="read_committed"
    )
    await consumer.start()
    tp = TopicPartition(kafka.topic_prefix + CELLS.name, 0)
    consumer.assign([tp])
    consumer.seek(tp, 0)
    try:
        yield Marks(consumer)
    finally:
        await consumer.stop()


class Marks:
    """What the fold has said so far: how far each partition is, when it said so, and how many cells there are."""

    def __init__(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        self._consumer = consumer
        self.upto: dict[int, int] = {}
        self.at = 0.0
        self.keys: set[bytes] = set()

    async def reach(self, ends: dict[int, int]) -> None:
        """Wait until every partition is folded up to its end."""
        while any(self.upto.get(partition, -1) < end for partition, end in ends.items()):
            for records in (await self._consumer.getmany(timeout_ms=500)).values():
                for record in records:
                    partition, what = msgspec.json.decode(record.key)
                    if what == "mark":
                        self.upto[partition] = cells.decode_mark(record.value).upto
                        self.at = record.timestamp / 1000
                    else:
                        self.keys.add(record.key)


async def ours(kafka: KafkaSettings, deals: int, events: int, bar: Progress) -> Figure:
    """The fold process over events written while it stood still."""
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.capacity", "fold"), env=environment(kafka), stdout=log, stderr=log
        )
        try:
            async with marks_of(kafka) as marks:
                await marks.reach(dict.fromkeys(range(kafka.partitions), 0))
                os.kill(process.pid, signal.SIGSTOP)
                await load(kafka, deals, events, bar)
                ends = await _ends(kafka)
                started, worked = time(), _cpu(process.pid)
                os.kill(process.pid, signal.SIGCONT)
                await marks.reach(ends)
                return Figure("ours", events, marks.at - started, _cpu(process.pid) - worked, len(marks.keys))
        finally:
            process.kill()
            await process.wait()


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


async def _ends(kafka: KafkaSettings) -> dict[int, int]:
    consumer = aiokafka.AIOKafkaConsumer(**connection_options(kafka))
    await consumer.start()
    tps = [TopicPartition(kafka.topic_prefix + DEALS.name, number) for number in range(kafka.partitions)]
    ends = await consumer.end_offsets(tps)
    await consumer.stop()
    return {tp.partition: end for tp, end in ends.items()}


async def peer(kafka: KafkaSettings, name: str, limit: int) -> Figure:
    """A peer in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks._fold_peers", name, str(limit)),
        env=environment(kafka),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await asyncio.wait_for(process.communicate(), 300)
    said = json.loads(out.splitlines()[-1])
    return Figure(name, said["events"], said["seconds"], said["cpu"])


def growth(deals: int) -> list[dict[str, float]]:
    """Microseconds of CPU for an event of a book of 1, 4 and 16 times a quarter of ``deals``."""
    found = []
    for times in (1, 4, 16):
        size = deals // 4 * times
        folded = Cells()
        for key, value in changes(size, size):
            folded.put(key.decode(), decode(value))
        more = list(changes(size, size + 40_000, seed=2))[size:]
        list(folded.changed())
        started = process_time()
        for key, value in more:
            folded.put(key.decode(), decode(value))
        cells_changed = sum(1 for _ in folded.changed())
        spent = process_time() - started
        found.append({"deals": size, "us_per_event": spent / len(more) * 1e6, "cells_changed": cells_changed})
    return found


async def run(deals: int, events: int, console: Console) -> dict[str, Any]:
    """All peers on one topic, and the growth curve."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    with broker(os.environ) as server, Progress(console=console, transient=True) as bar:
        # The stopped process must not be taken for dead while the events are written.
        kafka = KafkaSettings(
            bootstrap=server.bootstrap, topic_prefix=prefix, partitions=PARTITIONS, session_timeout=45.0
        )
        await topics.apply(kafka, (DEALS, CELLS))
        try:
            step = bar.add_task("Peers", total=3)
            figures = [await ours(kafka, deals, events, bar)]
            bar.advance(step)
            for name, limit in (("bare", events), ("stock_faust", min(events, 100_000))):
                figures.append(await peer(kafka, name, limit))
                bar.advance(step)
        finally:
            await topics.delete(kafka)
        task = bar.add_task("Growth", total=1)
        curve = growth(deals)
        bar.advance(task)
    return result(figures, curve)


def result(figures: list[Figure], curve: list[dict[str, float]]) -> dict[str, Any]:
    """As every benchmark reports."""
    rates = {figure.name: figure.rate for figure in figures}
    cells_seen = max(figure.cells for figure in figures)
    bars = [
        {"name": name, "value": rates[one] / rates[other], "bar": least, "holds": rates[one] / rates[other] >= least}
        for name, one, other, least in BARS
    ]
    bars.append({"name": "cells", "value": cells_seen, "bar": 5000, "holds": cells_seen >= 5000})
    rows = [
        {
            "name": figure.name,
            "events": figure.events,
            "seconds": figure.seconds,
            "events_per_second": figure.rate,
            "cpu_us_per_event": figure.cpu / figure.events * 1e6,
        }
        for figure in figures
    ]
    return {"figures": rows, "growth": curve, "not_run": NOT_RUN, "bars": bars}


def show(found: dict[str, Any], console: Console) -> None:
    """For people."""
    table = Table("peer", "events", "events/s", "µs CPU/event", title="The fold, one process, on real Kafka")
    for row in found["figures"]:
        table.add_row(
            row["name"], f"{row['events']:,}", f"{row['events_per_second']:,.0f}", f"{row['cpu_us_per_event']:.1f}"
        )
    for name, why in found["not_run"].items():
        table.add_row(name, "–", "–", f"not run: {why}")
    console.print(table)
    for row in found["growth"]:
        console.print(f"{row['deals']:>9,} deals: {row['us_per_event']:.1f} µs of CPU an event")
    for bar in found["bars"]:
        console.print(
            f"{'holds' if bar['holds'] else 'FAILS'}: {bar['name']} = {bar['value']:,.2f} (bar {bar['bar']:g})"
        )


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = argparse.ArgumentParser(prog="make bench B=fold", description=__doc__)
    parser.add_argument("--deals", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=400_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    started = perf_counter()
    found = asyncio.run(run(options.deals, options.events, console))
    if options.json:
        print(json.dumps(found))
    else:
        show(found, console)
        console.print(f"{perf_counter() - started:.0f} s in all")
    return 0 if all(bar["holds"] for bar in found["bars"]) else 1


if __name__ == "__main__":
    sys.exit(main())
