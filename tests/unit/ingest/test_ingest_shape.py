"""A sender is told which field is wrong, where it is and what may stand there, never the decoder's words."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.change import Unusable
from services.ingest.domain.shape import words_for, wrong
from services.ingest.normalise import cloudevents, hubspot
from services.ingest.normalise.cloudevents import DealData, Envelope, ReportData, SignalData

DEAL_TYPES = "one of expansion, new, renewal"


def said_of(type: Any, value: Any, root: str = "data") -> str:
    with pytest.raises(msgspec.ValidationError) as raised:
        msgspec.json.decode(json.dumps(value).encode(), type=type)
    return wrong(raised.value, type, root)


MONEY = "from -10,000,000,000,000 up to 10,000,000,000,000"
LINE = "product, quantity, amount, list_amount, arr, segment, custom, type, probability"


@pytest.mark.parametrize(
    ("type", "value", "expected"),
    [
        (DealData, {"lines": [{"quantity": 1}]}, "data.lines[0] lacks product: text of 1 to 200 characters"),
        (DealData, {"lines": [{"product": "a", "qty": 1}]}, f"data.lines[0] has 'qty', which is none of {LINE}"),
        (DealData, {"lines": [{"product": "a"}, {"product": 3}]}, "data.lines[1].product must be text of 1 to 200"),
        (DealData, {"probability": 3}, "data.probability must be a number from 0 up to 1 or null"),
        (DealData, {"probability": "high"}, "data.probability must be a number from 0 up to 1 or null, not text"),
        (DealData, {"close": "soon"}, "data.close must be a day such as 2026-04-01 or null"),
        (DealData, {"currency": "eu"}, "data.currency must be a code such as EUR or null"),
        (DealData, {"scale": {"seats": "many"}}, f"data.scale[...] must be a number {MONEY}, not text"),
        (DealData, {"scale": {"": 1}}, "a name in data.scale must be text of 1 to 200 characters"),
        (DealData, {"deleted": None}, "data.deleted must be true or false, not null"),
        (DealData, [], "data must be an object with object, deleted, name"),
        (ReportData, {"kind": "capcity"}, "data.kind must be one of absence, backlog, capacity"),
        (ReportData, {}, "data lacks kind: one of absence, backlog, capacity"),
        (SignalData, {"kind": "x", "value": None}, f"data.value must be a number {MONEY}, not null"),
    ],
)  # fmt: skip
def test_the_field_its_place_and_what_is_allowed(type: Any, value: Any, expected: str) -> None:
    assert said_of(type, value).startswith(expected)


def test_a_value_that_is_not_allowed_is_repeated() -> None:
    assert said_of(ReportData, {"kind": "capcity"}).endswith(", not 'capcity'")


def test_attributes_of_the_event_are_named_without_a_root() -> None:
    event = {"specversion": "0.3", "id": "1", "source": "crm", "type": "t"}
    assert said_of(Envelope, event, "") == "specversion must be 1.0, not '0.3'"
    assert said_of(Envelope, {}, "").startswith("the event lacks specversion: 1.0")
    assert said_of(Envelope, 3, "").startswith("the event must be an object with specversion, id")


def test_a_batch_of_the_vendor_is_answered_in_its_names() -> None:
    with pytest.raises(Unusable) as raised:
        hubspot.read(b'{"portalId": 1, "subscriptionType": "deal.creation"}', None, None)  # type: ignore[arg-type]
    assert "lacks occurredAt: a whole number" in raised.value.why


def test_a_type_is_said_in_words() -> None:
    assert words_for(hubspot._TYPES["type"]) == DEAL_TYPES


NAMES = st.sampled_from([*(f.name for f in msgspec.structs.fields(DealData)), "product", "quantity", "x", "kind"])
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(value=ANY | st.dictionaries(NAMES, ANY, max_size=4), type=st.sampled_from([DealData, ReportData, SignalData]))
def test_whatever_is_sent_the_answer_is_in_words(value: Any, type: Any) -> None:
    try:
        msgspec.json.decode(json.dumps(value).encode(), type=type)
    except msgspec.ValidationError as error:
        said = wrong(error, type, "data")
        assert "`" not in said
        assert "Expected" not in said
        assert said.startswith(("data", "a name in data"))


def test_the_door_says_it() -> None:
    event = {"specversion": "1.0", "id": "1", "source": "crm", "type": cloudevents.DEAL_CHANGED, "subject": "1"}
    body = json.dumps(event | {"data": {"lines": [{}]}}).encode()
    with pytest.raises(Unusable, match=r"data\.lines\[0\] lacks product"):
        cloudevents.read(cloudevents.structured(body), datetime.now(UTC))
