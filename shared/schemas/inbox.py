"""``inbox.v1``: one record per object that came in — the exact bytes of its part, the request's headers as Kafka headers."""

import msgspec

DEAL, REPORT, SIGNAL = "deal", "report", "signal"

SOURCE_HEADER = "headroom_source"
"""Which adapter reads the record: ``cloudevents`` or the vendor's name."""

KIND_HEADER = "headroom_kind"
"""``deal``, ``report`` or ``signal``, where the door knows it."""

RECEIVED_HEADER = "headroom_received"
"""When the door accepted it, ISO 8601 in UTC by the system's clock."""


class InboxHeaders(msgspec.Struct, frozen=True):
    """The headers the door puts on a record; the request's own are kept beside them, prefixed ``http_``, secrets left out."""

    source: str
    kind: str
    received: str
