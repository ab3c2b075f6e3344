"""HubSpot's elements: which deal they belong to and what they say of it."""

import json
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from services.ingest.domain.change import DealChange, Ignored, Unusable
from services.ingest.domain.merge import merge
from services.ingest.normalise import hubspot
from services.ingest.normalise.hubspot import Connection, Property
from shared.schemas.deal import Deal, Line, Stamp

PAYLOADS = Path(__file__).parents[3].parent / "shared" / "data" / "payloads"
AT = 1_782_371_971_992
KEY = b"hubspot-77/5"
BERLIN = Connection(
    "acme",
    ZoneInfo("Europe/Berlin"),
    stages={"1f4f": "commit"},
    properties={
        "tier__c": Property("product", {"T1": "enterprise"}),
        "seats": Property("quantity"),
        "is_custom": Property("custom"),
        "kickoff": Property("engaged", zone="utc"),
    },
    mapping=3,
)


def element(kind: str = "deal.propertyChange", **more: Any) -> dict[str, Any]:
    base = {"eventId": 1, "subscriptionId": 2, "portalId": 77, "appId": 3, "occurredAt": AT, "attemptNumber": 0}
    return {**base, "subscriptionType": kind, "objectId": 5, **more}


def changed(name: str, value: Any) -> dict[str, Any]:
    return element(propertyName=name, propertyValue=value)


def read(said: dict[str, Any], key: bytes = KEY, connection: Connection = BERLIN) -> DealChange | Ignored:
    return hubspot.read(json.dumps(said).encode(), key, connection)


def values(said: dict[str, Any], connection: Connection = BERLIN) -> dict[str, Any]:
    change = read(said, connection=connection)
    assert isinstance(change, DealChange)
    assert (change.deal_id, change.stamp) == ("hubspot-77/5", Stamp(AT, 0, connection.mapping))
    return change.values


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("dealname", "Acme", {"name": "Acme"}),
        ("dealstage", "1f4f", {"stage": "commit"}),
        ("dealstage", "nobody-mapped-it", {"stage": "nobody-mapped-it"}),
        ("amount", "2000", {"amount": 2000.0}),
        ("amount", 2000, {"amount": 2000.0}),
        ("amount", "", {"amount": None}),
        ("amount", None, {"amount": None}),
        ("deal_currency_code", "eur", {"currency": "EUR"}),
        ("hubspot_owner_id", "123", {"owner": "123"}),
        ("hs_deal_stage_probability", "0.2", {"probability": 0.2}),
        ("dealtype", "existingbusiness", {"type": "expansion"}),
        ("tier__c", "T1", {"product": "enterprise"}),
        ("tier__c", "T2", {"product": "T2"}),
        ("seats", "40", {"quantity": 40.0}),
        ("is_custom", "true", {"custom": True}),
        ("is_custom", False, {"custom": False}),
        # 22:30 UTC is the next day in Berlin in summer, 23:30 UTC in winter.
        ("closedate", "1782858600000", {"close": date(2026, 7, 1)}),
        ("closedate", "2026-06-30T22:30:00Z", {"close": date(2026, 7, 1)}),
        ("closedate", "2026-12-31T23:30:00.000Z", {"close": date(2027, 1, 1)}),
        ("closedate", "2026-06-30", {"close": date(2026, 6, 30)}),
        ("kickoff", "2026-06-30T22:30:00Z", {"engaged": date(2026, 6, 30)}),
    ],
)
def test_a_property_becomes_a_field(name: str, value: Any, said: dict[str, Any]) -> None:
    assert values(changed(name, value)) == said


def test_the_close_date_is_the_portals() -> None:
    new_york = Connection("us", ZoneInfo("America/New_York"))
    assert values(changed("closedate", "1782788400000"), new_york) == {"close": date(2026, 6, 29)}
    assert values(changed("closedate", "1782788400000")) == {"close": date(2026, 6, 30)}


def test_creation_deletion_and_restore() -> None:
    assert values(element("deal.creation")) == {"deleted": False, "engaged": date(2026, 6, 25)}
    assert values(element("deal.deletion")) == {"deleted": True}
    assert values(element("deal.restore")) == {"deleted": False}


def test_generic_subscriptions_say_the_same() -> None:
    for verb in ("creation", "deletion", "restore"):
        assert values(element(f"object.{verb}", objectTypeId="0-3")) == values(element(f"deal.{verb}"))
    generic = element("object.propertyChange", objectTypeId="0-3", propertyName="amount", propertyValue="1")
    assert values(generic) == {"amount": 1.0}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (element("contact.creation"), "not-a-deal"),
        (element("object.creation", objectTypeId="0-1"), "not-a-deal"),
        (element("deal.associationChange", fromObjectId=5, toObjectId=6), "association"),
        (changed("hs_lastmodifieddate", "1"), "unmapped-property"),
    ],
)
def test_what_says_nothing_of_use_is_counted(said: dict[str, Any], reason: str) -> None:
    assert read(said) == Ignored(reason)  # type: ignore[arg-type]


