"""CloudEvents 1.0 of Headroom's own types: changes of deals, capacity reports, signals.

The door reads an event with the same functions before it accepts it, so a sender learns of a slip at once and what
reaches the normaliser is good unless the two run different versions.
"""

import base64
import binascii
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from services.ingest.domain import shape, strict_json
from services.ingest.domain.change import DealChange, Unusable
from services.ingest.domain.decoding import Decoder
from services.ingest.domain.values import (
    Currency,
    Days,
    Figure,
    Instant,
    Money,
    Name,
    Note,
    Quantity,
    Rate,
    Share,
    Text,
    checked_day,
    checked_moment,
    checked_week,
)
from shared.schemas import trace
from shared.schemas.deal import DealType, Line, Stamp
from shared.schemas.report import Kind, Report
from shared.schemas.signal import Signal

DEAL_CHANGED = "com.headroom.deal.changed"
CAPACITY_REPORTED = "com.headroom.capacity.reported"
SIGNAL_OBSERVED = "com.headroom.signal.observed"
TYPES = (DEAL_CHANGED, CAPACITY_REPORTED, SIGNAL_OBSERVED)

ATTRIBUTES = ("specversion", "id", "source", "type", "subject", "time", "datacontenttype", "sequence", "traceparent")

DAYS = ("close", "engaged", "rate_date")
"""The days among the fields of a deal."""

_MISSING = msgspec.Raw(b"")

T = TypeVar("T")


class Envelope(msgspec.Struct, frozen=True):
    """The attributes of one event; attributes that are not named here are allowed and left alone.

    ``sequence`` (an extension) orders events of one source and time; ``traceparent`` carries a trace.
    """

    specversion: Literal["1.0"]
    id: Name
    source: Name
    type: Name
    subject: Name | None = None
    time: Instant | None = None
    datacontenttype: str | None = None
    sequence: str | int | None = None
    traceparent: str | None = None
    data: msgspec.Raw = _MISSING
    data_base64: str | None = None


class LineData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line as it may be sent; what is left out is not known."""

    product: Name
    quantity: Quantity | None = None
    amount: Money | None = None
    list_amount: Money | None = None
    arr: Money | None = None
    segment: Text | None = None
    custom: bool | None = None
    type: DealType | None = None
    probability: Share | None = None


# A deal stays one Kafka record, whatever its figures grow to when they are written again.
Lines = Annotated[list[LineData], msgspec.Meta(max_length=1000)]
Scale = Annotated[dict[Name, Figure], msgspec.Meta(max_length=100)]


class DealData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fields of a deal that changed; null clears one. ``object`` names the deal where there is no subject."""

    object: Name | None = None
    deleted: bool | UnsetType = UNSET
    name: Text | UnsetType | None = UNSET
    stage: Text | UnsetType | None = UNSET
    close: date | UnsetType | None = UNSET
    engaged: date | UnsetType | None = UNSET
    amount: Money | UnsetType | None = UNSET
    currency: Currency | UnsetType | None = UNSET
    rate: Rate | UnsetType | None = UNSET
    rate_date: date | UnsetType | None = UNSET
    segment: Text | UnsetType | None = UNSET
    type: DealType | UnsetType | None = UNSET
    custom: bool | UnsetType | None = UNSET
    probability: Share | UnsetType | None = UNSET
    owner: Text | UnsetType | None = UNSET
    account: Text | UnsetType | None = UNSET
    scale: Scale | UnsetType | None = UNSET
    lines: Lines | UnsetType | None = UNSET


class ReportData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statement of an owner, as ``shared.schemas.report`` explains the kinds."""

    kind: Kind
    object: Name | None = None
    reporter: Name | None = None
    pool: Name | None = None
    deal: Name | None = None
    week: str | None = None
    day: date | None = None
    amount: Figure | None = None
    note: Note | None = None
    confirms: Name | None = None
    withdrawn: bool = False


class SignalData(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One observation."""

    kind: Name
    value: Figure = 1.0
    pool: Name | None = None
    deal: Name | None = None
    segment: Text | None = None
    period_days: Days = 0.0
    note: Note | None = None


NEEDED_BY_KIND: dict[str, tuple[str, ...]] = {
    "capacity": ("pool", "week", "amount"),
    "backlog": ("pool", "week", "amount"),
    "absence": ("pool", "week", "amount"),
    "hire": ("pool", "day", "amount"),
    "delivery-start": ("deal", "day"),
    "remaining-effort": ("deal", "pool", "amount"),
}

_envelope = Decoder(Envelope)
_deal = Decoder(DealData)
_report = Decoder(ReportData)
_signal = Decoder(SignalData)


def structured(text: bytes) -> Envelope:
    """The event in ``text``, attributes and data together. Raises ``Unusable``."""
    strict_json.check(text)
    return _decoded(_envelope, text, root="")


def binary(attributes: Mapping[str, str], data: bytes) -> Envelope:
    """The event whose attributes came beside its data. Raises ``Unusable``."""
    known = {name: value for name, value in attributes.items() if name in ATTRIBUTES}
    try:
        envelope = msgspec.convert(known, Envelope, strict=True)
    except msgspec.ValidationError as error:
        raise Unusable("wrong-shape", shape.wrong(error, Envelope)) from error
    strict_json.check(data)
    return msgspec.structs.replace(envelope, data=msgspec.Raw(data))


