"""PostgreSQL: one way to make an engine, the migrations that every start applies, and what to do while it is away."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import structlog
from sqlalchemy import event, exc, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from shared.errors import ConfigurationError

MIGRATIONS = Path(__file__).parent.parent / "deploy" / "migrations"

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0

DATABASE_ERRORS = (exc.SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)
"""What a statement or a connection may raise; ``is_away`` tells whether the same may work a moment later."""

# Classes of SQLSTATE: connection exceptions, who asks is not let in, there is no such database (yet), a transaction
# rolled back because of others (a deadlock), insufficient resources, operator intervention.
_AWAY_STATES = ("08", "28", "3D", "40", "53", "57P")

GONE_IDLE, GONE_EVERY, GONE_COUNT = 10, 5, 3
"""Seconds without a sign of the other host until it is asked for one, between two such questions, and how many."""

_KEEPALIVE = {"idle": GONE_IDLE, "interval": GONE_EVERY, "count": GONE_COUNT}

log = structlog.get_logger(__name__)
T = TypeVar("T")


def create_engine(url: str, *, pool_size: int = 5) -> AsyncEngine:
    """An engine for ``postgresql+asyncpg://…``; it connects on first use.

    A connection that its server has closed is not lent but replaced. The driver knows that without asking: a question
    at each lending, as the pool would put it, takes three round trips, as many as most transactions themselves.
    Errors do not show the values of a statement: secrets are among them.

    A host that vanished without a word is found gone within half a minute, by either side: the server then ends the
    session and frees its locks, the client takes its connections for closed. How long a statement may take is not
    bounded, for migrations and rebuilds are statements, too.
    """
    check_address(url)
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=pool_size,
        hide_parameters=True,
        connect_args={
            "server_settings": {f"tcp_keepalives_{name}": str(value) for name, value in _KEEPALIVE.items()},
        },
    )
    event.listen(engine.sync_engine, "connect", _watch_host)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def check_address(url: str) -> None:
    """Raises ``ConfigurationError`` for an address that is none, before anything is tried with it."""
    if not url:
        raise ConfigurationError(
            "the database address is not set",
            where="HEADROOM_DATABASE_URL",
            do="Give it as postgresql+asyncpg://user@host/database; `make up` prints the line for its own",
        )
    if not url.startswith("postgresql+asyncpg://"):
        shown = url.split("://", 1)[0]
        raise ConfigurationError(
            "the database address is not usable",
            where="HEADROOM_DATABASE_URL",
            why=f"it begins with {shown!r}",
            do="Give it as postgresql+asyncpg://user@host/database.",
        )
    try:
        port = make_url(url).port
        possible = port is None or 0 < port <= 65535
    except (ValueError, exc.ArgumentError):
        possible = False
    if not possible:
        raise ConfigurationError(
            "the database address is not usable",
            where="HEADROOM_DATABASE_URL",
            why="its port is not a number from 1 to 65535",
            do="Give it as postgresql+asyncpg://user@host:5432/database.",
        )


def _refuse_closed(connection: Any, *_: Any) -> None:
    if connection.driver_connection.is_closed():
        raise exc.DisconnectionError  # the pool connects again


def _watch_host(connection: Any, *_: Any) -> None:
    # The driver has no way to its socket; without it, that host is only missed where the system's keepalive says so.
    transport = getattr(connection.driver_connection, "_transport", None)
    its = None if transport is None else transport.get_extra_info("socket")
    if its is None or its.family not in (socket.AF_INET, socket.AF_INET6):
        return
    its.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    # What was sent and never acknowledged is beside the keepalive. Not every system has all of these.
    patience = (GONE_IDLE + GONE_EVERY * GONE_COUNT) * 1000
    for name, value in (
        ("TCP_KEEPIDLE", GONE_IDLE),
        ("TCP_KEEPINTVL", GONE_EVERY),
        ("TCP_KEEPCNT", GONE_COUNT),
        ("TCP_USER_TIMEOUT", patience),
    ):
        option = getattr(socket, name, None)
        if option is not None:
            its.setsockopt(socket.IPPROTO_TCP, option, value)


def upgrade(url: str) -> str | None:
    """Bring the database to the newest migration, if it is not there. Blocks; call it outside an event loop.

    A database of a newer version is left as it is, for migrations only add: then its revision is what comes back.
    """
    # Here and not above: a quarter of what a process imports, and most never migrate.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["url"] = url
    command.upgrade(config, "head")
    newer: str | None = config.attributes.get("newer")
    if newer is not None:
        log.warning("the database is of a newer version and stays as it is", revision=newer)
    return newer


def is_away(error: BaseException) -> bool:
    """Whether ``error`` says that the database cannot be reached now, rather than that a statement is wrong.

    Nor can one that refuses a password or is not made yet: somebody sees to it, and nothing is lost by waiting.
    """
    own = of_driver(error)
    if isinstance(own, asyncpg.InterfaceError) and isinstance(own, ValueError):
        return False  # a value that cannot be sent, which no database would take
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated or isinstance(error, exc.InterfaceError):
            return True
        state = getattr(error.orig, "sqlstate", None) or ""
        return str(state).startswith(_AWAY_STATES)
    return isinstance(
        error,
        OSError
        | TimeoutError
        | exc.TimeoutError
        | asyncpg.PostgresConnectionError
        | asyncpg.InvalidAuthorizationSpecificationError
        | asyncpg.InvalidCatalogNameError
        | asyncpg.OperatorInterventionError
        | asyncpg.InsufficientResourcesError
        | asyncpg.InterfaceError,
    )


def of_driver(error: BaseException) -> BaseException:
    """The driver's own error: SQLAlchemy has one name for a wrong password and a full disk."""
    within = getattr(error, "orig", None)
    return getattr(within, "__cause__", None) or within or error


async def patiently(what: str, action: Callable[[], Awaitable[T]], waiting: Callable[[], None] | None = None) -> T:
    """The result of ``action``, tried until the database is there; any other error is raised at once.

    ``action`` must be one transaction, or otherwise not mind being repeated. ``waiting`` is called before each wait.
    """
    wait = FIRST_WAIT
    while True:
        try:
            return await action()
        except DATABASE_ERRORS as error:
            if not is_away(error):
                raise
            log.warning(
                "the database is away, trying again", doing=what, seconds=wait, error=type(of_driver(error)).__name__
            )
        if waiting is not None:
            waiting()
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
