"""The trace context of a request (W3C ``traceparent``), passed on when it is valid and dropped when it is not."""

import re
from collections.abc import Sequence

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


def traceparent(values: Sequence[str]) -> bytes | None:
    """The one valid ``traceparent`` among a request's headers of that name; None begins a new trace."""
    if len(values) != 1:
        return None
    value = values[0].strip(" \t")
    found = _TRACEPARENT.fullmatch(value)
    # Version 00 is complete; later ones may say more after a dash.
    if found is None or (value.startswith("00") and found[1] is not None) or len(value) > 256:
        return None
    return value.encode("ascii", "replace")
