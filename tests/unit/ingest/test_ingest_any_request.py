"""Whatever is sent, the door finds events or says what is wrong; nothing else comes out of it."""

import gzip
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from services.ingest.api import events, webhooks
from services.ingest.api.bodies import Limits, expanded
from services.ingest.normalise import cloudevents
from shared.problems import Problem

NOW = datetime(2026, 4, 1, tzinfo=UTC)
LIMITS = Limits(2**20, 2**16, 1.0, events=20, event=2**15)
EVENT = {
    "specversion": "1.0",
    "id": "e1",
    "source": "crm",
    "type": "com.headroom.deal.changed",
    "subject": "42",
    "time": "2026-04-01T12:00:00Z",
    "sequence": "1",
    "data": {"stage": "open", "close": "2026-06-30", "amount": 1, "lines": [{"product": "a", "quantity": 1}]},
}
_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=20)
_JSON = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
)
_TYPES = st.sampled_from([*cloudevents.TYPES, "com.example.other"])
_DATA_NAMES = st.sampled_from(["stage", "close", "lines", "kind", "week", "day", "value", "amount", "object", "note"])
_CONTENT_TYPES = st.sampled_from(
    [events.STRUCTURED, events.BATCH, events.JSON, "text/plain", "", ";", "a;charset", "application/json;charset=x"]
)


@st.composite
def broken_events(draw: st.DrawFn) -> Any:
    """An event of ours with some of it replaced, left out or added."""
    event: dict[str, Any] = EVENT | {"type": draw(_TYPES), "data": dict(EVENT["data"])}  # type: ignore[call-overload]
    for name in draw(st.lists(st.sampled_from(sorted(EVENT)), max_size=2)):
        event[name] = draw(_JSON)
    if isinstance(event["data"], dict):
        event["data"] = event["data"] | draw(st.dictionaries(_DATA_NAMES, _JSON, max_size=3))
    return event


_BODIES = (
    st.binary(max_size=100)
    | _JSON.map(lambda value: json.dumps(value).encode())
    | broken_events().map(lambda event: json.dumps(event).encode())
    | st.lists(broken_events(), max_size=3).map(lambda batch: json.dumps(batch).encode())
)
_HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [b"ce-id", b"ce-type", b"ce-source", b"ce-specversion", b"ce-subject", b"ce-time", b"ce-", b"x"]
        ),
        st.binary(max_size=10) | st.sampled_from([b"1.0", b"%C3%28", b"com.headroom.deal.changed", b"crm", b"42"]),
    ),
    max_size=8,
)


@given(_CONTENT_TYPES, _BODIES, _HEADERS)
def test_events_or_a_problem(content_type: str, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    raw = [(b"content-type", content_type.encode()), *headers]
    request = Request({"type": "http", "method": "POST", "path": "/v1/events", "headers": raw})
    with suppress(Problem):
        taken = events._taken(request, body, NOW, LIMITS)
        records = [events._record(one, []) for one in taken]
        assert all(record.key and record.value for record in records)


@given(_BODIES | st.just(b"[" * 50_000))
def test_every_signed_body_is_kept_in_parts_that_make_it_up(body: bytes) -> None:
    parts = webhooks._parts(body)
    records = [record for part in parts for record in webhooks._records(part, "acme", [])]
    assert len(records) >= len(parts)
    assert all(record.key.startswith(b"hubspot-") for record in records)
    assert all(part in body for part in parts)


@given(st.binary(max_size=200), st.sampled_from(["", "gzip", "x-gzip", "identity", "br", "gzip, gzip"]))
def test_any_encoding_is_expanded_or_refused(body: bytes, encoding: str) -> None:
    with suppress(Problem):
        assert len(expanded(body, encoding, LIMITS)) <= LIMITS.expanded


def test_a_body_is_not_taken_apart_into_thousands_of_members() -> None:
    assert expanded(gzip.compress(b"a") * 64, "gzip", LIMITS) == b"a" * 64
    with pytest.raises(Problem) as refused:
        expanded(gzip.compress(b"") * 65, "gzip", LIMITS)
    assert refused.value.status == 400
