"""Places that lie beyond the end of their topic, set back: what a recreated or truncated topic leaves behind.

A group that has committed more than its topic holds, and episodes applied to frames that no longer exist, stop their
readers with a message naming ``headroom rebuild``. What the topic holds now is then read from its beginning; that is
harmless, for changes merge by their stamps, transitions are known by their number, and an episode goes on from where
it is.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import aiokafka
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError
from msgspec.structs import replace

from headroom.log import Partition, about_group, admin, ends
from shared.errors import NotReady
from shared.kafka import connection_options
from shared.schemas import episode
from shared.schemas.envelope import headers
from shared.settings import KafkaSettings
from shared.streams.dead_letters import UNREADABLE
from shared.streams.shards import Outgoing
from shared.streams.topology import partition_counts
from shared.streams.writer import FencedWriter
from shared.topics import DEALS, EPISODES, FRAMES, INBOX, RECALIBRATIONS, Topic

COMMITTING: dict[str, tuple[Topic, ...]] = {
    "normalise": (INBOX,),
    "views": (FRAMES, DEALS),
    "notifier": (RECALIBRATIONS,),
}
"""The groups that commit how far they are, with the topics they do it on. The others begin anew at each start."""

SOURCE = "headroom/rebuild"
TRIGGERS = "triggers"
"""The role whose transactional id is taken over to write its episodes."""


@dataclass(frozen=True, slots=True)
class SetBack:
    """One place that was set back to the beginning of what its topic holds."""

    who: str
    topic: str
    partition: int
    applied: int
    end: int


async def committed(kafka: KafkaSettings, group: str) -> dict[tuple[str, int], int]:
    """What a role's group has committed, by physical topic and partition; raises a ``KafkaError``."""
    async with admin(kafka) as client:
        found = await about_group(partial(client.list_consumer_group_offsets, kafka.topic_prefix + group))
    return {(tp.topic, tp.partition): place.offset for tp, place in found.items() if place.offset >= 0}


async def set_back_groups(kafka: KafkaSettings, *groups: str) -> list[SetBack]:
    """Set back what these groups have committed beyond the end of a topic; others are left as they are.

    Raises ``NotReady`` while a group that would have to be set back has members: theirs would win.
    """
    done = []
    for group in groups:
        counts = await partition_counts(kafka, COMMITTING[group])
        places = await committed(kafka, group)
        beyond: list[SetBack] = []
        for topic, count in counts.items():
            name = kafka.topic_prefix + topic.name
            for number, end in enumerate(await ends(kafka, topic, count)):
                if (applied := places.get((name, number), 0)) > end:
                    beyond.append(SetBack(group, topic.name, number, applied, end))
        if beyond:
            await _commit_beginnings(kafka, group, beyond)
        done += beyond
    return done


async def _commit_beginnings(kafka: KafkaSettings, group: str, places: list[SetBack]) -> None:
    consumer = aiokafka.AIOKafkaConsumer(
        **connection_options(kafka), group_id=kafka.topic_prefix + group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        tps = [TopicPartition(kafka.topic_prefix + place.topic, place.partition) for place in places]
        consumer.assign(tps)
        beginnings = await consumer.beginning_offsets(tps)
        # A member that ended without leaving counts for as long as a session; one that lives is there after that too.
        for _ in range(int(kafka.session_timeout) + 5):
            if await _commit(consumer, beginnings):
                return
            await asyncio.sleep(1)
        raise NotReady(
            f"the group {group} cannot be set back while it has members",
            where=", ".join(f"{place.topic}[{place.partition}]" for place in places),
            do=f"Stop the {group} processes, run this again and start them",
        )
    finally:
        await consumer.stop()


async def _commit(consumer: Any, offsets: dict[TopicPartition, int]) -> bool:
    """Whether the group let somebody who is no member commit, which it does when it has none."""
    try:
        await consumer.commit(offsets)
    except CommitFailedError:
        return False
    return True


async def set_back_episodes(kafka: KafkaSettings) -> list[SetBack]:
    """Let triggers evaluate ``frames.v1`` from its beginning if its episodes are applied to frames beyond its end.

    Writes under the triggers' own transactional id, so a triggers process that runs ends at its next flush.
    """
    await partition_counts(kafka, (EPISODES, FRAMES))
    (end,) = await ends(kafka, FRAMES, 1)
    async with Partition(kafka, EPISODES, 0) as log:
        rows: dict[bytes, bytes] = {}
        await _read_on(log, rows)
        if _furthest(rows) < end:
            return []
        writer = FencedWriter(kafka, f"{TRIGGERS}-0")
        await writer.start()
        try:
            await _read_on(log, rows)
            # What is on the topic twice is read twice until it is compacted, so the last record takes back all before.
            await writer.write([*(_from_the_beginning(key, rows[key]) for key in sorted(_applied(rows))), _NONE])
        finally:
            await writer.stop()
        return [SetBack(TRIGGERS, FRAMES.name, 0, _furthest(rows) + 1, end)]


async def _read_on(log: Partition, rows: dict[bytes, bytes]) -> None:
    async for records in log.new():
        for record in records:
            if record.key is not None and record.value is not None:
                rows[record.key] = record.value
            elif record.key is not None:
                rows.pop(record.key, None)


def _furthest(rows: dict[bytes, bytes]) -> int:
    known = -1
    with suppress(*UNREADABLE):
        known = episode.decode_evaluated(rows.get(episode.EVALUATED_KEY, b"")).frame
    return max([known, *_applied(rows).values()])


def _applied(rows: dict[bytes, bytes]) -> dict[bytes, int]:
    """The frame that each episode is applied to, by key; a broken row is none, the triggers write it anew."""
    applied = {}
    for key, value in rows.items():
        if key.startswith(b"["):
            with suppress(*UNREADABLE):
                applied[key] = episode.decode(value).applied
    return applied


def _from_the_beginning(key: bytes, value: bytes) -> Outgoing:
    """The row as it is, applied to no frame yet."""
    row = replace(episode.decode(value), applied=-1)
    return Outgoing(
        EPISODES, 0, key, episode.encode(row), headers(episode.TYPE, f"{row.trigger}/{row.scope}/-1", SOURCE)
    )


_NONE = Outgoing(
    EPISODES,
    0,
    episode.EVALUATED_KEY,
    episode.encode(episode.Evaluated(-1)),
    headers(episode.EVALUATED_TYPE, "-1", SOURCE),
)
"""No frame is evaluated."""
