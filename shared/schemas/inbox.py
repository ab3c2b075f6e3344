"""``inbox.v1``: one record per object that came in, its exact bytes as value, the request's headers as headers."""

DEAL, REPORT, SIGNAL = "deal", "report", "signal"

SOURCE_HEADER = "headroom_source"
"""Which adapter reads the record: ``cloudevents`` or the vendor's name."""

KIND_HEADER = "headroom_kind"
"""``deal``, ``report`` or ``signal``, where the door knows it."""

RECEIVED_HEADER = "headroom_received"
"""When the door accepted it, ISO 8601 in UTC by the system's clock."""

KEY_HEADER = "headroom_key"
"""The id of the key that the request came in with, as ``headroom keys list`` shows it; a signed request has none."""

REQUEST_PREFIX = "http_"
"""Before the request's own headers, kept for audit; those that carry secrets are left out."""
