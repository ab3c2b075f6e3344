"""HubSpot's deal webhooks: one element of an array, its keys for the inbox and what it says of a deal.

HubSpot sends no deals, only that one property changed, out of order, several times, often with one ``occurredAt`` for
everything a save touched: any event may be the first that is heard of a deal, so every event upserts. Identity is not
needed beyond the field, its time and its value, which is what the merge compares; ``eventId`` and ``attemptNumber``
say nothing. ``object.*`` subscriptions are the same with an ``objectTypeId``.

A merge concerns several deals, so it becomes one inbox record for each of them: those merged into another are deleted,
the one that remains is upserted; its properties follow as changes of their own. Changes of associations say nothing
that the model uses and are counted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal
from zoneinfo import ZoneInfo

import msgspec

from services.ingest.domain import shape
from services.ingest.domain.change import DealChange, Ignored, Unusable, deal_id
from services.ingest.domain.strict_json import readable
from services.ingest.domain.values import (
    FIRST_YEAR,
    LAST_YEAR,
    Currency,
    Money,
    Name,
    Quantity,
    Rate,
    Share,
    Text,
    checked_day,
)
from shared.schemas.deal import DealType, Stamp

DEALS = "0-3"
VERBS = ("creation", "propertyChange", "deletion", "restore", "merge", "associationChange", "privacyDeletion")


@dataclass(frozen=True, slots=True)
class Property:
    """Which field of a deal a property is, what its internal values are called here, and whose midnight a date is."""

    target: str
    values: Mapping[str, str] = field(default_factory=dict)
    zone: Literal["portal", "utc"] = "portal"


STANDARD: dict[str, Property] = {
    "dealname": Property("name"),
    "dealstage": Property("stage"),
    "amount": Property("amount"),
    "closedate": Property("close"),
    "deal_currency_code": Property("currency"),
    "hubspot_owner_id": Property("owner"),
    "hs_deal_stage_probability": Property("probability"),
    "dealtype": Property("type", {"newbusiness": "new", "existingbusiness": "expansion"}),
}
"""Properties every portal has; a connection adds its own and may map these otherwise."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How one HubSpot account is read. ``stages``: internal id → stage of the plan; unmapped ids stay as they are.

    ``portals``: the accounts it serves, empty for any. ``mapping``: raise it with every change of the mapping, so that
    events sent again are read anew. ``defaults``: fields assumed of every deal until told otherwise.
    """

    name: str
    zone: ZoneInfo
    stages: Mapping[str, str] = field(default_factory=dict)
    properties: Mapping[str, Property] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    portals: frozenset[int] = frozenset()
    mapping: int = 1

    def property(self, name: str) -> Property | None:
        return self.properties.get(name) or STANDARD.get(name)


class Element(msgspec.Struct, frozen=True, rename="camel"):
    """One event of a webhook's array, as far as it is used."""

    portal_id: int
    subscription_type: str
    occurred_at: int
    object_id: int | None = None
    object_type_id: str | None = None
    property_name: str | None = None
    property_value: str | int | float | bool | None = None
    primary_object_id: int | None = None
    new_object_id: int | None = None
    merged_object_ids: list[int] = []
    from_object_id: int | None = None

    @property
    def concerned(self) -> int | None:
        """The object spoken of; in a merge the one that remains."""
        candidates = (self.new_object_id, self.primary_object_id, self.object_id, self.from_object_id)
        ordered = candidates if self.verb == "merge" else (self.object_id, *candidates)
        return next((one for one in ordered if one is not None), None)

    @property
    def verb(self) -> str:
        return self.subscription_type.partition(".")[2]

    @property
    def is_deal(self) -> bool:
        kind = self.subscription_type.partition(".")[0]
        return self.object_type_id == DEALS if kind == "object" else kind == "deal"


_element = msgspec.json.Decoder(Element).decode


def keys(text: bytes, connection: str) -> list[bytes]:
    """The keys under which the door keeps an element: its deal's id, each deal's of a merge; what cannot be read goes
    under the connection's name, to become a dead letter in order."""
    try:
        element = _element(text)
    except (ValueError, RecursionError):
        return [f"hubspot-{connection}".encode()]
    objects = [element.concerned]
    if element.verb == "merge":
        objects += [element.primary_object_id, *element.merged_object_ids]
    named = dict.fromkeys(one for one in objects if one is not None)
    prefix = f"hubspot-{element.portal_id}/" + ("" if element.is_deal else f"{element.object_type_id or 'other'}:")
    return [f"{prefix}{one}".encode() for one in named] or [f"hubspot-{connection}".encode()]