def read(envelope: Envelope, received: datetime) -> DealChange | Report | Signal:
    """What the event says; ``received`` is its time when it brings none. Raises ``Unusable``."""
    if envelope.type not in TYPES:
        raise Unusable("unknown-type", f"the type {envelope.type!r} is none of {', '.join(TYPES)}")
    data = _data(envelope)
    time = checked_moment(envelope.time or received, "time")
    if envelope.type == DEAL_CHANGED:
        return _deal_change(envelope, _decoded(_deal, data), time)
    if envelope.type == CAPACITY_REPORTED:
        return _capacity_report(envelope, _decoded(_report, data), time)
    return _observed(envelope, _decoded(_signal, data), time)


def key(envelope: Envelope, said: DealChange | Report | Signal) -> bytes:
    """The key of the event's inbox record: the deal's id, the reporting object, or the signal's subject."""
    if isinstance(said, Signal):
        return f"{envelope.source}/{envelope.subject or envelope.id}".encode()
    return said.deal_id.encode() if isinstance(said, DealChange) else f"{said.source}/{said.object}".encode()


def trace_of(envelope: Envelope) -> bytes | None:
    """The trace that the event itself carries."""
    return trace.traceparent([envelope.traceparent]) if envelope.traceparent else None


def _data(envelope: Envelope) -> bytes:
    content_type = (envelope.datacontenttype or "application/json").split(";")[0].strip().lower()
    if content_type != "application/json" and not content_type.endswith("+json"):
        raise Unusable("wrong-shape", f"datacontenttype is {content_type!r}; the data of these types is JSON")
    data = bytes(envelope.data)
    if envelope.data_base64 is not None:
        if data:
            raise Unusable("wrong-shape", "it has both data and data_base64")
        try:
            data = base64.b64decode(envelope.data_base64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise Unusable("malformed", f"data_base64 is not base64: {error}") from error
        strict_json.check(data)
    if not data:
        raise Unusable("wrong-shape", "it has no data")
    return data


def _deal_change(envelope: Envelope, data: DealData, time: datetime) -> DealChange:
    # Fields that were not said are left out.
    values: dict[str, Any] = msgspec.to_builtins(data, builtin_types=(date,))
    values.pop("object", None)
    for name in DAYS:
        if name in values:
            checked_day(values[name], f"data.{name}")
    if values.get("lines"):
        values["lines"] = [Line(**line) for line in values["lines"]]
    return DealChange(envelope.source, _object(envelope, data.object), _stamp(envelope, time), values)


def _capacity_report(envelope: Envelope, data: ReportData, time: datetime) -> Report:
    missing = [name for name in NEEDED_BY_KIND[data.kind] if getattr(data, name) is None]
    if missing and not data.withdrawn:
        raise Unusable("wrong-shape", f"a report of {data.kind} needs {', '.join('data.' + name for name in missing)}")
    if data.pool is None and data.deal is None:
        raise Unusable("wrong-shape", "a report is about a pool or a deal: data.pool or data.deal")
    if data.week is not None:
        checked_week(data.week, "data.week")
    return Report(
        kind=data.kind,
        source=envelope.source,
        object=_object(envelope, data.object),
        reporter=data.reporter or envelope.source,
        stamp=_stamp(envelope, time),
        pool=data.pool,
        deal=data.deal,
        week=data.week,
        day=checked_day(data.day, "data.day"),
        amount=data.amount,
        note=data.note,
        confirms=data.confirms,
        withdrawn=data.withdrawn,
    )


def _observed(envelope: Envelope, data: SignalData, time: datetime) -> Signal:
    return Signal(
        id=f"{envelope.source}/{envelope.id}",
        source=envelope.source,
        kind=data.kind,
        time=time,
        value=data.value,
        pool=data.pool,
        deal=data.deal,
        segment=data.segment,
        period_days=data.period_days,
        note=data.note,
    )


def _object(envelope: Envelope, named: str | None) -> str:
    if envelope.subject and named and envelope.subject != named:
        raise Unusable("wrong-shape", f"subject {envelope.subject!r} and data.object {named!r} are two objects")
    found = envelope.subject or named
    if not found:
        raise Unusable("wrong-shape", "the subject (or data.object) must name the object that is spoken of")
    return found


def _stamp(envelope: Envelope, time: datetime) -> Stamp:
    """Milliseconds, then the source's sequence; without one, the microseconds that the milliseconds leave."""
    milliseconds, rest = divmod(time.microsecond, 1000)
    at = int(time.timestamp()) * 1000 + milliseconds
    if envelope.sequence is None:
        return Stamp(at, rest)
    text = str(envelope.sequence)
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Unusable("wrong-shape", f"sequence {text!r} is not a whole number from 0 on")
    return Stamp(at, int(text))


def _decoded(decoder: Decoder[T], text: bytes, root: str = "data") -> T:
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        raise Unusable("wrong-shape", shape.wrong(error, decoder.type, root)) from error
    except (ValueError, RecursionError) as error:
        raise Unusable("malformed", strict_json.readable(error)) from error
