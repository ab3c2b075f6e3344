"""What travels with an event beside its data: its trace (W3C ``traceparent``) and when the door took it in.

On a recalibration also when what brought it about happened, by its source. All are Kafka headers, so what is on the log
before them and after them reads the same. Where many changes become one record (a mark, a frame) it carries the **trace
of the newest** of them and the **arrival of the oldest**: the one says where to look on, the other is what a latency
must be measured from. So of changes that share a flush one trace goes on to the webhook and the others end at the flush
that took them in.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

TRACEPARENT_HEADER = "ce_traceparent"
"""The attribute ``traceparent`` of CloudEvents' distributed tracing extension."""

ARRIVED_HEADER = "headroom_arrived"
"""Wall time of the event's record in the inbox, in milliseconds; wall time also where the system's clock is virtual."""

HAPPENED_HEADER = "headroom_happened"
"""The source's own time of the newest deal, in ms of the system's clock, on what came of the first frame with it."""

LOOK = 32
"""Records of a batch that are looked at for a trace, newest first: a number that does not grow with the batch."""

_DIGITS = 14
"""Of milliseconds: more would be a moment that is no datetime any more."""

_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")


class Carrier(Protocol):
    """Anything with Kafka headers."""

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]: ...


@dataclass(frozen=True, slots=True)
class Passage:
    """The trace that is carried on, None: none; and when the oldest change arrived, in ms of wall time, 0: unknown."""

    trace: bytes | None = None
    arrived: int = 0

    def then(self, later: "Passage") -> "Passage":
        """Of two parts of one record: the trace of the newer, the arrival of the older."""
        if self is NOWHERE:
            return later
        known = [arrived for arrived in (self.arrived, later.arrived) if arrived]
        return Passage(later.trace or self.trace, min(known, default=0))


NOWHERE = Passage()
"""Of what no event brought about."""


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


def trace_in(headers: Sequence[tuple[str, bytes]]) -> bytes | None:
    """The trace in Kafka headers; the first counts."""
    return next((value for name, value in headers if name == TRACEPARENT_HEADER), None)


def passage_in(headers: Sequence[tuple[str, bytes]]) -> Passage:
    """What the headers of one record carry."""
    return Passage(trace_in(headers), _milliseconds(headers, ARRIVED_HEADER))


def happened_in(headers: Sequence[tuple[str, bytes]]) -> int:
    """The source's own time that the headers of one record carry, 0: none."""
    return _milliseconds(headers, HAPPENED_HEADER)


def _milliseconds(headers: Sequence[tuple[str, bytes]], name: str) -> int:
    """The moment under ``name``; 0 when there is none, or none that a clock of ours will ever show."""
    said = next((value for key, value in headers if key == name), b"")
    return int(said) if said.isdigit() and len(said) <= _DIGITS else 0


def passage_of(records: Sequence[Carrier]) -> Passage:
    """What a batch carries on: the arrival of its first record and the newest trace among its last ``LOOK``."""
    if not records:
        return NOWHERE
    traces = (trace_in(record.headers) for record in reversed(records[-LOOK:]))
    return Passage(next((trace for trace in traces if trace), None), passage_in(records[0].headers).arrived)


def traces_of(records: Sequence[Carrier]) -> list[bytes]:
    """The different traces among the last ``LOOK`` records, newest first."""
    traces = (trace_in(record.headers) for record in reversed(records[-LOOK:]))
    return list(dict.fromkeys(trace for trace in traces if trace))
