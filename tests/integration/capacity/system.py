"""Capacity's processes as the operating system sees them, and the topics they meet on, read from outside."""

import os
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import aiokafka
import msgspec
from aiokafka import TopicPartition

from shared.kafka import connection_options, create_producer
from shared.schemas import cell as cells
from shared.schemas import published_plan
from shared.schemas.plan import Plan
from shared.settings import KafkaSettings
from shared.topics import CELLS, PLANS, Topic

ROOT = Path(__file__).parents[3]


class Process:
    """``python -m services.capacity NAME``; killed at the end if it still runs. What it says goes to ``log``."""

    def __init__(self, name: str, kafka: KafkaSettings, log: Path, **environment: str) -> None:
        self.log = log
        settings = {
            "HEADROOM_KAFKA__BOOTSTRAP": kafka.bootstrap,
            "HEADROOM_KAFKA__TOPIC_PREFIX": kafka.topic_prefix,
            "HEADROOM_KAFKA__PARTITIONS": str(kafka.partitions),
            "HEADROOM_KAFKA__SESSION_TIMEOUT": str(kafka.session_timeout),
            "HEADROOM_HTTP__PORT": "0",
        }
        with log.open("a") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.capacity", name],
                cwd=ROOT,
                env=os.environ | settings | environment,
                stdout=out,
                stderr=out,
            )

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        self._process.terminate()
        return self._process.wait(timeout=30)


def at(moment: str) -> dict[str, str]:
    """The environment of a process that lives at this moment, which passes at the speed of time."""
    return {"HEADROOM_CLOCK__AS_OF": moment, "HEADROOM_CLOCK__STARTED": datetime.now(UTC).isoformat()}


class Topics:
    """Writes to and reads whole the topics of one system."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.kafka = kafka

    async def __aenter__(self) -> "Topics":
        self._producer = create_producer(self.kafka)
        await self._producer.start()
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self._producer.stop()

    async def write(self, topic: Topic, records: Sequence[tuple[bytes, bytes | None]], partition: int = 0) -> None:
        """All of them, acknowledged."""
        name = self.kafka.topic_prefix + topic.name
        sent = [await self._producer.send(name, value, key=key, partition=partition) for key, value in records]
        for future in sent:
            await future

    async def publish(self, plan: Plan, version: int = 1) -> None:
        """As the door does."""
        published = published_plan.PublishedPlan(
            id=plan.plan,
            version=version,
            sha256="",
            published=datetime.now(UTC),
            publisher="ana",
            text="",
            plan=msgspec.Raw(plan.model_dump_json().encode()),
        )
        await self.write(PLANS, [(published.name.encode(), published_plan.encode(published))])

    async def read(self, topic: Topic, partition: int = 0) -> list[aiokafka.ConsumerRecord]:
        """Every committed record of a partition, as of now."""
        consumer = aiokafka.AIOKafkaConsumer(
            **connection_options(self.kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        await consumer.start()
        try:
            tp = TopicPartition(self.kafka.topic_prefix + topic.name, partition)
            consumer.assign([tp])
            (end,) = (await consumer.end_offsets([tp])).values()
            (begin,) = (await consumer.beginning_offsets([tp])).values()
            consumer.seek(tp, begin)
            found: list[aiokafka.ConsumerRecord] = []
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(tp, timeout_ms=200)).values():
                    found += records
            return found
        finally:
            await consumer.stop()

    async def last(self, topic: Topic, partition: int = 0) -> dict[bytes, bytes]:
        """What compaction would keep: the last value of each key that still has one."""
        kept = {record.key: record.value for record in await self.read(topic, partition)}
        return {key: value for key, value in kept.items() if value is not None}

    async def cells(self) -> tuple[dict[tuple, cells.Cell], dict[int, cells.Mark]]:
        """The cells that count by (partition, key), and the marks, by a reading of the log that shares no code."""
        marks: dict[int, cells.Mark] = {}
        found: dict[tuple, cells.Cell] = {}
        for key, value in (await self.last(CELLS)).items():
            partition, what = msgspec.json.decode(key)
            if what == "mark":
                marks[partition] = cells.decode_mark(value)
            else:
                found[partition, *what] = cells.decode_cell(value)
        current = {
            key: cell
            for key, cell in found.items()
            if cell.members and cell.generation == marks[cell.partition].generation
        }
        return current, marks
