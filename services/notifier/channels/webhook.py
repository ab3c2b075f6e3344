"""The webhook channel: one signed POST to one URL, through a guard that no URL and no name server can talk around.

Every name is resolved here, all its addresses are ruled on, and the connection is made to exactly those; the socket
itself is made only for an address that may be dialled. Redirects are not followed. No proxy, no cookies, no connection
kept for later, so each attempt is ruled on anew.
"""

import asyncio
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from ipaddress import ip_address
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from services.notifier.domain.egress import Network, rule_on, rule_on_answers, rule_on_url
from services.notifier.domain.schedule import Answer
from services.notifier.domain.signing import Secret, signed_headers

ANSWER_BYTES = 64 * 1024
"""How much of an answer is read."""

SHOWN_BYTES = 1024
"""How much of an answer is kept in the log."""

RESOLVERS = 64
USER_AGENT = "Headroom-Notifier/1"


class Refused(OSError):
    """The address may not be dialled."""


class GuardedResolver(AbstractResolver):
    """Resolves with the system's resolver and lets an answer through only if every address in it may be dialled."""

    def __init__(self, exempt: Sequence[Network]) -> None:
        self._exempt = exempt
        # Looking up is blocking. Threads of its own, so that slow name servers do not hold up anything else.
        self._threads = ThreadPoolExecutor(RESOLVERS, "resolver")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of ``host``; raises ``Refused`` or the lookup's own error."""
        found = await asyncio.get_running_loop().run_in_executor(
            self._threads, lambda: socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        )
        ruling = rule_on_answers([ip_address(str(info[4][0]).partition("%")[0]) for info in found], self._exempt)
        if not ruling.allowed:
            raise Refused(ruling.reason)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=port,
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Give the threads back; lookups under way are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Webhook:
    """Sends messages to URLs. Use as an async context manager."""

    def __init__(self, *, exempt: Sequence[Network], timeout: float, connections: int) -> None:
        self._exempt, self._timeout, self._connections = exempt, timeout, connections
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> "Webhook":
        connector = aiohttp.TCPConnector(
            resolver=GuardedResolver(self._exempt),
            use_dns_cache=False,
            socket_factory=self._socket,
            force_close=True,
            limit=self._connections,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._timeout),
            # A small answer can be a large one once unpacked; what is kept of it is only for a person to look at.
            auto_decompress=False,
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self, url: str, event: str, body: str, active: Sequence[Secret], now: datetime, trace: bytes | None = None
    ) -> tuple[Answer, float, str]:
        """POST ``body`` to ``url``, signed at ``now``: the answer, how many seconds it took, and its first bytes.

        ``trace`` goes along as the header ``traceparent``, so that the receiver can carry it on.
        Never raises for what the receiver or the network does; that is an answer too.
        """
        started = monotonic()
        ruling = rule_on_url(url, self._exempt)
        if not ruling.allowed:
            return Answer(None, failure=f"not dialled: {ruling.reason}"), 0.0, ""
        headers = signed_headers(event, body, active, now)
        if trace is not None:
            headers["traceparent"] = trace.decode()
        try:
            answer, text = await self._post(url, headers, body)
        except TimeoutError:
            answer, text = Answer(None, failure=f"no full answer within {self._timeout:g} s"), ""
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # ValueError: what aiohttp makes of some malformed answers.
            answer, text = Answer(None, failure=_named(error)), ""
        return answer, monotonic() - started, text

    async def _post(self, url: str, headers: dict[str, str], body: str) -> tuple[Answer, str]:
        assert self._session is not None, "Webhook is used outside its context"
        async with self._session.post(url, data=body.encode(), headers=headers, allow_redirects=False) as response:
            read = await _first_bytes(response.content)
            answer = Answer(response.status, response.headers.get("Retry-After"))
        return answer, _shown(read)

    def _socket(self, info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for an address that may be dialled; the last gate, whatever came before it."""
        family, kind, protocol, _, address = info
        ruling = rule_on(ip_address(str(address[0]).partition("%")[0]), self._exempt)
        if not ruling.allowed:
            raise Refused(ruling.reason)
        return socket.socket(family, kind, protocol)


async def _first_bytes(content: aiohttp.StreamReader) -> bytes:
    """At most ``ANSWER_BYTES`` of an answer; the rest is left unread and its connection closed."""
    parts = bytearray()
    while len(parts) < ANSWER_BYTES:
        part = await content.read(ANSWER_BYTES - len(parts))
        if not part:
            break
        parts += part
    return bytes(parts)


def _shown(read: bytes) -> str:
    """The first bytes of an answer as text that a database and a terminal can take."""
    text = read[:SHOWN_BYTES].decode("utf-8", "replace")
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)


def _named(error: Exception) -> str:
    """What went wrong on the way, in words for the log."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, Refused):
            return f"not dialled: {cause}"
        cause = cause.__cause__ or getattr(cause, "os_error", None)
    return f"{type(error).__name__}: {error}"[:500]
