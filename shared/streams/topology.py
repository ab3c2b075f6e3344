"""Whether the topics a reader needs are there, and whether a role's are cut alike."""

import asyncio
from collections.abc import Iterable

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from shared.errors import ConfigurationError, NotReady
from shared.kafka import connection_options
from shared.settings import KafkaSettings
from shared.streams.shards import Role, SinkRole
from shared.topics import Topic

# A topic made a moment ago is not in every broker's metadata yet.
ATTEMPTS, BETWEEN = 5, 0.4
ASK_EVERY = 1.0

APPLY = "Create them with `headroom topics apply`"

log = structlog.get_logger(__name__)


async def partition_counts(kafka: KafkaSettings, topics: Iterable[Topic]) -> dict[Topic, int]:
    """How many partitions each topic has; raises ``NotReady`` naming those that do not exist."""
    asked = {kafka.topic_prefix + topic.name: topic for topic in topics}
    found: dict[Topic, int] = {}
    admin = AIOKafkaAdminClient(**connection_options(kafka))
    try:
        await admin.start()
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


async def awaited_counts(kafka: KafkaSettings, topics: Iterable[Topic]) -> dict[Topic, int]:
    """How many partitions each topic has, once all of them exist; while some do not, the log says which.

    Processes may start before ``headroom topics apply`` has run, or while no broker can be reached: they wait rather
    than end again and again.
    """
    wanted = tuple(topics)
    while True:
        try:
            return await partition_counts(kafka, wanted)
        except NotReady as error:
            log.warning("waiting for topics", error=str(error))
        except KafkaError as error:
            if not error.retriable:
                raise
            log.warning("waiting for the broker", bootstrap=kafka.bootstrap, error=str(error) or type(error).__name__)
        await asyncio.sleep(ASK_EVERY)


async def check_topics(role: Role | SinkRole, kafka: KafkaSettings) -> None:
    """Wait until the role's topics exist; raise unless those of shards have the same number of partitions."""
    counts = await awaited_counts(kafka, role.topics)
    if isinstance(role, Role) and len(set(counts.values())) > 1:
        cut = ", ".join(f"{topic.name} has {count}" for topic, count in counts.items())
        raise ConfigurationError(
            "all topics of a role need the same number of partitions", where=role.name, why=cut, do=APPLY
        )