def test_a_merge_deletes_the_merged_and_keeps_the_one_that_remains() -> None:
    said = element("deal.merge", objectId=9, primaryObjectId=5, mergedObjectIds=[6, 7], newObjectId=9)
    keys = hubspot.keys(json.dumps(said).encode(), "acme")
    assert keys == [b"hubspot-77/9", b"hubspot-77/5", b"hubspot-77/6", b"hubspot-77/7"]
    found = {key: read(said, key) for key in keys}
    deleted = {key: change.values["deleted"] for key, change in found.items() if isinstance(change, DealChange)}
    assert deleted == {b"hubspot-77/9": False, b"hubspot-77/5": True, b"hubspot-77/6": True, b"hubspot-77/7": True}


def test_keys_are_the_deal_ids() -> None:
    assert hubspot.keys(json.dumps(element()).encode(), "acme") == [KEY]
    assert hubspot.keys(json.dumps(element("contact.creation")).encode(), "acme") == [b"hubspot-77/other:5"]
    assert hubspot.keys(json.dumps(element("object.creation", objectTypeId="0-1")).encode(), "a") == [
        b"hubspot-77/0-1:5"
    ]


@pytest.mark.parametrize("poison", [b"", b"{", b"null", b"[]", b'{"portalId": "77"}', b"\xff", b"[" * 100_000])
def test_what_cannot_be_read_goes_under_the_connection(poison: bytes) -> None:
    assert hubspot.keys(poison, "acme") == [b"hubspot-acme"]
    with pytest.raises(Unusable) as refused:
        hubspot.read(poison, b"hubspot-acme", BERLIN)
    assert refused.value.reason in ("malformed", "wrong-shape")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (element("deal.frobnicate"), "unknown-type"),
        (element("nonsense"), "unknown-type"),
        (element(propertyValue="1"), "wrong-shape"),
        (changed("amount", "1,234.50"), "wrong-shape"),
        (changed("amount", "1e300"), "wrong-shape"),
        (changed("amount", "nan"), "wrong-shape"),
        (changed("amount", "inf"), "wrong-shape"),
        (changed("amount", {"a": 1}), "wrong-shape"),
        (changed("closedate", "soon"), "wrong-shape"),
        (changed("closedate", "999999999999999"), "wrong-shape"),
        (changed("closedate", "-62135596800001"), "wrong-shape"),
        (changed("dealname", "a\r\nBcc: x@y"), "wrong-shape"),
        (changed("deal_currency_code", "EURO"), "wrong-shape"),
        (changed("hs_deal_stage_probability", "20"), "wrong-shape"),
        (changed("is_custom", "perhaps"), "wrong-shape"),
        (element(occurredAt=0), "wrong-shape"),
        (element(occurredAt=10**18), "wrong-shape"),
        (element(objectId=None), "wrong-shape"),
        (element(objectId=6), "wrong-key"),
        (element(portalId=78), "wrong-key"),
    ],
)
def test_poison_is_named(said: dict[str, Any], reason: str) -> None:
    with pytest.raises(Unusable) as refused:
        read(said)
    assert refused.value.reason == reason


def test_a_connection_serves_only_its_portals() -> None:
    with pytest.raises(Unusable) as refused:
        read(element("deal.creation"), connection=Connection("acme", ZoneInfo("UTC"), portals=frozenset({78})))
    assert refused.value.reason == "other-portal"


def test_the_captured_bodies() -> None:
    bodies = [PAYLOADS / f"hubspot-{number}.json" for number in (1, 2, 3)]
    if not all(body.exists() for body in bodies):
        pytest.skip("the customer's data (../shared) is not here")
    connection = Connection("acme", ZoneInfo("Europe/Berlin"), stages={"qualifiedtobuy": "qualified"})
    deals: dict[bytes, Deal] = {}
    for body in bodies:
        for part in msgspec.json.decode(body.read_bytes(), type=list[msgspec.Raw]):
            (key,) = hubspot.keys(bytes(part), "acme")
            change = hubspot.read(bytes(part), key, connection)
            assert isinstance(change, DealChange)
            deals[key] = merge(deals.get(key), change).deal or deals[key]
    first = deals[b"hubspot-48975575/332507367156"]
    assert (first.stage, first.amount, first.deleted, first.engaged) == ("qualified", 2000.0, True, date(2026, 6, 25))
    # The second body is later by its time than the third.
    assert deals[b"hubspot-5799819/697680835"].stage == "closedwon"


def test_what_a_connection_assumes_makes_the_line() -> None:
    one_product = Connection("acme", ZoneInfo("UTC"), defaults={"product": "enterprise", "quantity": "1"})
    change = hubspot.read(json.dumps(element("deal.creation")).encode(), KEY, one_product)
    assert isinstance(change, DealChange)
    deal = merge(None, change).deal
    assert deal is not None
    assert deal.lines == [Line(product="enterprise", quantity=1.0)]
