"""``headroom topics`` on a real broker: apply may be repeated, diff tells, a repartitioning is refused."""

from dataclasses import replace
from datetime import timedelta

import pytest

from headroom import topics
from headroom.topics import Difference
from shared.errors import ConfigurationError, NotReady
from shared.settings import KafkaSettings
from shared.topics import ALL, DEALS, SIGNALS


@pytest.fixture
def settings(kafka: str, topic_prefix: str) -> KafkaSettings:
    return KafkaSettings(bootstrap=kafka, topic_prefix=topic_prefix, partitions=2)


async def test_apply_creates_everything_once(settings: KafkaSettings) -> None:
    missing = await topics.diff(settings)
    assert missing == [Difference(settings.topic_prefix + topic.name, "missing") for topic in ALL]
    assert await topics.apply(settings) == missing
    assert await topics.diff(settings) == []
    assert await topics.apply(settings) == []


async def test_a_setting_that_differs_is_named_and_put_right(settings: KafkaSettings) -> None:
    await topics.apply(settings, [SIGNALS])
    shorter = replace(SIGNALS, keep=timedelta(days=1))
    difference = Difference(settings.topic_prefix + SIGNALS.name, "setting", "retention.ms", "7776000000", "86400000")
    assert await topics.diff(settings, [shorter]) == [difference]
    assert await topics.apply(settings, [shorter]) == [difference]
    assert await topics.diff(settings, [shorter]) == []


async def test_another_number_of_partitions_is_refused_and_changes_nothing(settings: KafkaSettings) -> None:
    await topics.apply(settings, [DEALS])
    more = settings.model_copy(update={"partitions": 4})
    with pytest.raises(ConfigurationError, match=r"has 2 and 4 are declared.*\.v2"):
        await topics.apply(more, [SIGNALS, DEALS])
    kinds = {difference.kind for difference in await topics.diff(settings, [SIGNALS, DEALS])}
    assert kinds == {"missing"}, "the other topic must not have been created"


async def test_a_broker_that_is_not_there_is_named() -> None:
    with pytest.raises(NotReady, match=r"127\.0\.0\.1:1:"):
        await topics.diff(KafkaSettings(bootstrap="127.0.0.1:1"))
