"""CloudEvents of Headroom's types: what is understood, and why what is not is not."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest

from services.ingest.domain.change import DealChange, Unusable
from services.ingest.normalise import cloudevents
from shared.schemas.deal import Line, Stamp
from shared.schemas.report import Report
from shared.schemas.signal import Signal

RECEIVED = datetime(2026, 4, 1, 12, tzinfo=UTC)
NOON_MS = int(RECEIVED.timestamp() * 1000)
DEAL = {
    "specversion": "1.0",
    "id": "e1",
    "source": "crm",
    "type": "com.headroom.deal.changed",
    "subject": "42",
    "time": "2026-04-01T12:00:00Z",
    "data": {"stage": "open"},
}
REPORT = DEAL | {
    "type": "com.headroom.capacity.reported",
    "subject": "r1",
    "data": {"kind": "capacity", "pool": "implementation", "week": "2026-W20", "amount": 250},
}
SIGNAL = DEAL | {"type": "com.headroom.signal.observed", "data": {"kind": "tickets-opened", "value": 3}}


def read(event: dict[str, Any]) -> DealChange | Report | Signal:
    return cloudevents.read(cloudevents.structured(json.dumps(event).encode()), RECEIVED)


def without(event: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != name}


def test_a_deal_says_only_what_is_in_its_data() -> None:
    said = read(DEAL | {"data": {"stage": None, "close": "2026-06-30", "amount": 10, "lines": [{"product": "tier"}]}})
    values = {"stage": None, "close": date(2026, 6, 30), "amount": 10.0, "lines": [Line(product="tier")]}
    assert said == DealChange("crm", "42", Stamp(NOON_MS), values)


def test_every_field_of_a_deal_can_be_said() -> None:
    data = {
        "deleted": False, "name": "Acme", "stage": "open", "close": "2026-06-30", "engaged": "2026-01-31",
        "amount": 1.5, "currency": "EUR", "rate": 1.1, "rate_date": "2026-03-31", "segment": "smb",
        "type": "renewal", "custom": True, "probability": 0.5, "owner": "o", "account": "a", "scale": {"seats": 10},
        "lines": [{"product": "tier", "quantity": 2, "amount": 1, "list_amount": 2, "arr": 1, "segment": "mid",
                   "custom": True, "type": "new", "probability": 1}],
    }  # fmt: skip
    said = read(DEAL | {"data": data})
    assert isinstance(said, DealChange)
    assert said.values.keys() == data.keys()
    assert said.values["lines"] == [Line("tier", 2.0, 1.0, 2.0, 1.0, "mid", True, "new", 1.0)]


@pytest.mark.parametrize(
    ("attributes", "stamp"),
    [
        ({}, Stamp(NOON_MS, 0)),
        ({"time": "2026-04-01T14:00:00.001+02:00"}, Stamp(NOON_MS + 1, 0)),
        ({"time": "2026-04-01T12:00:00.001002Z"}, Stamp(NOON_MS + 1, 2)),
        ({"sequence": "0000017"}, Stamp(NOON_MS, 17)),
        ({"sequence": 17, "time": "2026-04-01T12:00:00.001002Z"}, Stamp(NOON_MS + 1, 17)),
        ({"time": None}, Stamp(NOON_MS, 0)),
    ],
)
def test_the_stamp_is_the_time_and_the_sequence(attributes: dict[str, Any], stamp: Stamp) -> None:
    said = read(DEAL | attributes)
    assert isinstance(said, DealChange)
    assert said.stamp == stamp


def test_the_object_is_the_subject_or_named_in_the_data() -> None:
    named = read(without(DEAL, "subject") | {"data": {"object": "42", "stage": "open"}})
    assert isinstance(named, DealChange)
    assert named.deal_id == "crm/42"


def test_a_report_becomes_what_the_log_has_of_it() -> None:
    assert read(REPORT) == Report(
        kind="capacity",
        source="crm",
        object="r1",
        reporter="crm",
        stamp=Stamp(NOON_MS),
        pool="implementation",
        week="2026-W20",
        amount=250.0,
    )


def test_a_report_of_each_kind() -> None:
    base = {"pool": "p", "deal": "crm/1", "week": "2026-W53", "day": "2026-05-01", "amount": 1}
    for kind, needed in cloudevents.NEEDED_BY_KIND.items():
        data = {"kind": kind, **{name: base[name] for name in needed}}
        assert isinstance(read(REPORT | {"data": data}), Report)
        for name in needed:
            with pytest.raises(Unusable, match="cannot be used") as refused:
                read(REPORT | {"data": without(data, name)})
            assert name in refused.value.why
            if name != "pool":
                assert isinstance(
                    read(REPORT | {"data": {**without(data, name), "pool": "p", "withdrawn": True}}), Report
                )


def test_a_signal_has_an_id_that_no_other_source_has() -> None:
    said = read(SIGNAL)
    assert said == Signal(id="crm/e1", source="crm", kind="tickets-opened", time=RECEIVED, value=3.0)


@pytest.mark.parametrize(
    ("event", "reason", "why"),
    [
        (without(DEAL, "id"), "wrong-shape", "id"),
        (without(DEAL, "source"), "wrong-shape", "source"),
        (without(DEAL, "type"), "wrong-shape", "type"),
        (without(DEAL, "data"), "wrong-shape", "no data"),
        (without(DEAL, "subject"), "wrong-shape", "subject"),
        (DEAL | {"specversion": "0.3"}, "wrong-shape", "specversion"),
        (DEAL | {"id": ""}, "wrong-shape", "id"),
        (DEAL | {"id": 7}, "wrong-shape", "id"),
        (DEAL | {"source": "a\r\nb"}, "wrong-shape", "source"),
        (DEAL | {"source": "x" * 201}, "wrong-shape", "source"),
        (DEAL | {"type": "com.example.someevent"}, "unknown-type", "com.headroom.deal.changed"),
        (DEAL | {"time": "yesterday"}, "wrong-shape", "time"),
        (DEAL | {"time": "2026-04-01T12:00:00"}, "wrong-shape", "time"),
        (DEAL | {"time": "20260-04-01T12:00:00Z"}, "wrong-shape", "time"),
        (DEAL | {"time": "1066-04-01T12:00:00Z"}, "wrong-shape", "1990"),
        (DEAL | {"sequence": "-1"}, "wrong-shape", "sequence"),
        (DEAL | {"sequence": "9" * 19}, "wrong-shape", "sequence"),
        (DEAL | {"datacontenttype": "text/xml"}, "wrong-shape", "text/xml"),
        (DEAL | {"data": []}, "wrong-shape", "a list"),
        (DEAL | {"data": None}, "wrong-shape", "null"),
        (DEAL | {"data": {"object": "43", "stage": "open"}}, "wrong-shape", "two objects"),
        (DEAL | {"data": {"stagee": "open"}}, "wrong-shape", "stagee"),
        (DEAL | {"data": {"stage": 1}}, "wrong-shape", "stage"),
        (DEAL | {"data": {"name": "a\r\nBcc: x@y"}}, "wrong-shape", "name"),
        (DEAL | {"data": {"name": "a\u0000"}}, "wrong-shape", "name"),
        (DEAL | {"data": {"amount": "10"}}, "wrong-shape", "amount"),
        (DEAL | {"data": {"amount": True}}, "wrong-shape", "amount"),
        (DEAL | {"data": {"amount": 1e14}}, "wrong-shape", "amount"),
        (DEAL | {"data": {"probability": 1.2}}, "wrong-shape", "probability"),
        (DEAL | {"data": {"rate": 0}}, "wrong-shape", "rate"),
        (DEAL | {"data": {"currency": "euro"}}, "wrong-shape", "currency"),
        (DEAL | {"data": {"currency": "EUR\n"}}, "wrong-shape", "currency"),
        (DEAL | {"data": {"type": "upsell"}}, "wrong-shape", "type"),
        (DEAL | {"data": {"close": "30.06.2026"}}, "wrong-shape", "close"),
        (DEAL | {"data": {"close": "2206-06-30"}}, "wrong-shape", "2206"),
        (DEAL | {"data": {"lines": [{"quantity": 1}]}}, "wrong-shape", "product"),
        (DEAL | {"data": {"lines": [{"product": "a", "quantity": -1}]}}, "wrong-shape", "lines[0].quantity"),
        (DEAL | {"data": {"scale": {"seats": "many"}}}, "wrong-shape", "scale"),
        (DEAL | {"data": {"scale": {str(n): n for n in range(101)}}}, "wrong-shape", "scale"),
        (DEAL | {"data": {"lines": [{"product": "a"}] * 1001}}, "wrong-shape", "lines"),
        (DEAL | {"data_base64": "e30="}, "wrong-shape", "both"),
        (without(DEAL, "data") | {"data_base64": "{}"}, "malformed", "base64"),
        (without(DEAL, "data") | {"data_base64": "eyJhIjoxLCJhIjoyfQ=="}, "malformed", "twice"),
        (REPORT | {"data": {"kind": "mood", "pool": "p"}}, "wrong-shape", "kind"),
        (REPORT | {"data": {"kind": "capacity", "withdrawn": True}}, "wrong-shape", "pool or a deal"),
        (REPORT | {"data": REPORT["data"] | {"week": "2026-W54"}}, "wrong-shape", "2026-W54"),
        (REPORT | {"data": REPORT["data"] | {"week": "2026-W7"}}, "wrong-shape", "2026-W7"),
        (REPORT | {"data": REPORT["data"] | {"week": "soon"}}, "wrong-shape", "soon"),
        (SIGNAL | {"data": {}}, "wrong-shape", "kind"),
        (SIGNAL | {"data": {"kind": "x", "period_days": -1}}, "wrong-shape", "period_days"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(event: dict[str, Any], reason: str, why: str) -> None:
    with pytest.raises(Unusable) as refused:
        read(event)
    assert refused.value.reason == reason
    assert why in refused.value.why


def test_data_may_come_in_base64() -> None:
    said = read(without(DEAL, "data") | {"data_base64": "eyJzdGFnZSI6ICJvcGVuIn0="})
    assert isinstance(said, DealChange)
    assert said.values == {"stage": "open"}


def test_unknown_attributes_are_left_alone() -> None:
    assert read(DEAL | {"partitionkey": "x", "unsetextension": None, "dataschema": "https://example.com"}) == read(DEAL)


def test_the_binary_mode_says_the_same() -> None:
    attributes = {name: value for name, value in DEAL.items() if isinstance(value, str)}
    envelope = cloudevents.binary(attributes | {"datacontenttype": "application/json"}, b'{"stage": "open"}')
    assert cloudevents.read(envelope, RECEIVED) == read(DEAL)
    with pytest.raises(Unusable):
        cloudevents.binary(without(attributes, "id"), b"{}")
    with pytest.raises(Unusable):
        cloudevents.binary(attributes, b'{"stage": NaN}')


def test_keys_follow_the_object() -> None:
    def key(event: dict[str, Any]) -> bytes:
        envelope = cloudevents.structured(json.dumps(event).encode())
        return cloudevents.key(envelope, cloudevents.read(envelope, RECEIVED))

    assert (key(DEAL), key(REPORT), key(SIGNAL)) == (b"crm/42", b"crm/r1", b"crm/42")
    assert key(without(SIGNAL, "subject")) == b"crm/e1"
