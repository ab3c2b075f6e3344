"""One record of the inbox, whoever sent it, read into what ingest decides on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from services.ingest.domain.change import DealChange, Ignored, Unusable
from services.ingest.normalise import cloudevents, hubspot
from shared.schemas.inbox import RECEIVED_HEADER, SOURCE_HEADER
from shared.schemas.report import Report
from shared.schemas.signal import Signal

CLOUDEVENTS, HUBSPOT = "cloudevents", "hubspot"

CONNECTION_HEADER = "headroom_connection"
"""Under which name of the settings a vendor's request came in."""

STRUCTURED = "application/cloudevents+json"

AHEAD_MS = 24 * 3600 * 1000
"""How far a sender's clock may be ahead: a time that was written without its zone is."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """What reading needs to know of the senders."""

    hubspot: Mapping[str, hubspot.Connection]

    def read(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]], timestamp: int
    ) -> DealChange | Report | Signal | Ignored:
        """What a record says; ``timestamp`` (ms) is when the broker was given it. Raises ``Unusable``."""
        said = self._read(key, value, headers, timestamp)
        _refuse_far_ahead(said, headers, timestamp)
        return said

    def _read(
        self, key: bytes | None, value: bytes | None, headers: Sequence[tuple[str, bytes]], timestamp: int
    ) -> DealChange | Report | Signal | Ignored:
        named = {name: text.decode("utf-8", "replace") for name, text in headers}
        if value is None:
            raise Unusable("malformed", "the record is empty")
        match named.get(SOURCE_HEADER):
            case "cloudevents":
                received = received_at(headers) or datetime.fromtimestamp(timestamp / 1000, UTC)
                return _cloudevent(key, value, named, received)
            case "hubspot":
                name = named.get(CONNECTION_HEADER, "")
                if name not in self.hubspot:
                    raise Unusable("unknown-connection", f"no HubSpot connection is called {name!r} in the settings")
                return hubspot.read(value, key, self.hubspot[name])
            case other:
                raise Unusable("unknown-type", f"no adapter is called {other!r}")


def _refuse_far_ahead(
    said: DealChange | Report | Signal | Ignored, headers: Sequence[tuple[str, bytes]], timestamp: int
) -> None:
    """Raise ``Unusable`` for what is said of a time to come.

    The newest word counts, and signals are forgotten by the newest: one sender whose clock is ahead would silence all
    others until then. The system's own clock may be set otherwise than a vendor's, so the later of the two counts.
    """
    match said:
        case Ignored():
            return
        case Signal():
            at = int(said.time.timestamp() * 1000)
        case _:
            at = said.stamp.time
    if at <= timestamp + AHEAD_MS:
        return
    received = received_at(headers)
    if received is None or at > int(received.timestamp() * 1000) + AHEAD_MS:
        told = datetime.fromtimestamp(at / 1000, UTC).isoformat()
        raise Unusable("far-ahead", f"its time {told} is more than a day after it was received; is the clock right?")


def _cloudevent(
    key: bytes | None, value: bytes, headers: Mapping[str, str], received: datetime
) -> DealChange | Report | Signal:
    if headers.get("content-type", "").startswith(STRUCTURED):
        envelope = cloudevents.structured(value)
    else:
        attributes = {name[3:]: text for name, text in headers.items() if name.startswith("ce_")}
        envelope = cloudevents.binary(attributes | {"datacontenttype": headers.get("content-type", "")}, value)
    said = cloudevents.read(envelope, received)
    if cloudevents.key(envelope, said) != key:
        raise Unusable("wrong-key", f"the record's key {key!r} is not that of the object it speaks of")
    return said


def received_at(headers: Sequence[tuple[str, bytes]]) -> datetime | None:
    """When the door took the event in, in UTC; None for a record that was not written by a door."""
    for name, text in headers:
        if name == RECEIVED_HEADER:
            try:
                return datetime.fromisoformat(text.decode("ascii")).astimezone(UTC)
            except (ValueError, OverflowError):
                return None
    return None
