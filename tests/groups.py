"""What a consumer group has committed, asked of the broker itself."""

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import GroupCoordinatorNotAvailableError

from shared.settings import KafkaSettings
from shared.topics import Topic


async def committed(kafka: KafkaSettings, group: str, topic: Topic) -> dict[int, int]:
    """How far a group has committed a topic, by partition."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    await admin.start()
    try:
        offsets = await admin.list_consumer_group_offsets(kafka.topic_prefix + group)
    except GroupCoordinatorNotAvailableError:
        return {}  # the first question about any group has the broker make the topic that answers it
    finally:
        await admin.close()
    name = kafka.topic_prefix + topic.name
    return {tp.partition: meta.offset for tp, meta in offsets.items() if tp.topic == name}
