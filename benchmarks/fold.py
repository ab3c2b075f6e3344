"""How many deal events a second one process folds, from ``deals.v1`` to ``cells.v1`` on a real broker.

All peers read the same topic in the same run. Ours is the service's own process, live and not restoring: it is started
on the empty topic, stopped (SIGSTOP) while the events are written, and timed from its going on (SIGCONT) to its last
mark. Growth: the CPU of an event in a book of four and sixteen times the deals, and of as many times the deals and the
cells, without a broker.
"""

import asyncio
import json
import os
import signal
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import process_time, time
from typing import Any

import aiokafka
import msgspec
import psutil
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from rich.console import Console
from rich.progress import Progress

from benchmarks._deals import changes, partition_of
from benchmarks._foreign_peers import FOREIGN, CannotRun
from benchmarks._report import Bar, Report, arguments, present
from headroom import topics
from headroom.local.servers import broker
from services.capacity.domain.cells import Cells
from services.capacity.domain.contribution import decode
from shared.kafka import connection_options, create_producer
from shared.schemas import cell as cells
from shared.settings import KafkaSettings
from shared.topics import CELLS, DEALS

PARTITIONS = 4
BARS = {"stock_faust": 8.0, "bare": 0.3, "quix": 1.0, "kafka_streams": 2.5}
"""How many times a peer's rate ours has to be."""
SLOW = {"stock_faust": 100_000}
"""Peers that are timed on fewer events: their rate does not depend on it."""
PEER_WITHIN = 300


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
                await _while_alive(marks.reach(dict.fromkeys(range(kafka.partitions), 0)), process)
                os.kill(process.pid, signal.SIGSTOP)
                await load(kafka, deals, events, bar)
                ends = await _ends(kafka)
                started, worked = time(), _cpu(process.pid)
                os.kill(process.pid, signal.SIGCONT)
                await _while_alive(marks.reach(ends), process)
                return Figure("ours", events, marks.at - started, _cpu(process.pid) - worked, len(marks.keys))
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


async def _while_alive(awaited: Coroutine[Any, Any, None], process: asyncio.subprocess.Process) -> None:
    reached, ended = asyncio.create_task(awaited), asyncio.create_task(process.wait())
    await asyncio.wait({reached, ended}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not reached.done():
        reached.cancel()
        raise SystemExit(f"The fold ended with {process.returncode} before it was through; run it alone to see why.")
    await reached


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
    """A peer in a process of its own. Raises ``CannotRun``."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks._fold_peers", name, str(limit)]
        if name in FOREIGN:
            topic, group = kafka.topic_prefix + DEALS.name, kafka.topic_prefix + name
            found = await asyncio.to_thread(FOREIGN[name], kafka.bootstrap, topic, limit, PARTITIONS, group, folder)
            command = list(found)
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment(kafka),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, log = await asyncio.wait_for(process.communicate(), PEER_WITHIN)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise CannotRun(f"it was not through after {PEER_WITHIN} s") from None
    try:
        said = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        last = log.decode(errors="replace").strip().splitlines()[-1:]
        raise CannotRun(f"it ended with {process.returncode}: {''.join(last)[:300]}") from None
    return Figure(name, said["events"], said["seconds"], said["cpu"], said.get("groups", 0))


def growth(deals: int) -> Iterator[tuple[str, dict[str, float]]]:
    """CPU of an event in a book of 1, 4 and 16 times a quarter of ``deals``, then with as many times the cells."""
    for title, products in (("growth_deals", (4, 4, 4)), ("growth_deals_and_cells", (1, 4, 16))):
        for times, count in zip((1, 4, 16), products, strict=True):
            yield title, _cost(deals // 4 * times, count)


def _cost(size: int, products: int) -> dict[str, float]:
    folded = Cells()
    for key, value in changes(size, size, products=products):
        folded.put(key.decode(), decode(value))
    known = sum(1 for _ in folded.changed())
    more = list(changes(size, 40_000, seed=2, products=products, first=size))
    started = process_time()
    for key, value in more:
        folded.put(key.decode(), decode(value))
    put = process_time() - started
    changed = sum(1 for _ in folded.changed())
    flushed = process_time() - started - put
    return {
        "deals": size,
        "cells": known,
        "us_cpu_per_event": put / len(more) * 1e6,
        "us_cpu_per_changed_cell": flushed / changed * 1e6,
    }


async def run(deals: int, events: int, console: Console) -> Report:
    """All peers on one topic, and the growth curve."""
    prefix = f"bench-{uuid.uuid4().hex[:8]}."
    figures: dict[str, Figure] = {}
    missing: dict[str, str] = {}
    report = Report()
    with broker(os.environ) as server, Progress(console=console, transient=True) as bar:
        # The stopped process must not be taken for dead while the events are written.
        kafka = KafkaSettings(
            bootstrap=server.bootstrap, topic_prefix=prefix, partitions=PARTITIONS, session_timeout=45.0
        )
        await topics.apply(kafka, (DEALS, CELLS))
        step = bar.add_task("Peers", total=len(BARS) + 1)
        try:
            figures["ours"] = await ours(kafka, deals, events, bar)
            bar.advance(step)
            for name in BARS:
                bar.update(step, description=f"Peers: {name}")
                try:
                    figures[name] = await peer(kafka, name, min(events, SLOW.get(name, events)))
                except CannotRun as why:
                    missing[name] = str(why)
                bar.advance(step)
        finally:
            await delete_all(kafka)
        bar.add_task("Growth", total=None)
        for title, row in growth(deals):
            report.figure(title, **row)
    add(report, figures, missing)
    return report


async def delete_all(kafka: KafkaSettings) -> None:
    """Delete our topics and those that peers have made beside them."""
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    await admin.start()
    try:
        await admin.delete_topics([name for name in await admin.list_topics() if kafka.topic_prefix in name])
    finally:
        await admin.close()


def add(report: Report, figures: Mapping[str, Figure], missing: Mapping[str, str]) -> None:
    """The peers' rows and the bars."""
    for figure in figures.values():
        report.figure(
            "peer",
            peer=figure.name,
            events=figure.events,
            seconds=figure.seconds,
            events_per_s=figure.rate,
            us_cpu_per_event=figure.cpu / figure.events * 1e6,
            groups=figure.cells or None,
        )
    mine = figures["ours"]
    for name, least in BARS.items():
        ratio = mine.rate / figures[name].rate if name in figures else None
        report.bars.append(Bar(name, ratio, least, reason=missing.get(name)))
    report.bars.append(Bar("cells", mine.cells, 5000))


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    parser = arguments("fold", __doc__)
    parser.add_argument("--deals", type=int, default=50_000)
    parser.add_argument("--events", type=int, default=400_000)
    options = parser.parse_args()
    titles = {
        "peer": "The fold, one process, on real Kafka",
        "growth_deals": "Growth: more deals",
        "growth_deals_and_cells": "Growth: more deals and more cells",
    }
    return present(options, lambda console: asyncio.run(run(options.deals, options.events, console)), titles)


if __name__ == "__main__":
    sys.exit(main())
