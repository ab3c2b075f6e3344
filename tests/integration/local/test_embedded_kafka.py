"""The embedded broker: real records survive ``kill -9``, nothing outlives us, and what goes wrong is said."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from headroom.local.kafka import EmbeddedKafka
from headroom.local.keeper import Keeper
from shared.errors import NotReady
from tests.waiting import eventually_sync

ROOT = Path(__file__).parents[3]
TOPIC = "kept"


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedKafka]:
    with EmbeddedKafka() as started:
        yield started


async def test_records_survive_a_killed_broker(broker: EmbeddedKafka) -> None:
    await create_topic(broker.bootstrap)
    await produce(broker.bootstrap, [b"one", b"two"])
    pid, address = broker.pid, broker.bootstrap
    broker.kill()
    assert not broker.alive
    broker.restart()
    assert broker.pid != pid
    assert broker.bootstrap == address
    await produce(broker.bootstrap, [b"three"])
    assert await consume(broker.bootstrap, 3) == [b"one", b"two", b"three"]
    assert "Kafka Server started" in broker.log_file.read_text()


def test_a_broker_that_ends_by_itself_is_started_again(broker: EmbeddedKafka) -> None:
    said: list[str] = []
    keeper = Keeper({"Kafka": broker}, said.append)
    keeper.start()
    try:
        before = broker.pid
        os.kill(before, signal.SIGKILL)
        eventually_sync(lambda: "Kafka runs again" in said, within=60, what="the broker runs again")
        assert broker.alive
        assert broker.pid != before
        broker.kill()
        assert not broker.lost, "who ends it on purpose also starts it again"
    finally:
        keeper.stop()
        broker.restart()


def test_a_keeper_that_never_began_stops_in_peace() -> None:
    """As when Ctrl-C comes just before it begins."""
    Keeper({}, lambda what: None).stop()


async def test_topics_are_not_made_by_asking_for_them(broker: EmbeddedKafka) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    await admin.start()
    try:
        await admin.describe_topics(["never-declared"])
        assert "never-declared" not in await admin.list_topics()
    finally:
        await admin.close()


def test_a_folder_keeps_its_data_when_its_ports_change(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka") as first:
        address = first.bootstrap
    assert (tmp_path / "kafka" / "log" / "meta.properties").exists()
    with EmbeddedKafka(tmp_path / "kafka") as second:
        assert second.bootstrap != address


def test_a_broker_that_cannot_start_is_explained_by_its_log(tmp_path: Path) -> None:
    with EmbeddedKafka(tmp_path / "kafka"):
        pass
    (tmp_path / "kafka" / "log" / "meta.properties").write_text("version=1\ncluster.id=x\nnode.id=7\n")
    with pytest.raises(NotReady, match="Kafka ended while starting") as refusal:
        EmbeddedKafka(tmp_path / "kafka").start()
    assert "Stored node id 7" in str(refusal.value)


def test_a_temporary_broker_leaves_nothing() -> None:
    broker = EmbeddedKafka()
    broker.start()
    process = psutil.Process(broker.pid)
    broker.stop()
    assert not process.is_running()
    assert not broker.data_dir.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_the_broker_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = f"""
import time
from pathlib import Path
from headroom.local.kafka import EmbeddedKafka
broker = EmbeddedKafka(Path({str(tmp_path)!r}))
broker.start()
print(broker.pid, flush=True)
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    broker = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait()
    eventually_sync(lambda: not broker.is_running() or broker.status() == psutil.STATUS_ZOMBIE, what="broker has ended")


async def create_topic(bootstrap: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(TOPIC, 1, 1)])
    finally:
        await admin.close()


async def produce(bootstrap: str, values: list[bytes]) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        for value in values:
            await producer.send_and_wait(TOPIC, value)


async def consume(bootstrap: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap)
    await consumer.start()
    try:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        return [(await consumer.getone()).value for _ in range(count)]
    finally:
        await consumer.stop()
