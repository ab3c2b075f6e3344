"""A real Kafka of one node as a child process.

Broker and controller are one process (KRaft); the settings make a single node whole and its restart after ``kill -9`` a
matter of seconds. Nothing is created automatically. Data stay in the folder given; without one they are temporary.
"""

import base64
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from headroom.local.children import spawn, stop, tail
from headroom.local.embedded import EmbeddedServer
from headroom.local.folders import temporary_folder
from headroom.local.jars import ensure_jars
from headroom.local.java import find_java
from headroom.local.loops import run_apart
from headroom.local.ports import free_ports
from shared.errors import NotReady

_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true")


SINGLE_NODE = {
    # one node is all there is
    "default.replication.factor": "1",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # a group forms at once, and a killed broker is back in seconds
    "group.initial.rebalance.delay.ms": "0",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    "auto.create.topics.enable": "false",
}
"""Settings without which a cluster of one node does not work, or restarts slowly."""

LISTENERS = ("listeners", "advertised.listeners", "listener.security.protocol.map")
"""Settings that are lists: further ones are added to ours."""


class EmbeddedKafka(EmbeddedServer):
    """Kafka 4.4 for this process and its children, on loopback only.

    ``start`` and ``restart`` return when the broker answers; ``kill`` ends it as a power cut would. The address stays
    the same for the object's life.
    """

    what = "the broker"

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        port: int | None = None,
        heap_mb: int = 512,
        properties: Mapping[str, str] | None = None,
        format_options: Sequence[str] = (),
    ) -> None:
        """``properties`` are put over ours, listeners beside them; ``format_options`` prepare fresh data further."""
        super().__init__()
        self._properties, self._format_options = dict(properties or {}), tuple(format_options)
        self._temporary = data_dir is None
        self.data_dir = data_dir or temporary_folder("headroom-kafka-")
        self.log_file = self.data_dir / "kafka.log"
        self._output = self.data_dir / "kafka.out"
        self._heap_mb = heap_mb
        free = free_ports(2)
        self._port = port or free[0]
        self._controller_port = free[1]

    @property
    def bootstrap(self) -> str:
        """Where clients connect, ``host:port``."""
        return f"127.0.0.1:{self._port}"

    def kill(self) -> None:
        """End the broker at once (SIGKILL), as a power cut would; its data stay."""
        self._wanted = False
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        classpath = f"{ensure_jars()}/*"
        java = [
            str(find_java()),
            f"-Xmx{self._heap_mb}m",
            *_JVM,
            f"-Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}",
            f"-Dheadroom.log={self.log_file}",
            "-cp",
            classpath,
        ]
        properties = self._write_properties()
        if not (self.data_dir / "log" / "meta.properties").exists():
            self._format(java, properties)
        return spawn([*java, "kafka.Kafka", str(properties)], log=self._output)

    def _clean(self) -> None:
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _write_properties(self) -> Path:
        """The broker's settings; written at each start, since ports may differ from the last time on these data."""
        properties = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "log.dirs": str(self.data_dir / "log"),
            **SINGLE_NODE,
        }
        for name, value in self._properties.items():
            properties[name] = f"{properties[name]},{value}" if name in LISTENERS else value
        file = self.data_dir / "server.properties"
        file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        return file

    def _format(self, java: list[str], properties: Path) -> None:
        """Prepare fresh data for KRaft."""
        cluster_id = base64.urlsafe_b64encode(b"h" + uuid.uuid4().bytes[1:]).decode().rstrip("=")
        command = [*java, "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id, "-c", str(properties)]
        command += self._format_options
        formatted = subprocess.run(command, capture_output=True, text=True, check=False)
        if formatted.returncode != 0:
            raise NotReady(
                "Kafka could not prepare its data folder",
                where=str(self.data_dir),
                why=(formatted.stderr or formatted.stdout).strip()[-800:],
                do="Check that the folder is empty and writable, or choose another",
            )

    def _wait(self, timeout: float) -> None:
        child = self._child
        assert child is not None
        try:
            wait_until_answers(self.bootstrap, timeout, alive=lambda: child.poll() is None)
        except NotReady as failure:
            died = child.poll() is not None
            stop(child, grace=0)
            raise NotReady(
                "Kafka ended while starting" if died else failure.what,
                where=str(self.log_file),
                why=tail(self.log_file, 8) or tail(self._output, 8) or "its log is empty",
                do="The full log is in that file; data of another Kafka version or a full disk are common reasons",
            ) from failure


def wait_until_answers(bootstrap: str, timeout: float, alive: Callable[[], bool] = lambda: True) -> None:
    """Wait until the broker takes part in its cluster; raises ``NotReady`` when it is not ``alive`` or time is up."""
    deadline = time.monotonic() + timeout
    while not (_accepts(bootstrap) and _answers(bootstrap)):
        if not alive() or time.monotonic() > deadline:
            raise NotReady(f"Kafka did not answer within {timeout:.0f} s", where=bootstrap)
        time.sleep(0.1)


def _accepts(bootstrap: str) -> bool:
    host, port = bootstrap.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except OSError:
        return False


def _answers(bootstrap: str) -> bool:
    """Whether the broker lists itself as part of its cluster: only then can topics be made."""

    async def ask() -> bool:
        client = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
        try:
            await client.start()
            return bool((await client.describe_cluster())["brokers"])
        except KafkaError:
            return False
        finally:
            await client.close()

    return run_apart(ask)
