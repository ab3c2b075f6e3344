"""A broker and a database in Docker, where an engine answers: temporary, for tests and the demo."""

import http.client
import os
import socket
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from headroom.local.kafka import SINGLE_NODE, wait_until_answers
from headroom.local.ports import free_ports
from shared.errors import NotReady

KAFKA_IMAGE = "apache/kafka:4.4.0"
POSTGRES_IMAGE = "postgres:18"


def docker_answers(timeout: float = 1.0) -> bool:
    """Whether a Docker engine answers where ``DOCKER_HOST`` says, or at its usual socket; takes a second at most."""
    address = urlsplit(os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        if address.scheme == "unix":
            if not Path(address.path).is_socket():
                return False
            connection = http.client.HTTPConnection("localhost", timeout=timeout)
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(timeout)
            connection.sock.connect(address.path)
        else:
            connection = http.client.HTTPConnection(address.hostname or "localhost", address.port, timeout=timeout)
        connection.request("GET", "/_ping")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def containers_possible() -> bool:
    """Whether testcontainers is installed and an engine answers."""
    try:
        import testcontainers  # noqa: F401 — only whether it is there
    except ImportError:
        return False
    return docker_answers()


class ContainerKafka:
    """Kafka of one node in a container; started on entry, removed on exit."""

    def __init__(self) -> None:
        from testcontainers.core.container import DockerContainer

        # The port is chosen beforehand: a broker tells its clients where it is reached.
        self._port = free_ports(1)[0]
        container = DockerContainer(KAFKA_IMAGE).with_bind_ports(9092, self._port)
        self.bootstrap = f"{container.get_container_host_ip() or 'localhost'}:{self._port}"
        for name, value in self._environment().items():
            container = container.with_env(name, value)
        self._container = container

    def _environment(self) -> dict[str, str]:
        return {
            "KAFKA_NODE_ID": "1",
            "KAFKA_PROCESS_ROLES": "broker,controller",
            "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
            "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{self.bootstrap}",
            "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
            "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
            **{"KAFKA_" + name.upper().replace(".", "_"): value for name, value in SINGLE_NODE.items()},
        }

    def __enter__(self) -> Self:
        self._container.start()
        try:
            wait_until_answers(self.bootstrap, timeout=60)
        except NotReady:
            self._container.stop()
            raise
        return self

    def __exit__(self, *failure: object) -> None:
        self._container.stop()


class ContainerPostgres:
    """PostgreSQL in a container; started on entry, removed on exit."""

    def __init__(self) -> None:
        from testcontainers.community.postgres import PostgresContainer

        self._container = PostgresContainer(POSTGRES_IMAGE, driver="asyncpg")

    @property
    def url(self) -> str:
        """The database for SQLAlchemy with asyncpg."""
        return str(self._container.get_connection_url())

    def __enter__(self) -> Self:
        self._container.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._container.stop()
