"""A request's body, read no further than its limit and expanded no further than the other."""

import asyncio
import zlib
from dataclasses import dataclass

from starlette.requests import Request

from shared.problems import Problem

_CLOSE = {"Connection": "close"}
_GZIP = 16 + zlib.MAX_WBITS
_MEMBERS = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes of a body as sent and once expanded, seconds to send it, events of one request, bytes of one event.

    One event stays so small that its dead letter, a third longer, still fits into one Kafka record.
    """

    body: int
    expanded: int
    seconds: float
    events: int = 1000
    event: int = 640 * 1024


async def raw_body(request: Request, limits: Limits) -> bytes:
    """The bytes as they were sent. Raises a 413 problem beyond the limit, 408 when they do not come."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > limits.body:
        raise _too_large(f"The body has {announced} bytes; {limits.body} are allowed.")
    read = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            more = True
            while more:
                # Not request.stream(), which ends each message in a generator of its own.
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "the body is incomplete", "The connection ended before it.")
                read += message.get("body", b"")
                more = message.get("more_body", False)
                if len(read) > limits.body:
                    raise _too_large(f"The body has more than {limits.body} bytes.")
    except TimeoutError as error:
        detail = f"It was not there after {limits.seconds:g} s."
        raise Problem(408, "the body did not come", detail, headers=_CLOSE) from error
    return bytes(read)


def expanded(body: bytes, encoding: str, limits: Limits) -> bytes:
    """``body`` as it was before the Content-Encoding ``encoding``. Raises a 413, 415 or 400 problem."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return body
    if encoding not in ("gzip", "x-gzip"):
        detail = f"Content-Encoding is {encoding[:40]!r}; gzip or none is understood."
        raise Problem(415, "the body's encoding is not understood", detail, headers={"Accept-Encoding": "gzip"})
    out = bytearray()
    rest, members = body, 0
    try:
        while rest:
            members += 1
            if members > _MEMBERS:  # each is found by copying all that follow it
                raise Problem(400, "the body has too many gzip members", f"Send it in {_MEMBERS} at the most.")
            unzip = zlib.decompressobj(_GZIP)
            out += unzip.decompress(rest, limits.expanded + 1 - len(out))
            if len(out) > limits.expanded:
                raise _too_large(f"The body expands to more than {limits.expanded} bytes.")
            if not unzip.eof:
                raise Problem(400, "the body is not gzip", "It ends in the middle.")
            rest = unzip.unused_data
    except zlib.error as error:
        raise Problem(400, "the body is not gzip", str(error)) from error
    return bytes(out)


def check_events(sizes: list[int], limits: Limits) -> None:
    """Raises a 413 problem when there are too many events or one is too large."""
    if len(sizes) > limits.events:
        raise _too_large(f"The request has {len(sizes)} events; {limits.events} are allowed.")
    large = [index for index, size in enumerate(sizes) if size > limits.event]
    if large:
        raise _too_large(f"Event {large[0]} has {sizes[large[0]]} bytes; {limits.event} are allowed for one event.")


def _too_large(detail: str) -> Problem:
    return Problem(413, "the request is too large", detail, headers=_CLOSE)
