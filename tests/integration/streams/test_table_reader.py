"""A whole topic, read without a group."""

import asyncio

import pytest
from structlog.testing import capture_logs

from headroom.local.ports import free_ports
from shared.settings import KafkaSettings
from shared.streams.app import run
from shared.streams.health import Health
from shared.streams.metrics import stream_series
from shared.streams.restore import TableReader
from shared.streams.shards import Outgoing, Record, Role
from shared.streams.topology import awaited_counts
from shared.streams.writer import FencedWriter
from tests.integration.streams import toy
from tests.integration.streams.toy import COUNTS, INPUT
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


async def test_how_far_it_is_behind_is_shown_until_it_is_stopped(system: KafkaSettings) -> None:
    """Of records so large that no two come with one answer of the broker."""
    await toy.create(system, 1, COUNTS)
    await toy.produce(system, COUNTS, [(0, b"%d" % n, b"v" * 900_000) for n in range(4)])

    def behind() -> float | None:
        place = {"topic": COUNTS.name, "partition": "0"}
        return stream_series.get_sample_value("headroom_table_lag_records", place)

    seen: list[float | None] = []
    reader = TableReader(system, COUNTS, lambda record: seen.append(behind()))
    await reader.start()
    await reader.caught_up()
    await eventually(lambda: behind() == 0)
    assert seen == [None, 3, 2, 1]
    await reader.stop()
    assert behind() is None


async def test_its_end_includes_what_lies_behind_an_open_transaction(system: KafkaSettings) -> None:
    """What somebody has committed is not visible before others, whose transactions began earlier, have ended theirs."""
    await toy.create(system, 1, COUNTS)
    table: set[bytes | None] = set()
    reader = TableReader(system, COUNTS, lambda record: table.add(record.key))
    await reader.start()
    slow, quick = FencedWriter(system, "slow"), FencedWriter(system, "quick")
    await slow.start()
    await quick.start()
    await slow._producer.begin_transaction()
    await slow._producer.send_and_wait(system.topic_prefix + COUNTS.name, b"v", key=b"slow", partition=0)
    await quick.write([Outgoing(COUNTS, 0, b"quick", b"v")])
    reading = asyncio.create_task(reader.read_to_end())
    await reader.caught_up()
    # By now a look at what is visible would have found the end.
    await asyncio.wait({reading}, timeout=0.5)
    assert not reading.done()
    await slow._producer.commit_transaction()
    await reading
    assert table == {b"slow", b"quick"}
    for part in (reader, slow, quick):
        await part.stop()


async def test_a_shard_opens_when_its_tables_hold_what_its_former_owner_wrote(system: KafkaSettings) -> None:
    await toy.create(system, 2, COUNTS, INPUT)
    log: list[str] = []

    class Table:
        async def read_to_end(self) -> None:
            log.append("read")

    def make(number: int) -> toy.Counter:
        log.append("made")
        return toy.Counter(number)

    async with toy.running(system, Role("counter", (COUNTS,), (INPUT,), make, tables=(Table(),))):
        await eventually(lambda: len(log) == 4)
    assert log == ["read", "read", "made", "made"]


async def test_a_topic_that_is_missing_is_named_and_waited_for(system: KafkaSettings) -> None:
    reader = TableReader(system, COUNTS, lambda record: None)
    with capture_logs() as logs:
        starting = asyncio.create_task(reader.start())
        await eventually(lambda: logs)
    assert COUNTS.name in logs[0]["error"]
    assert "headroom topics apply" in logs[0]["error"]
    assert not starting.done()
    await toy.create(system, 1, COUNTS)
    await starting
    await reader.caught_up()
    await reader.stop()


async def test_a_role_whose_topics_are_missing_waits_for_them(system: KafkaSettings) -> None:
    role = Role("counter", (COUNTS,), (INPUT,), toy.Counter)
    health, failures = Health(), list[BaseException]()
    with capture_logs() as logs:
        running = asyncio.create_task(run(role, kafka=system, health=health, on_failure=failures.append))
        await eventually(lambda: [said for said in logs if said["event"] == "waiting for topics"])
    await toy.create(system, 1, COUNTS, INPUT)
    await eventually(lambda: health.ready, within=30)
    running.cancel()
    await asyncio.wait({running})
    assert failures == []


async def test_a_broker_that_cannot_be_reached_is_named_and_waited_for(system: KafkaSettings) -> None:
    """Behind a port that nobody listens on, until somebody does and passes on to the broker."""
    await toy.create(system, 3, COUNTS)
    (port,) = free_ports(1)
    beyond = system.model_copy(update={"bootstrap": f"127.0.0.1:{port}"})
    with capture_logs() as logs:
        asking = asyncio.create_task(awaited_counts(beyond, [COUNTS]))
        await eventually(lambda: logs)
    assert (logs[0]["event"], logs[0]["bootstrap"]) == ("waiting for the broker", beyond.bootstrap)
    assert str(port) in logs[0]["error"]
    assert not asking.done()
    async with await asyncio.start_server(lambda *ours: passed_on(system.bootstrap, *ours), "127.0.0.1", port):
        assert await asking == {COUNTS: 3}


async def passed_on(bootstrap: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    host, _, port = bootstrap.partition(":")
    theirs, answers = await asyncio.open_connection(host, int(port))

    async def carry(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while part := await source.read(65_536):
            target.write(part)
        target.close()

    await asyncio.gather(carry(reader, answers), carry(theirs, writer))


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
