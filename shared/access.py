"""API keys and what they may do.

A key is ``hr_`` and 256 random bits; only its SHA-256 is stored, so a stolen table opens nothing (a slow hash is for
guessable passwords, not for 256 random bits). A verified key is remembered for a few seconds, which is also how long a
revocation takes to arrive. Every route declares its scope with ``requires``; a test walks all routes.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from fastapi.routing import APIRoute
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.asyncio import AsyncEngine
from starlette.requests import Request
from starlette.responses import Response

from shared.problems import Problem

Scope = Literal["ingest", "report", "read", "decide", "admin"]
SCOPES: tuple[Scope, ...] = ("ingest", "report", "read", "decide", "admin")
REMEMBER_SECONDS = 5.0

metadata = sa.MetaData()
api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
    sa.Column("person", sa.Text),
    sa.Column("created", sa.DateTime(timezone=True), server_default=sa.func.now()),
    sa.Column("revoked", sa.DateTime(timezone=True)),
)


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: the key's id and name, what it may do, and the person of the plan it belongs to, if any."""

    id: str
    name: str
    scopes: frozenset[str]
    person: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this caller may use routes of ``scope``; admin may use all."""
        return scope in self.scopes or "admin" in self.scopes


_BOOTSTRAP = Principal("bootstrap", "bootstrap", frozenset(SCOPES))


def new_key() -> str:
    """A fresh API key."""
    return "hr_" + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """What is stored of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys that are valid now: the bootstrap key from the settings, and those in PostgreSQL."""

    def __init__(self, engine: AsyncEngine, bootstrap_hash: str = "") -> None:
        self._engine = engine
        self._bootstrap_hash = bootstrap_hash
        self._remembered: dict[str, tuple[float, Principal | None]] = {}

    async def principal(self, key: str) -> Principal | None:
        """Who the key belongs to, or None when it is unknown or revoked."""
        digest = hash_key(key)
        if self._bootstrap_hash and hmac.compare_digest(digest, self._bootstrap_hash):
            return _BOOTSTRAP
        known = self._remembered.get(digest)
        if known is not None and known[0] > time.monotonic():
            return known[1]
        found = await self._look_up(digest)
        if len(self._remembered) > 10_000:
            self._remembered.clear()
        self._remembered[digest] = (time.monotonic() + REMEMBER_SECONDS, found)
        return found

    async def _look_up(self, digest: str) -> Principal | None:
        """The key with this hash in PostgreSQL, unless revoked."""
        query = sa.select(api_keys).where(api_keys.c.hash == digest, api_keys.c.revoked.is_(None))
        async with self._engine.connect() as connection:
            row = (await connection.execute(query)).first()
        return Principal(row.id, row.name, frozenset(row.scopes), row.person) if row else None


def presented_key(request: Request) -> str | None:
    """The key in ``Authorization: Bearer …`` or ``X-API-Key``."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return request.headers.get("x-api-key")


async def authorise(request: Request, *scopes: Scope) -> Principal:
    """The caller, if its key has one of ``scopes``; raises a 401 or 403 problem otherwise. Needs ``app.state.keys``."""
    key = presented_key(request)
    if key is None:
        raise Problem(401, "no API key", "Send it as 'Authorization: Bearer hr_…' or 'X-API-Key'.")
    keys: Keys = request.app.state.keys
    principal = await keys.principal(key)
    if principal is None:
        raise Problem(401, "unknown or revoked API key", "Ask an administrator for a valid key.")
    if not any(principal.may(scope) for scope in scopes):
        has = ", ".join(sorted(principal.scopes)) or "none"
        needs = " or ".join(scopes)
        detail = f"The route needs the scope {needs}; the key {principal.name!r} has {has}."
        raise Problem(403, "this key may not do that", detail)
    request.state.principal = principal
    return principal


def requires(
    *scopes: Scope, refused: Callable[[Problem], None] | None = None
) -> Callable[[Request], Awaitable[Principal]]:
    """A FastAPI dependency that lets in keys with one of ``scopes`` and gives the route its ``Principal``.

    ``refused`` is told of each 401 and 403: the route itself does not see who is not let in.
    """

    async def dependency(request: Request) -> Principal:
        try:
            return await authorise(request, *scopes)
        except Problem as error:
            if refused is not None:
                refused(error)
            raise

    dependency.scopes = scopes  # type: ignore[attr-defined]  # read by the test that walks all routes
    return dependency


class GuardedRoute(APIRoute):
    """A route that asks its guards before its body is read; FastAPI would read, and judge, a stranger's body first."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's own handler, behind the guards."""
        handle = super().get_route_handler()
        guards = [one.call for one in self.dependant.dependencies if hasattr(one.call, "scopes")]

        async def guarded(request: Request) -> Response:
            for guard in guards:
                await guard(request)  # type: ignore[misc]
            return await handle(request)

        return guarded
