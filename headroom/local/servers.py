"""A broker and a database, found or started: the ones named in the environment, else containers, else our own children.

Containers are only for what is temporary; what is to last is kept in a folder by the embedded servers.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from headroom.local.containers import ContainerKafka, ContainerPostgres, containers_possible
from headroom.local.kafka import EmbeddedKafka
from headroom.local.postgres import EmbeddedPostgres

T = TypeVar("T")
BOOTSTRAP = "HEADROOM_KAFKA__BOOTSTRAP"
DATABASE_URL = "HEADROOM_DATABASE_URL"


class Broker(Protocol):
    """Where Kafka is."""

    @property
    def bootstrap(self) -> str:
        """``host:port``, or several with commas."""


class Database(Protocol):
    """Where PostgreSQL is."""

    @property
    def url(self) -> str:
        """A database of the server, for SQLAlchemy with asyncpg."""


class NamedBroker:
    """A broker that somebody else runs."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap


class NamedDatabase:
    """A database that somebody else runs."""

    def __init__(self, url: str) -> None:
        self.url = url


@contextmanager
def broker(environment: Mapping[str, str], folder: Path | None = None) -> Iterator[Broker]:
    """A broker for as long as the context lasts; its data last when a folder is given."""
    with ExitStack() as stack:
        if named := environment.get(BOOTSTRAP):
            yield NamedBroker(named)
        elif folder is None and (contained := _contained(stack, ContainerKafka)) is not None:
            yield contained
        else:
            yield stack.enter_context(EmbeddedKafka(folder))


@contextmanager
def database(environment: Mapping[str, str], folder: Path | None = None) -> Iterator[Database]:
    """A database server for as long as the context lasts; its data last when a folder is given."""
    with ExitStack() as stack:
        if named := environment.get(DATABASE_URL):
            yield NamedDatabase(named)
        elif folder is None and (contained := _contained(stack, ContainerPostgres)) is not None:
            yield contained
        else:
            yield stack.enter_context(EmbeddedPostgres(folder))


def _contained(stack: ExitStack, kind: Callable[[], AbstractContextManager[T]]) -> T | None:
    """The container, entered, or None where no engine answers or it cannot run it."""
    if not containers_possible():
        return None
    try:
        return stack.enter_context(kind())
    except Exception as failure:  # noqa: BLE001 — an engine may fail in its own ways; ours need none, and it is said
        sys.stderr.write(f"Docker answers but cannot run the image ({failure}); starting an embedded server instead.\n")
        return None
