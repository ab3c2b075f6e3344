"""Whether the topics a reader needs are there, and whether a role's are cut alike."""

import asyncio
from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient

from shared.errors import ConfigurationError, NotReady
from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.streams.shards import Role, SinkRole
from shared.topics import Topic

# A topic made a moment ago is not in every broker's metadata yet.
ATTEMPTS, BETWEEN = 5, 0.4

APPLY = "Create them with `headroom topics apply`"


async def partition_counts(kafka: KafkaSettings, topics: Iterable[Topic]) -> dict[Topic, int]:
    """How many partitions each topic has; raises ``NotReady`` naming those that do not exist."""
    asked = {kafka.topic_prefix + topic.name: topic for topic in topics}
    found: dict[Topic, int] = {}
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    await admin.start()
    try:
        for _ in range(ATTEMPTS):
            described = await admin.describe_topics(list(asked))
            found = {asked[entry["topic"]]: len(entry["partitions"]) for entry in described if not entry["error_code"]}
            if len(found) == len(asked):
                return found
            await asyncio.sleep(BETWEEN)
    finally:
        await admin.close()
    missing = sorted(name for name, topic in asked.items() if topic not in found)
    raise NotReady(f"topics do not exist: {', '.join(missing)}", where=kafka.bootstrap, do=APPLY)


async def check_topics(role: Role | SinkRole, kafka: KafkaSettings) -> None:
    """Raise unless the role's topics exist and, for shards, have the same number of partitions."""
    counts = await partition_counts(kafka, role.topics)
    if isinstance(role, Role) and len(set(counts.values())) > 1:
        cut = ", ".join(f"{topic.name} has {count}" for topic, count in counts.items())
        raise ConfigurationError(
            "all topics of a role need the same number of partitions", where=role.name, why=cut, do=APPLY
        )
