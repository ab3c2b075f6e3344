"""``signals.v1``: observed operations. Readers drop ids already seen."""

from datetime import datetime

import msgspec

TYPE = "headroom.signal.v1"


class Signal(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One observation: ``kind`` such as ``tickets-opened``, ``throughput-hours`` or ``churned-arr``.

    ``value`` is in the kind's own unit (a count is 1 by default); ``period_days`` is the time it covers, 0 for a
    moment.
    """

    id: str
    source: str
    kind: str
    time: datetime
    value: float = 1.0
    pool: str | None = None
    deal: str | None = None
    segment: str | None = None
    period_days: float = 0.0
    note: str | None = None


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Signal).decode
