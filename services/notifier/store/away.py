"""PostgreSQL away: telling that from a real mistake, and waiting until it is back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg
import structlog
from sqlalchemy import exc

FIRST_WAIT, LONGEST_WAIT = 0.1, 2.0

AWAY = (
    exc.DBAPIError,
    exc.TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    OSError,
    TimeoutError,
)
"""What may mean that the database is away; ``is_away`` tells whether it does."""

# Classes of SQLSTATE: connection exceptions, a transaction rolled back because of others (a deadlock), insufficient
# resources, operator intervention. The same transaction may work a moment later.
_AWAY_STATES = ("08", "40", "53", "57P")

log = structlog.get_logger(__name__)
T = TypeVar("T")


def is_away(error: BaseException) -> bool:
    """Whether ``error`` says that the database cannot be reached now, so that the same may work later."""
    if isinstance(error, exc.DBAPIError):
        if error.connection_invalidated or isinstance(error, exc.InterfaceError):
            return True
        state = getattr(error.orig, "sqlstate", None) or ""
        return str(state).startswith(_AWAY_STATES)
    return isinstance(error, AWAY)


async def patiently(what: str, action: Callable[[], Awaitable[T]], waiting: Callable[[], None] | None = None) -> T:
    """The result of ``action``, tried until the database is there; any other error is raised at once.

    ``action`` must be one transaction, or otherwise not mind being repeated. ``waiting`` is called before each wait.
    """
    wait = FIRST_WAIT
    while True:
        try:
            return await action()
        except AWAY as error:
            if not is_away(error):
                raise
            log.warning("the database is away, trying again", doing=what, seconds=wait, error=type(error).__name__)
        if waiting is not None:
            waiting()
        await asyncio.sleep(wait)
        wait = min(wait * 2, LONGEST_WAIT)
