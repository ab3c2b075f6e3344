"""Reading a topic whole, as an outsider would: from its beginning to its present end, committed records only."""

from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.topics import Topic


@dataclass(frozen=True, slots=True)
class Seen:
    """One record as it lies in a topic."""

    key: bytes | None
    value: bytes | None
    headers: dict[str, bytes]
    offset: int


async def records(bootstrap: str, prefix: str, topic: Topic) -> list[Seen]:
    """Every record of the topic, by partition and offset."""
    name = prefix + topic.name
    consumer = AIOKafkaConsumer(
        bootstrap_servers=bootstrap, isolation_level="read_committed", auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        await consumer._client.add_topic(name)
        partitions = [TopicPartition(name, number) for number in consumer.partitions_for_topic(name) or ()]
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        found: dict[TopicPartition, list[Seen]] = {partition: [] for partition in partitions}
        while [p for p in partitions if await consumer.position(p) < ends[p]]:
            for partition, batch in (await consumer.getmany(timeout_ms=200)).items():
                found[partition] += [Seen(r.key, r.value, dict(r.headers), r.offset) for r in batch]
    finally:
        await consumer.stop()
    return [seen for partition in sorted(found) for seen in found[partition]]
