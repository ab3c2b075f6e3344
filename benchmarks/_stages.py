"""Where the time of a probe goes, read afterwards from the timestamps of the records it made on its way."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import aiokafka
import msgspec
from aiokafka import TopicPartition

from benchmarks._report import percentile
from shared.kafka import connection_options
from shared.schemas import frame, recalibration
from shared.settings import KafkaSettings
from shared.topics import CELLS, DEALS, FRAMES, INBOX, RECALIBRATIONS, Topic

STAGES = {
    "door": "sent → inbox.v1",
    "normalise": "inbox.v1 → deals.v1",
    "fold": "deals.v1 → cells.v1",
    "project": "cells.v1 → frames.v1",
    "triggers": "frames.v1 → recalibrations.v1",
    "notifier": "recalibrations.v1 → webhook",
}
"""By the process whose part it is: from where to where. A record's time is that of its writing, before its commit."""

_NAME = re.compile(rb"probe-(\d+)")


def _in_key(record: Any) -> set[int]:
    return {int(found) for found in _NAME.findall(record.key or b"")}


def _in_frame(record: Any) -> set[int]:
    rows = frame.decode(record.value).positions
    return {int(row.pool[6:]) for row in rows if row.pool.startswith("probe-") and (row.utilisation or 0) > 1}


def _in_recalibration(record: Any) -> set[int]:
    pool = recalibration.decode(record.value).pool or "" if record.value else ""
    return {int(pool[6:])} if pool.startswith("probe-") else set()


_WHERE: tuple[tuple[Topic, Callable[[Any], set[int]]], ...] = (
    (INBOX, _in_key),
    (DEALS, _in_key),
    (CELLS, _in_key),
    (FRAMES, _in_frame),
    (RECALIBRATIONS, _in_recalibration),
)
"""Which probes a record of each topic is about."""


class Stages:
    """Looks at the topics from ``begin`` on."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._from: dict[TopicPartition, int] = {}

    async def begin(self) -> None:
        """Note where the topics end now."""
        consumer = aiokafka.AIOKafkaConsumer(**connection_options(self._kafka))
        await consumer.start()
        try:
            self._from = await consumer.end_offsets(
                [
                    TopicPartition(self._kafka.topic_prefix + topic.name, number)
                    for topic, _ in _WHERE
                    for number in range(topic.partitions(self._kafka.partitions))
                ]
            )
        finally:
            await consumer.stop()

    async def end(self, probes: Mapping[int, tuple[float, float]]) -> dict[str, dict[str, float]]:
        """By stage its p50 and p99 over ``probes``, of each of which it is given when it was sent and arrived."""
        found = await self._first_times(probes)
        times = [[sent, *(seen[number] for seen in found), arrived] for number, (sent, arrived) in probes.items()]
        stages = {}
        for place, name in enumerate(STAGES):
            took = [(one[place + 1] - one[place]) * 1000 for one in times]
            stages[name] = {"p50_ms": percentile(took, 0.5), "p99_ms": percentile(took, 0.99)}
        return stages

    async def _first_times(self, probes: Mapping[int, Any]) -> list[dict[int, float]]:
        """For each topic, when it first spoke of each probe."""
        consumer = aiokafka.AIOKafkaConsumer(
            **connection_options(self._kafka), enable_auto_commit=False, isolation_level="read_committed"
        )
        found: dict[str, dict[int, float]] = {self._kafka.topic_prefix + topic.name: {} for topic, _ in _WHERE}
        about = {self._kafka.topic_prefix + topic.name: look for topic, look in _WHERE}
        await consumer.start()
        try:
            consumer.assign(list(self._from))
            for tp, offset in self._from.items():
                consumer.seek(tp, offset)
            ends = await consumer.end_offsets(list(self._from))
            while [tp for tp, end in ends.items() if await consumer.position(tp) < end]:
                for tp, records in (await consumer.getmany(timeout_ms=500)).items():
                    for record in records:
                        for number in _probes_in(about[tp.topic], record) & probes.keys():
                            found[tp.topic].setdefault(number, record.timestamp / 1000)
        finally:
            await consumer.stop()
        return list(found.values())


def _probes_in(look: Callable[[Any], set[int]], record: Any) -> set[int]:
    try:
        return look(record)
    except msgspec.MsgspecError:
        return set()
