"""The CloudEvents envelope on Kafka: the binary binding, attributes in ``ce_*`` headers, JSON data in the value."""

from datetime import datetime

from shared.schemas.trace import ARRIVED_HEADER, HAPPENED_HEADER, TRACEPARENT_HEADER

Headers = list[tuple[str, bytes]]

SPECVERSION = b"1.0"
JSON = b"application/json"


def headers(
    event_type: str,
    event_id: str,
    source: str,
    time: datetime | None = None,
    traceparent: bytes | None = None,
    arrived: int = 0,
    happened: int = 0,
) -> Headers:
    """Kafka headers of one event of ``event_type`` (``headroom.deal.v1``), unique by ``source`` and ``event_id``.

    ``traceparent``, ``arrived`` (ms of wall time, 0: unknown) and ``happened`` (ms of the system's clock, 0: unknown)
    are what ``shared.schemas.trace`` says of them.
    """
    made: Headers = [
        ("ce_specversion", SPECVERSION),
        ("ce_type", event_type.encode()),
        ("ce_id", event_id.encode()),
        ("ce_source", source.encode()),
        ("content-type", JSON),
    ]
    if time is not None:
        made.append(("ce_time", time.isoformat().encode()))
    if arrived:
        made.append((ARRIVED_HEADER, str(arrived).encode()))
    if happened:
        made.append((HAPPENED_HEADER, str(happened).encode()))
    if traceparent:
        made.append((TRACEPARENT_HEADER, traceparent))
    return made


def attribute(headers: object, name: str) -> str | None:
    """The CloudEvents attribute ``name`` from Kafka headers (pairs of name and bytes), or None."""
    wanted = "ce_" + name
    for key, value in headers:  # type: ignore[attr-defined]
        if key == wanted:
            return str(value, "utf-8", "replace")
    return None
