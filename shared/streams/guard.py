"""The guard: refuses to run on a Faust or aiokafka that the remedies of this package were not read against."""

import base64
import hashlib
import inspect
from collections.abc import Callable
from importlib.metadata import Distribution, distribution
from typing import Any

from aiokafka.consumer.fetcher import Fetcher, FetchResult, PartitionRecords
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from faust.agents.agent import Agent
from faust.app.base import App
from faust.assignor.partition_assignor import PartitionAssignor
from faust.streams import Stream
from faust.tables.recovery import Recovery
from faust.transport import consumer, producer
from faust.transport.drivers import aiokafka as driver
from mode.services import Service

from shared.errors import ConfigurationError

VERSIONS = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}

# What is overridden, called from outside its module or relied on. A change in any of it is read before it is run.
READ: dict[Callable[..., Any], str] = {
    consumer.Consumer.perform_seek: "0e8c130ff4b0afd8",
    consumer.Consumer.getmany: "4b168d84882a70d6",
    consumer.Consumer._wait_next_records: "6218e1969a636b3f",
    consumer.Consumer._drain_messages: "44a2500309e83c63",
    consumer.Consumer._add_gap: "4df2573ded7c1c2c",
    consumer.Consumer._new_offset: "1d2c7ea89a7ad4f1",
    consumer.Consumer._should_commit: "5ce941793947ad42",
    consumer.Consumer._filter_tps_with_pending_acks: "f6f9239774234e7e",
    consumer.Consumer._filter_committable_offsets: "dc5e9baf5d994485",
    consumer.Consumer._commit_tps: "a20e230b05ae8b15",
    consumer.Consumer._commit_offsets: "1a69799041188441",
    consumer.Consumer.force_commit: "cc094614d22c70fb",
    consumer.Consumer.on_buffer_drop: "4b57e8a418d5ad9c",
    consumer.Consumer.pause_partitions: "27a1c94bdacd54de",
    consumer.Consumer.resume_partitions: "afe6b7c02a41d63c",
    consumer.Consumer.on_partitions_revoked: "d04b7ae72c6fc206",
    consumer.Consumer.on_partitions_assigned: "29ce96596f05a18c",
    consumer.Consumer._set_active_tps: "401f4dc883191950",
    driver.AIOKafkaConsumerThread._create_worker_consumer: "c2701bfc3e6f6cad",
    driver.AIOKafkaConsumerThread._commit: "932852ce7a23f658",
    driver.AIOKafkaConsumerThread._fetch_records: "39a2c6c79fc1455a",
    driver.AIOKafkaConsumerThread._highwaters: "a7f4f97d9f32aca2",
    driver.ConsumerRebalanceListener.on_partitions_revoked: "348c3aec879faf80",
    driver.ConsumerRebalanceListener.on_partitions_assigned: "1c1f8406ad3698a6",
    driver.Producer._new_producer: "e72355c3430ed02f",
    driver.Producer.send: "0b5bd08f52e5e2a9",
    driver.Producer.flush: "36d0cb3615f65b01",
    producer.ProducerBuffer.flush_atmost: "4966e8c5f9b42eb9",
    producer.ProducerBuffer._handle_pending: "78d648030fd21016",
    App._on_partitions_revoked: "d5c895bbe57dc73a",
    App._on_partitions_assigned: "de932b7927db85b3",
    App._stop_consumer: "55854a5de12c3f52",
    Recovery._restart_recovery: "6bd8a8558a2dffe4",
    Recovery._resume_streams: "d986a6710c1aca98",
    Recovery.on_rebalance: "aa4d997a1795ceae",
    PartitionAssignor._perform_assignment: "1e0bf2c5c8f42574",
    PartitionAssignor.on_assignment: "72f34bf053d696b5",
    Agent._execute_actor: "c750b828d2bda93e",
    Stream.events: "c62f4dd3a73fe7aa",
    Stream.noack: "921a6f5c674d32d4",
    Service.crash: "14980000465df0af",
    Fetcher.fetched_records: "be4348896b9b66af",
    Fetcher.seek_to: "f0ba6aba6c22ef83",
    Fetcher._create_fetch_waiter: "61d840568746477e",
    Fetcher._get_actions_per_node: "1dab2cf937d165d0",
    FetchResult.getall: "3e717e30de5068d5",
    FetchResult.check_assignment: "b5340df67e3f330f",
    PartitionRecords._unpack_records: "b803e6d46480732c",
    PartitionRecords._consumer_record: "e668541600b047ab",
    SubscriptionState.fetch_context: "ff2a654dca239cfe",
    TopicPartitionState.consumed_to: "c7b8f0f99ce9185e",
    TopicPartitionState.seek: "c20b56d7ba7b2872",
}

# The compiled modules that run in place of the Python ones, by the source they are made of.
COMPILED: dict[str, str] = {
    "faust/_cython/streams.pyx": "0041622f4a251188",
    "faust/transport/_cython/conductor.pyx": "dde1f974267881cf",
}


def check_versions() -> None:
    """Raise ``ConfigurationError`` unless Faust and aiokafka are what the remedies were read against."""
    for name, version in VERSIONS.items():
        found = distribution(name).version
        if found != version:
            raise _unread(name, f"version {found} is installed, {version} was read")
    for function, expected in READ.items():
        if source_hash(function) != expected:
            raise _unread(str(function), "its source differs from what was read")
    faust = distribution("faust-streaming")
    for path, expected in COMPILED.items():
        if file_hash(faust, path) != expected:
            raise _unread(path, "its source differs from what was read")
    _check_binaries(faust)


def source_hash(function: Callable[..., Any]) -> str:
    """The first 16 digits of the SHA-256 of a function's source."""
    function = getattr(function, "fun", function)  # a background task of a service is wrapped
    return hashlib.sha256(inspect.getsource(function).encode()).hexdigest()[:16]


def file_hash(package: Distribution, path: str) -> str:
    """The first 16 digits of the SHA-256 of a file of an installed package."""
    return hashlib.sha256(package.locate_file(path).read_bytes()).hexdigest()[:16]  # type: ignore[attr-defined]


def _check_binaries(package: Distribution) -> None:
    """Compiled modules differ by platform, so each is held against the checksum its own wheel was published with."""
    for file in package.files or []:
        if "_cython" in file.parts and file.suffix in (".so", ".pyd") and file.hash is not None:
            digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()  # type: ignore[attr-defined]
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                raise _unread(str(file), "it is not the file its wheel was published with")


def _unread(what: str, why: str) -> ConfigurationError:
    return ConfigurationError(
        "the stream runtime closes holes of one version of Faust and aiokafka",
        where=what,
        why=why,
        do="Install requirements.lock, or read the change, run the tests of streams and update shared/streams/guard.py",
    )