def read(text: bytes, key: bytes | None, connection: Connection) -> DealChange | Ignored:
    """What an element says of the deal that the record's ``key`` names. Raises ``Unusable``."""
    element = _decoded(text)
    if element.verb not in VERBS:
        raise Unusable("unknown-type", f"the subscription type {element.subscription_type[:80]!r} is not known")
    if not element.is_deal:
        return Ignored("not-a-deal")
    if element.verb == "associationChange":
        return Ignored("association")
    if connection.portals and element.portal_id not in connection.portals:
        raise Unusable("other-portal", f"the connection {connection.name!r} does not serve portal {element.portal_id}")
    object_id = _object(element, key)
    values = _values(element, object_id, connection)
    if values is None:
        return Ignored("unmapped-property")
    stamp = Stamp(element.occurred_at, 0, connection.mapping)
    defaults = {name: _typed(name, value) for name, value in connection.defaults.items()}
    return DealChange(f"hubspot-{element.portal_id}", object_id, stamp, values, defaults)


def _decoded(text: bytes) -> Element:
    try:
        element = _element(text)
    except msgspec.ValidationError as error:
        raise Unusable("wrong-shape", shape.wrong(error, Element)) from error
    except (ValueError, RecursionError) as error:
        raise Unusable("malformed", readable(error)) from error
    first, last = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000 for year in (FIRST_YEAR, LAST_YEAR))
    if not first <= element.occurred_at < last:
        raise Unusable("wrong-shape", f"occurredAt {element.occurred_at} is not a time in milliseconds since 1970")
    return element


def _object(element: Element, key: bytes | None) -> str:
    """The object of the record: of an event with several, the one its key names."""
    concerned = {element.concerned}
    if element.verb == "merge":
        concerned |= {element.primary_object_id, *element.merged_object_ids}
    for one in concerned - {None}:
        if key == deal_id(f"hubspot-{element.portal_id}", str(one)).encode():
            return str(one)
    if concerned == {None}:
        raise Unusable("wrong-shape", "it names no object")
    raise Unusable("wrong-key", f"the record's key {key!r} is not the id of the deal it speaks of")


def _values(element: Element, object_id: str, connection: Connection) -> dict[str, Any] | None:
    """The fields an event says; None when it is about a property nobody mapped."""
    moment = datetime.fromtimestamp(element.occurred_at / 1000, connection.zone)
    match element.verb:
        case "creation":
            return {"deleted": False, "engaged": moment.date()}
        case "restore":
            return {"deleted": False}
        case "deletion" | "privacyDeletion":
            return {"deleted": True}
        case "merge":
            return {"deleted": object_id != str(element.concerned)}
    if element.property_name is None:
        raise Unusable("wrong-shape", "a propertyChange needs propertyName")
    mapped = connection.property(element.property_name)
    if mapped is None:
        return None
    value = _text(element.property_value)
    if value is None:
        return {mapped.target: None}
    value = mapped.values.get(value, value)
    if mapped.target == "stage":
        value = connection.stages.get(value, value)
    zone = ZoneInfo("UTC") if mapped.zone == "utc" else connection.zone
    return {mapped.target: _typed(mapped.target, value, zone)}


def _text(value: str | int | float | bool | None) -> str | None:
    """HubSpot writes every value as text and an emptied property as none; other forms come from test tools."""
    if value is None or value == "":
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).strip() or None


_TYPES: dict[str, Any] = {
    "name": Text,
    "stage": Text,
    "segment": Text,
    "owner": Text,
    "account": Text,
    "product": Name,
    "type": DealType,
    "currency": Currency,
    "amount": Money,
    "list_amount": Money,
    "arr": Money,
    "quantity": Quantity,
    "rate": Rate,
    "probability": Share,
    "custom": bool,
}
_DATES = ("close", "engaged", "rate_date")
FIELDS = frozenset(_TYPES) | frozenset(_DATES)
"""Fields that a property can be mapped to."""


def check_default(name: str, text: str) -> None:
    """Raises ValueError when a connection cannot assume ``text`` for field ``name``."""
    if name not in FIELDS:
        raise ValueError(f"{name!r} is none of {', '.join(sorted(FIELDS))}")
    try:
        _typed(name, text)
    except Unusable as error:
        raise ValueError(error.why) from error


def _typed(name: str, text: str, zone: ZoneInfo | None = None) -> Any:
    """The value that a property's text is for field ``name``. Raises ``Unusable``."""
    if name in _DATES:
        return checked_day(_day(name, text, zone or ZoneInfo("UTC")), name)
    if name == "currency":
        text = text.upper()
    try:
        return msgspec.convert(text, _TYPES[name], strict=False)
    except msgspec.ValidationError as error:
        raise Unusable(
            "wrong-shape", f"{name} cannot be {text[:80]!r}: it must be {shape.words_for(_TYPES[name])}"
        ) from error


def _day(name: str, text: str, zone: ZoneInfo) -> date:
    """The day in ``zone`` of a time in milliseconds since 1970 or of an ISO time; a plain date is itself."""
    try:
        if re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
            return datetime.fromtimestamp(int(text) / 1000, zone).date()
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text, re.ASCII):
            return date.fromisoformat(text)
        return msgspec.convert(text, datetime, strict=False).astimezone(zone).date()
    except (ValueError, OverflowError, OSError) as error:
        raise Unusable("wrong-shape", f"{name} cannot be {text[:80]!r}: it is neither a time nor a day") from error
