"""The database as commands of the operator use it: when it does not answer, that is said in words."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import make_url

from headroom.reasons import reason
from shared.db import DATABASE_ERRORS, check_address, is_away
from shared.errors import NotReady

_NO_SUCH_TABLE = "42P01"


@contextmanager
def database_answering(url: str) -> Iterator[None]:
    """A database that cannot be reached, or has no tables yet, becomes a ``NotReady`` that says where and what to do.

    An address that is none is a ``ConfigurationError`` before anything is tried.
    """
    check_address(url)
    try:
        yield
    except DATABASE_ERRORS as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) == _NO_SUCH_TABLE:
            do = "Run `headroom migrate`"
            raise NotReady("the database has no tables of ours", where=_place(url), do=do) from error
        if not is_away(error):
            raise
        do = "Start it, or look at user, password, host and name in HEADROOM_DATABASE_URL"
        raise NotReady("the database does not answer", where=_place(url), why=reason(error), do=do) from error


def _place(url: str) -> str:
    """Where it should be, without user and password."""
    parts = make_url(url)
    host = parts.host or parts.query.get("host") or "127.0.0.1"
    return f"{host}:{parts.port or 5432}/{parts.database or ''}"
