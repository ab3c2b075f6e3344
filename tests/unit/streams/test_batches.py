"""Remedies of the transport, each body run beside stock's consumer or a transport that keeps a part of stock."""

import asyncio
from types import SimpleNamespace
from typing import Any

import faust
import pytest
from faust.transport.consumer import Consumer
from faust.transport.drivers import aiokafka as driver
from faust.types.tuples import ConsumerMessage

from shared.settings import KafkaSettings
from shared.streams.app import StreamApp
from shared.streams.transport import BatchConsumer
from tests.stock import naive, stock
from tests.unit.streams.fetches import TP0, Broker, consumer_of, draining
from tests.waiting import eventually


class Gaps(BatchConsumer):
    """Batches, with stock's bookkeeping of acknowledged offsets and gaps."""

    _add_gap = Consumer._add_gap
    _new_offset = Consumer._new_offset
    _filter_tps_with_pending_acks = Consumer._filter_tps_with_pending_acks


class Asleep(BatchConsumer):
    """Its fetch is not woken when a partition is resumed."""

    on_buffer_drop = Consumer.on_buffer_drop


def finish(consumer: Any, message: Any) -> None:
    """Acknowledge in the way of its transport."""
    if type(consumer) is BatchConsumer:
        consumer.acknowledge(message.tp, message.value.next_offset, message.value.epoch)
    else:
        message.incref()
        message.ack(consumer)


@pytest.mark.parametrize(
    "kind", [BatchConsumer, stock(driver.Consumer, because="each record is a message, with four tasks and an event")]
)
async def test_a_fetch_is_one_message(kind: type[Any]) -> None:
    broker = Broker()
    consumer = consumer_of(kind, broker)
    await consumer.perform_seek()
    broker.bring(*range(1_000))
    messages = [message async for _, message in consumer.getmany(1.0)]
    assert len(messages) == 1
    assert [record.offset for record in messages[0].value.records] == list(range(1_000))


@pytest.mark.parametrize("kind", [BatchConsumer, naive(Gaps, because="gaps are for single records")])
async def test_what_is_done_is_committed_and_forgotten(kind: type[Any]) -> None:
    broker = Broker()
    async with draining(kind, broker) as (consumer, delivered):
        for number in range(20):
            broker.bring(*range(number * 100, number * 100 + 100))
            await eventually(lambda: len(delivered) == number + 1, every=0)  # noqa: B023
            finish(consumer, delivered[-1])
            await consumer.force_commit()
        kept = sum(len(offsets) for offsets in consumer._acked.values())
        assert broker.committed[-1] == 2_000
        assert kept == 0


@pytest.mark.parametrize(
    "kind", [BatchConsumer, stock(driver.Consumer, because="after an offset 0 it sees no gap, and commits stick")]
)
async def test_an_offset_0_before_a_gap_does_not_hold_up_commits(kind: type[Any]) -> None:
    broker = Broker()
    async with draining(kind, broker) as (consumer, delivered):
        for offset in (0, 5, 6):
            broker.bring(offset)
            await eventually(lambda: delivered and delivered[-1].offset == offset, every=0)  # noqa: B023
            finish(consumer, delivered[-1])
            await consumer.force_commit()
        assert broker.committed[-1] == 7


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "kind", [BatchConsumer, stock(driver.Consumer, because="acknowledgements of an earlier generation are committed")]
)
async def test_what_was_done_for_an_earlier_generation_is_not_committed(kind: type[Any], late: bool) -> None:
    """Another member may have had the partition meanwhile. Done before the seek, or ``late``, after it."""
    broker = Broker()
    async with draining(kind, broker) as (consumer, delivered):
        broker.bring(0, 1, 2)
        await eventually(lambda: delivered and delivered[-1].offset == 2, every=0)
        early = list(delivered)
        if not late:
            for message in early:
                finish(consumer, message)
        consumer.app.consumer_generation_id = 3
        await consumer.perform_seek()
        if late:
            for message in early:
                finish(consumer, message)
        await consumer.force_commit()
        assert broker.committed == []


@pytest.mark.parametrize(
    "kind",
    [
        BatchConsumer,
        stock(driver.Consumer, because="with all partitions paused the fetch loop sleeps for a second"),
        naive(Asleep, because="a fetch that began without a partition ends without it"),
    ],
)
async def test_a_resumed_partition_is_fetched_at_once(kind: type[Any]) -> None:
    broker = Broker()
    async with draining(kind, broker) as (consumer, delivered):
        broker.bring(0)
        await eventually(lambda: delivered, every=0)
        consumer.on_buffer_full(TP0)
        broker.bring(1)
        await turns()
        assert len(delivered) == 1
        consumer.on_buffer_drop(TP0)
        await turns()
        assert len(delivered) == 2


async def turns() -> None:
    """Let everything happen that waits for no time to pass."""
    for _ in range(200):
        await asyncio.sleep(0)


def ours() -> Any:
    runtime: Any = SimpleNamespace(name="buffer", topics=("topic",))
    return StreamApp(runtime, KafkaSettings(), lambda _: None, 0.0)


def of_stock() -> Any:
    return faust.App("buffer", broker="aiokafka://nowhere")


@pytest.mark.parametrize("make", [ours, stock(of_stock, because="4,096 messages may wait, each 4,000 records here")])
async def test_a_partition_is_paused_when_few_batches_wait(make: Any) -> None:
    app = make()
    app.flow_control.resume()
    app.consumer._active_partitions = {TP0}
    channel = app.topic("topic", value_serializer="raw").clone(is_iterator=True)
    deliver = app.topics._build_handler(TP0, {channel})
    waiting = 0
    while TP0 in app.consumer._active_partitions and waiting < 65:
        await deliver(ConsumerMessage("topic", 0, waiting, 0.0, 0, None, None, b"v", None, tp=TP0))
        waiting += 1
    assert waiting < 65
