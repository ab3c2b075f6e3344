"""Plans published: one version for one content, whoever publishes and through however many doors.

Order of effects: take the lock, read ``plans.v1`` to its end, decide the version, write the plan and its line of
history in one transaction. The lock is a transactional id that all doors share: taking it refuses whatever an earlier
holder still means to write. So between reading and committing nobody else can have committed, and a holder that was
overtaken starts over. Killed before the commit: nothing is published and the caller is not answered. Killed after:
the plan is in force, and putting it again finds it there.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, ProducerFenced, UnknownError

from services.ingest.domain.plans import Draft, Outcome, decide
from shared.errors import BadInput, NotReady
from shared.kafka import connection_options, create_producer
from shared.schemas import published_plan
from shared.schemas.envelope import headers
from shared.schemas.published_plan import PublishedPlan
from shared.settings import KafkaSettings
from shared.streams.dead_letters import UNREADABLE
from shared.topics import HISTORY, LARGEST_REQUEST, PLANS

LOCK = "door-plans"
ATTEMPTS = 6
TIMEOUT = 20.0


class Plans:
    """``plans.v1`` as the door writes and reads it."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka = kafka
        self._topic = kafka.topic_prefix + PLANS.name
        self._history = kafka.topic_prefix + HISTORY.name
        # Within this door one publishes after the other, so that they do not overtake each other for nothing.
        self._here = asyncio.Lock()

    async def publish(self, draft: Draft, now: datetime) -> tuple[PublishedPlan, Outcome]:
        """Put ``draft`` in force; the plan with its version, and what that did.

        Raises ``NotReady`` without Kafka, ``BadInput`` when the plan is larger than its topic takes.
        """
        async with self._here, _answering("the plan could not be published"):
            for attempt in range(ATTEMPTS):
                try:
                    return await self._publish(draft, now)
                except MessageSizeTooLargeError as error:
                    raise _too_large(draft) from error
                except (ProducerFenced, UnknownError):
                    # Unknown is whether it was committed (seen when two take the lock at once): the next attempt reads.
                    await asyncio.sleep(random.uniform(0.05, 0.2) * 2**attempt)
            raise NotReady("the plan could not be published", why="other doors publish all the time", do="Put it again")

    async def all(self) -> list[PublishedPlan]:
        """Every published plan in the order of the log: the last is in force. Raises ``NotReady`` without Kafka.

        One that cannot be read is left out, as it is by every process that goes by plans.
        """
        async with _answering("the plans could not be read"):
            return (await self._read())[0]

    async def _publish(self, draft: Draft, now: datetime) -> tuple[PublishedPlan, Outcome]:
        producer = create_producer(self._kafka, transactional_id=self._kafka.topic_prefix + LOCK, linger_ms=0)
        try:
            await producer.start()
            published, unreadable = await self._read()
            plan, outcome = decide(draft, published, now, unreadable)
            if outcome == "unchanged":
                return plan, outcome
            envelope = headers(published_plan.TYPE, plan.name, "headroom/plans", plan.published)
            key, value = plan.name.encode(), published_plan.encode(plan)
            async with producer.transaction():
                place = await producer.send_and_wait(self._topic, value, key, partition=0, headers=envelope)
                await producer.send_and_wait(self._history, value, key, headers=envelope)
            await self._readable(place.offset)
            return plan, outcome
        finally:
            await producer.stop()

    async def _readable(self, offset: int) -> None:
        """Wait until who reads now finds the record: a commit is acknowledged before its mark lies on each topic."""
        async with self._reader() as (consumer, partition):
            while True:
                if (await consumer.end_offsets([partition]))[partition] > offset:
                    return
                await asyncio.sleep(0.01)

    async def _read(self) -> tuple[list[PublishedPlan], set[str]]:
        """The published plans in the order of the log, and the names of those that cannot be read."""
        async with self._reader() as (consumer, partition):
            end = (await consumer.end_offsets([partition]))[partition]
            found: dict[str, PublishedPlan] = {}
            unreadable: set[str] = set()
            while await consumer.position(partition) < end:
                for record in (await consumer.getmany(partition, timeout_ms=200)).get(partition, []):
                    name = published_plan.name_of_key(record.key)
                    found.pop(name, None)
                    unreadable.discard(name)
                    if record.value is not None:
                        try:
                            found[name] = published_plan.decode(record.value)
                        except UNREADABLE:
                            unreadable.add(name)
            return list(found.values()), unreadable

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[tuple[AIOKafkaConsumer, TopicPartition]]:
        """A reader of what is committed, from the beginning."""
        consumer = AIOKafkaConsumer(
            **connection_options(self._kafka),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
        )
        partition = TopicPartition(self._topic, 0)
        try:
            await consumer.start()
            consumer.assign([partition])
            yield consumer, partition
        finally:
            await consumer.stop()


def _too_large(draft: Draft) -> BadInput:
    return BadInput(
        "the plan is too large for its topic",
        where=draft.id,
        why=f"its text alone has {len(draft.text):,} characters, and the broker takes less at once",
        do=f"Let `headroom topics apply` bring max.message.bytes of {PLANS.name} and {HISTORY.name} to the "
        f"{LARGEST_REQUEST:,} bytes that are declared, and put the plan again",
    )


@asynccontextmanager
async def _answering(what: str) -> AsyncIterator[None]:
    """Whatever Kafka has, it has ``TIMEOUT`` seconds to answer."""
    try:
        async with asyncio.timeout(TIMEOUT):
            yield
    except (KafkaError, TimeoutError) as error:
        raise NotReady(what, why=f"Kafka: {error!r}", do="Try again when /readyz says so") from error
