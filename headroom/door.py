"""The door as the command line reaches it: plans and events sent over HTTP, with patience and clear refusals.

A busy door (429, 502, 503, 504, or no connection) is asked again after what its ``Retry-After`` says, else after a wait
that doubles. Sending something twice is harmless: the door's readers drop what they know.
"""

import asyncio
import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec

from headroom.reasons import reason
from shared.errors import ConfigurationError, HeadroomError, NotReady

BATCH = "application/cloudevents-batch+json"
BUSY = frozenset({429, 502, 503, 504})
LONGEST_WAIT = 60.0
"""Seconds between two attempts, whatever ``Retry-After`` asks."""

Event = dict[str, Any]


class Refused(HeadroomError):
    """The door has understood and does not take it; ``status`` is the answer's."""

    def __init__(self, status: int, what: str, *, where: str, why: str = "", do: str = "") -> None:
        super().__init__(what, where=where, why=why, do=do)
        self.status = status

    @property
    def exit_code(self) -> int:
        """4 when the key may not do this, else 1."""
        return 4 if self.status in (401, 403) else 1


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a busy door is asked again: ``attempts`` in all, the first wait in seconds, doubled each time.

    ``tell`` hears why the door did not take something, before each wait.
    """

    attempts: int = 4
    first_wait: float = 0.5
    tell: Callable[[str], None] = lambda why: None

    def wait(self, attempt: int, retry_after: str | None) -> float:
        """Seconds until the next attempt after the ``attempt``-th (from 0) failed; never before ``Retry-After``."""
        asked = _seconds(retry_after)
        own = self.first_wait * 2**attempt * random.uniform(0.8, 1.2)
        return min(LONGEST_WAIT, own if asked is None else asked)


class Door:
    """A door at ``url``; to be entered, which opens its connections."""

    def __init__(self, url: str, key: str | None, patience: Patience = Patience()) -> None:
        self.url, self._key, self._patience = url.rstrip("/"), key, patience
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=60, sock_connect=10)
        self._session = aiohttp.ClientSession(headers=authorization(self._key), timeout=timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def put_plan(self, plan: str, text: str) -> dict[str, Any]:
        """Publish a plan file's text; returns the door's answer. Raises Refused, or NotReady when it stays busy."""
        answer = await self._ask("PUT", f"/v1/plans/{plan}", text.encode(), "application/yaml")
        return _object(answer)

    async def get(self, path: str) -> dict[str, Any]:
        """What the door answers at ``path``. Raises Refused, or NotReady when it stays busy."""
        return _object(await self._ask("GET", path, b"", "application/json"))

    async def post_events(self, events: Sequence[Event]) -> None:
        """Hand in CloudEvents in one request; they are durable on return. Raises Refused, or NotReady."""
        await self._ask("POST", "/v1/events", msgspec.json.encode(list(events)), BATCH)

    async def _ask(self, method: str, path: str, body: bytes, content_type: str) -> bytes:
        assert self._session is not None, "a door is entered before it is used"
        why, where, there = "", f"{self.url}{path}", True
        for attempt in range(self._patience.attempts):
            retry_after = None
            try:
                async with self._session.request(
                    method, where, data=body, headers={"Content-Type": content_type}, allow_redirects=False
                ) as response:
                    answer = await response.read()
                    if response.status < 300:
                        return answer
                    if response.status not in BUSY:
                        raise _refusal(response.status, where, answer)
                    retry_after, there = response.headers.get("Retry-After"), True
                    why = f"it answered {response.status} {_problem(answer)[1]}".rstrip()
            except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
                raise ConfigurationError(f"{self.url!r} is not an http address", do="Check --url.") from None
            except aiohttp.ClientConnectorError as error:
                there, why = False, reason(error)
            except (aiohttp.ClientError, TimeoutError) as error:
                why = reason(error)
            if attempt + 1 < self._patience.attempts:
                self._patience.tell(why)
                await asyncio.sleep(self._patience.wait(attempt, retry_after))
        if not there:
            do = "Start the system with `headroom up`, or name the address of one that runs by --url or HEADROOM_URL."
            raise NotReady("there is no door at this address", where=self.url, why=why, do=do)
        raise NotReady(
            "the door does not take anything now", where=where, why=why, do="Is the address right, and is it running?"
        )


def authorization(key: str | None) -> dict[str, str]:
    """The header that carries the key; what the ends of a line put around it (a file from Windows) is no part of it."""
    key = (key or "").strip()
    if not (key.isascii() and key.isprintable()):
        do = "Copy it anew into --key or HEADROOM_API_KEY."
        raise ConfigurationError("the API key has a character in it that no key has", do=do)
    return {"Authorization": f"Bearer {key}"} if key else {}


def _refusal(status: int, where: str, answer: bytes) -> Refused:
    title, detail = _problem(answer)
    if status in (401, 403):
        do = "Give a key with the needed scope by --key or HEADROOM_API_KEY."
        return Refused(status, title or "the key may not do this", where=where, why=detail, do=do)
    if status == 404:
        return Refused(status, "there is no door here", where=where, why=detail, do="Check --url.")
    return Refused(status, title or f"the door answered {status}", where=where, why=detail)


def _problem(answer: bytes) -> tuple[str, str]:
    """Title and detail of a problem answer, as far as it is one."""
    problem = _object(answer)
    return str(problem.get("title", "")), str(problem.get("detail", ""))


def _object(answer: bytes) -> dict[str, Any]:
    try:
        found = json.loads(answer)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _seconds(retry_after: str | None) -> float | None:
    """What ``Retry-After`` asks for: seconds, or a moment."""
    if retry_after is None:
        return None
    try:
        return max(0.0, float(retry_after))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(retry_after) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return None
