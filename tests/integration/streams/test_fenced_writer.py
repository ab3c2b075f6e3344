"""Transactions of one shard: whole or not at all, and refused to all but the newest owner."""

import pytest
from aiokafka.errors import ProducerFenced

from shared.settings import KafkaSettings
from shared.streams.shards import Outgoing
from shared.streams.writer import BATCH_BYTES, FencedWriter
from tests.integration.streams import toy
from tests.integration.streams.naive import UnfencedWriter
from tests.integration.streams.toy import COUNTS, INPUT
from tests.stock import naive


@pytest.fixture
async def system(kafka: str, topic_prefix: str) -> KafkaSettings:
    settings = toy.settings(kafka, topic_prefix)
    await toy.create(settings, 2, COUNTS, INPUT)
    return settings


async def test_records_keep_their_order_across_batches(system: KafkaSettings) -> None:
    """More than fits one batch, to two topics."""
    writer = FencedWriter(system, "shard-0")
    await writer.start()
    records = [Outgoing(COUNTS, 1, b"%d" % n, b"x" * 1_000, [("h", b"%d" % n)]) for n in range(2_000)]
    assert len(records) * 1_000 > 2 * BATCH_BYTES
    await writer.write([*records, Outgoing(INPUT, 0, None, b"last")])
    await writer.stop()
    found = await toy.read_all(system, COUNTS)
    assert [(r.partition, r.key, r.headers) for r in found] == [(1, r.key, tuple(r.headers)) for r in records]
    assert [(r.key, r.value) for r in await toy.read_all(system, INPUT)] == [(None, b"last")]


@pytest.mark.parametrize(
    "kind", [FencedWriter, naive(UnfencedWriter, because="an owner that woke up late writes over its successor")]
)
async def test_the_newest_owner_fences_the_others(system: KafkaSettings, kind: type[FencedWriter]) -> None:
    old, new = kind(system, "shard-0"), kind(system, "shard-0")
    await old.start()
    await old.write([Outgoing(COUNTS, 0, b"k", b"old")])
    await new.start()
    await new.write([Outgoing(COUNTS, 0, b"k", b"new")])
    refused = False
    try:
        await old.write([Outgoing(COUNTS, 0, b"k", b"zombie")])
    except ProducerFenced:
        refused = True
    finally:
        await old.stop()
        await new.stop()
    assert [r.value for r in await toy.read_all(system, COUNTS)] == [b"old", b"new"]
    assert refused


async def test_taking_over_aborts_what_was_left_open(system: KafkaSettings) -> None:
    old, new = FencedWriter(system, "shard-0"), FencedWriter(system, "shard-0")
    await old.start()
    await old._producer.begin_transaction()
    await old._producer.send_and_wait(system.topic_prefix + COUNTS.name, b"half", key=b"k", partition=0)
    await new.start()
    await new.write([Outgoing(COUNTS, 0, b"k", b"whole")])
    assert [r.value for r in await toy.read_all(system, COUNTS)] == [b"whole"]
    await old.stop()
    await new.stop()
