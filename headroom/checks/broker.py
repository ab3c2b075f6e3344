"""The broker: does it answer, is it new enough, are the topics as declared, is any writer's clock ahead of this one."""

import asyncio
import time
from collections.abc import Sequence

import aiokafka
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headroom import topics
from headroom.checks.finding import Finding
from headroom.log import admin
from headroom.reasons import reason
from headroom.topics import Difference
from shared.errors import HeadroomError
from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.topics import DEALS, FRAMES, INBOX

ANSWER_WITHIN = 8.0
FUTURE = 10.0
"""Seconds a record may be ahead of this machine's clock."""

_FETCH, _STREAMS_HEARTBEAT = 1, 88
_WITHOUT = "nothing comes in and nothing moves; the door answers 503 and the processes wait or start again"


async def look(kafka: KafkaSettings) -> tuple[bool, list[Finding]]:
    """Whether the broker answers, and what was found."""
    try:
        async with asyncio.timeout(ANSWER_WITHIN), admin(kafka, ANSWER_WITHIN) as client:
            about = await _about(client)
    except (KafkaError, OSError, TimeoutError) as error:
        told = f"no answer within {ANSWER_WITHIN:.0f} s" if isinstance(error, TimeoutError) else reason(error)
        do = f"Start it, or look at HEADROOM_KAFKA__BOOTSTRAP, _SECURITY_PROTOCOL ({kafka.security_protocol}) and keys"
        return False, [Finding("broker", "problem", f"{kafka.bootstrap} does not answer: {told}", _WITHOUT, do)]
    findings = [about]
    try:
        differences = await topics.diff(kafka)
    except HeadroomError as error:
        return True, [*findings, Finding("topics", "problem", error.what, "they cannot be looked at", error.do)]
    findings.append(topics_as_declared(differences))
    if not any(difference.kind == "missing" for difference in differences):
        findings.append(await _future(kafka))
    return True, findings


async def _about(client: AIOKafkaAdminClient) -> Finding:
    cluster = await client.describe_cluster()
    nodes = [broker["node_id"] for broker in cluster["brokers"]]
    connection = await client._client._get_conn(nodes[0])
    spoken: dict[int, tuple[int, int]] = connection._versions if connection is not None else {}
    release = release_of(spoken)
    what = f"{len(nodes)} broker{'s' if len(nodes) > 1 else ''}, Kafka {release}"
    if release.startswith("older"):
        means = "transactions and groups were tried with Kafka 4 only"
        return Finding("broker", "note", what, means, "Upgrade it when you can")
    return Finding("broker", "ok", what)


def release_of(spoken: dict[int, tuple[int, int]]) -> str:
    """The release of a broker by the requests it takes (lowest and highest version by API key): it tells no other."""
    if _STREAMS_HEARTBEAT in spoken:
        return "4.1 or newer"
    lowest, _ = spoken.get(_FETCH, (0, 0))
    return "4.0" if lowest >= 4 else "older than 4.0"


def topics_as_declared(differences: Sequence[Difference]) -> Finding:
    """One finding on all differences."""
    if not differences:
        return Finding("topics", "ok", "as declared")
    fixed = [difference for difference in differences if difference.kind == "partitions"]
    if fixed:
        what = "; ".join(f"{d.topic} has {d.found} partitions, {d.declared} are declared" for d in fixed)
        means = "keys would be looked for in other partitions than they are in; processes refuse to start"
        return Finding("topics", "problem", what, means, "Set HEADROOM_KAFKA__PARTITIONS to what the broker has")
    missing = [difference.topic for difference in differences if difference.kind == "missing"]
    settings = [f"{d.topic} {d.setting}={d.found or 'unset'}" for d in differences if d.kind == "setting"]
    what = "; ".join(
        part
        for part in (
            f"missing: {', '.join(missing)}" if missing else "",
            f"not as declared: {', '.join(settings)}" if settings else "",
        )
        if part
    )
    means = (
        "processes do not start without their topics" if missing else "records may go earlier or later than they should"
    )
    return Finding("topics", "problem", what, means, "Run `headroom topics apply`")


async def _future(kafka: KafkaSettings) -> Finding:
    """Whether the log has records from beyond this machine's present: somebody's clock is wrong."""
    consumer = aiokafka.AIOKafkaConsumer(**connection_options(kafka), enable_auto_commit=False)
    await consumer.start()
    try:
        later = int((time.time() + FUTURE) * 1000)
        asked = {
            TopicPartition(kafka.topic_prefix + topic.name, number): later
            for topic in (INBOX, DEALS, FRAMES)
            for number in range(topic.partitions(kafka.partitions))
        }
        found = await consumer.offsets_for_times(asked)
    finally:
        await consumer.stop()
    ahead = [tp.topic for tp, place in found.items() if place is not None]
    if not ahead:
        return Finding("clock of the log", "ok", "no record is from the future")
    names = ", ".join(dict.fromkeys(name.removeprefix(kafka.topic_prefix) for name in ahead))
    means = "a writer's clock is ahead of this machine's, or this one is behind: retention and latencies are off"
    do = "Synchronise the clocks of the machines (chrony, systemd-timesyncd)"
    return Finding(
        "clock of the log", "problem", f"{names} have records from more than {FUTURE:.0f} s ahead", means, do
    )
