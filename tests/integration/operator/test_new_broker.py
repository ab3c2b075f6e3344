"""What an operator asks about groups of a broker that never had one: at first it answers that nobody keeps them yet."""

from headroom.local.kafka import EmbeddedKafka
from headroom.rebuild_places import committed
from shared.settings import KafkaSettings


async def test_a_broker_without_groups_is_asked_until_it_can_say_so() -> None:
    with EmbeddedKafka() as broker:
        assert await committed(KafkaSettings(bootstrap=broker.bootstrap), "views") == {}
