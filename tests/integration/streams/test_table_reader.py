"""A whole topic, read without a group."""

import pytest

from shared.errors import NotReady
from shared.settings import KafkaSettings
from shared.streams.restore import TableReader
from shared.streams.shards import Outgoing, Record
from shared.streams.writer import FencedWriter
from tests.integration.streams import toy
from tests.integration.streams.toy import COUNTS
from tests.waiting import eventually


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    return toy.settings(kafka, topic_prefix)


async def test_it_catches_up_with_an_empty_topic(system: KafkaSettings) -> None:
    await toy.create(system, 3, COUNTS)
    reader = TableReader(system, COUNTS, lambda record: None)
    await reader.start()
    await reader.caught_up()
    await reader.stop()


async def test_it_reads_everything_and_then_follows(system: KafkaSettings) -> None:
    """Written in transactions, so that the topic ends in markers."""
    await toy.create(system, 3, COUNTS)
    writer = FencedWriter(system, "someone")
    await writer.start()
    await writer.write([Outgoing(COUNTS, n % 3, b"%d" % n, b"v") for n in range(300)])
    table: dict[bytes | None, bytes | None] = {}
    reader = TableReader(system, COUNTS, lambda record: table.update({record.key: record.value}))
    await reader.start()
    await reader.caught_up()
    assert len(table) == 300
    await writer.write([Outgoing(COUNTS, 0, b"0", None), Outgoing(COUNTS, 0, b"new", b"v")])
    await eventually(lambda: b"new" in table and table[b"0"] is None)
    await reader.stop()
    await writer.stop()


async def test_a_topic_that_is_missing_is_named(system: KafkaSettings) -> None:
    with pytest.raises(NotReady, match=COUNTS.name):
        await TableReader(system, COUNTS, lambda record: None).start()


async def test_an_error_of_its_owner_is_not_swallowed(system: KafkaSettings) -> None:
    def broken(record: Record) -> None:
        raise ValueError(record.key)

    await toy.create(system, 1, COUNTS)
    await toy.produce(system, COUNTS, [(0, b"k", b"v")])
    failures: list[BaseException] = []
    reader = TableReader(system, COUNTS, broken, failures.append)
    await reader.start()
    await eventually(lambda: failures)
    await reader.stop()
