"""The normaliser's shard, fed with batches as the stream runtime feeds it."""

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.domain.rates import Rates
from services.ingest.normalise.record import CONNECTION_HEADER
from shared.schemas import dead_letter, deal, report, signal
from shared.schemas.envelope import attribute
from shared.schemas.inbox import RECEIVED_HEADER, SOURCE_HEADER
from shared.streams.shards import Batch
from shared.topics import DEAD_LETTERS, DEALS, HISTORY, INBOX, REPORTS, SIGNALS
from tests.unit.ingest.system import NOW, TRACE, Lying, System, event, reported, topics


def test_a_change_goes_to_deals_and_history_in_one_flush() -> None:
    out = System().take(event(data={"stage": "open"}))
    assert topics(out) == [DEALS.name, HISTORY.name]
    assert {(one.partition, one.key) for one in out} == {(0, b"crm/42")}
    assert out[0].value == out[1].value
    assert attribute(out[0].headers, "id") == "crm/42@1"
    assert attribute(out[0].headers, "type") == "headroom.deal.v1"
    assert attribute(out[0].headers, "time") == "2026-04-01T12:00:00+00:00"
    assert attribute(out[0].headers, "traceparent") == TRACE.decode()


def test_several_changes_in_one_flush_are_one_deal_and_each_a_line_of_history() -> None:
    system = System()
    later = event(time="2026-04-02T12:00:00Z", data={"stage": "won"})
    assert topics(system.take(event(data={"stage": "open"}), later)) == [DEALS.name, HISTORY.name, HISTORY.name]
    assert (system.deal().stage, system.deal().version) == ("won", 2)


def test_nothing_new_writes_nothing() -> None:
    system = System()
    system.take(event(data={"stage": "open"}))
    assert system.take(event(data={"stage": "open"})) == []
    assert system.take() == []


def test_a_restored_shard_goes_on_where_the_former_one_was() -> None:
    system = System()
    system.take(event(data={"stage": "open"}))
    system.shard = system.fresh()
    assert system.take(event(data={"stage": "open"})) == []
    system.take(event(time="2026-04-02T12:00:00Z", data={"amount": 5}))
    assert (system.deal().stage, system.deal().amount, system.deal().version) == ("open", 5.0, 2)


def test_its_own_records_coming_back_do_not_undo_what_is_newer() -> None:
    system = System()
    first = system.take(event(data={"stage": "open"}))
    system.shard.apply(Batch(INBOX, 0, [event(time="2026-04-02T12:00:00Z", data={"stage": "won"})], 2))
    system.shard.apply(Batch(DEALS, 0, [Lying(0, first[0].key, first[0].value)], 1))
    assert deal.decode(system.shard.flush(NOW)[0].value or b"").stage == "won"


def test_an_unknown_stage_or_product_is_kept() -> None:
    system = System()
    system.take(event(data={"stage": "nobody knows it", "lines": [{"product": "neither this"}]}))
    assert (system.deal().stage, system.deal().lines[0].product) == ("nobody knows it", "neither this")
    assert system.on(DEAD_LETTERS) == []


def test_a_plan_fills_rates_also_of_deals_that_came_before_it() -> None:
    system = System()
    system.take(event(data={"currency": "EUR"}), event(subject="43", data={"currency": "USD"}))
    assert system.deal().rate is None
    system.rates = Rates("EUR")
    assert topics(system.take()) == [DEALS.name, HISTORY.name]
    assert (system.deal().rate, system.deal().version) == (1.0, 2)
    assert system.take() == []
    system.take(event(subject="44", data={"currency": "EUR"}))
    assert system.deal(b"crm/44").rate == 1.0


def test_a_report_goes_out_once_and_an_older_one_does_not_bury_it() -> None:
    system = System()
    out = system.take(reported(200, "2026-03-30T12:00:00Z"))
    assert topics(out) == [REPORTS.name, HISTORY.name]
    assert out[0].key == report.record_key(report.decode(out[0].value or b""))
    again, older = reported(200, "2026-03-30T12:00:00Z"), reported(300, "2026-03-29T12:00:00Z")
    assert system.take(again, older) == []
    # Another process wrote it: only the topic knows.
    system.reports.put(Lying(0, out[0].key, out[0].value))
    system.shard = system.fresh()
    assert system.take(older) == []
    assert topics(system.take(reported(100, "2026-03-31T12:00:00Z"))) == [REPORTS.name, HISTORY.name]


def test_a_signal_goes_out_under_its_id() -> None:
    system = System()
    data = {"kind": "tickets-opened", "value": 3}
    (out,) = system.take(event("com.headroom.signal.observed", None, data=data))
    assert (out.topic, out.partition, out.key) == (SIGNALS, 0, b"crm/e1")
    assert signal.decode(out.value or b"").value == 3.0


def test_poison_becomes_a_dead_letter_and_the_stream_goes_on() -> None:
    system = System()
    poison = event(data={"amount": "many"})
    out = system.take(poison, event(data={"stage": "open"}))
    assert sorted(topics(out)) == sorted([DEAD_LETTERS.name, DEALS.name, HISTORY.name])
    letter = dead_letter.decode(system.on(DEAD_LETTERS)[0].value or b"")
    assert (letter.topic, letter.partition, letter.offset) == (INBOX.name, 0, 0)
    assert (letter.reason, letter.value, letter.key) == ("wrong-shape", poison.value, b"crm/42")
    assert "amount" in letter.detail


def hubspot_said(at: datetime) -> Lying:
    element = {
        "portalId": 1,
        "objectId": 2,
        "occurredAt": int(at.timestamp() * 1000),
        "subscriptionType": "deal.creation",
    }
    headers = [(SOURCE_HEADER, b"hubspot"), (CONNECTION_HEADER, b"acme"), (RECEIVED_HEADER, NOW.isoformat().encode())]
    return Lying(0, b"hubspot-1/2", json.dumps(element).encode(), headers)


def told(type: str, data: dict[str, Any]) -> Callable[[datetime], Lying]:
    return lambda at: event(type, time=at.isoformat(), data=data)


@pytest.mark.parametrize(
    "said",
    [
        told("com.headroom.deal.changed", {"stage": "open"}),
        told("com.headroom.signal.observed", {"kind": "tickets", "value": 1}),
        told("com.headroom.capacity.reported", {"kind": "capacity", "pool": "p", "week": "2026-W20", "amount": 1}),
        hubspot_said,
    ],
    ids=["deal", "signal", "report", "hubspot"],
)
def test_who_is_more_than_a_day_ahead_is_not_believed(said: Callable[[datetime], Lying]) -> None:
    """He would outlive whatever is said after him: of a field the newest word counts, and signals age by the newest."""
    on_time, ahead = System().take(said(NOW + timedelta(hours=23))), System().take(said(NOW + timedelta(hours=25)))
    assert DEAD_LETTERS.name not in topics(on_time)
    assert len(on_time) > 0
    (letter,) = ahead
    assert dead_letter.decode(letter.value or b"").reason == "far-ahead"


def test_a_vendor_may_be_ahead_of_the_systems_clock_but_not_of_the_brokers() -> None:
    """The system's clock may be set to another time; the vendor's then still goes by the world's."""
    said = hubspot_said(NOW + timedelta(days=30))
    assert DEAD_LETTERS.name in topics(System().take(said))
    said.timestamp += 30 * 24 * 3600 * 1000
    assert DEAD_LETTERS.name not in topics(System().take(said))


def test_records_that_no_door_writes_are_dead_letters() -> None:
    element = b'{"portalId": 1, "objectId": 2, "occurredAt": 1775044800000, "subscriptionType": "deal.creation"}'
    good = event(data={"stage": "open"})
    records = {
        "malformed": Lying(0, b"crm/42", None),
        "unknown-type": Lying(0, b"crm/42", b"{}", [(SOURCE_HEADER, b"carrier pigeon")]),
        "unknown-connection": Lying(0, b"hubspot-1/2", element, [(SOURCE_HEADER, b"hubspot")]),
        "wrong-key": Lying(0, b"crm/43", good.value, good.headers),
    }
    for reason, record in records.items():
        system = System()
        (out,) = system.take(record)
        assert dead_letter.decode(out.value or b"").reason == reason


def test_a_deal_in_the_wrong_partition_is_a_dead_letter() -> None:
    """Two shards would own it: the inbox was written with another partitioner or number of partitions."""
    elsewhere = next(n for n in range(100) if (murmur2(f"crm/{n}".encode()) & 0x7FFFFFFF) % 2 == 1)
    system = System(partitions=2)
    (out,) = system.take(event(subject=str(elsewhere), data={"stage": "open"}))
    assert dead_letter.decode(out.value or b"").reason == "wrong-key"


_NAMES = st.sampled_from(
    [SOURCE_HEADER, RECEIVED_HEADER, CONNECTION_HEADER, "content-type", "ce_id", "ce_type", "ce_time"]
)
_HEADERS = st.lists(
    st.tuples(
        _NAMES,
        st.binary(max_size=8)
        | st.sampled_from([b"cloudevents", b"hubspot", b"acme", b"application/cloudevents+json", b"1.0"]),
    ),
    max_size=6,
)


@given(st.none() | st.binary(max_size=20), st.none() | st.binary(max_size=60), _HEADERS)
def test_no_record_stops_the_stream(key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes]]) -> None:
    out = System().take(Lying(0, key, value, headers))
    assert [dead_letter.decode(one.value or b"").value for one in out] == [value or b""]


@given(st.permutations(range(6)), st.integers(0, 5))
def test_a_crash_and_a_replay_from_anywhere_end_in_the_same_deal(order: list[int], crash: int) -> None:
    said = [event(time=f"2026-03-2{day + 1}T12:00:00Z", data={"amount": day, "stage": "open"}) for day in range(6)]
    plain, crashed = System(), System()
    plain.take(*said)
    crashed.take(*(said[n] for n in order[: crash + 1]))
    crashed.shard = crashed.fresh()
    crashed.take(*(said[n] for n in order))
    assert crashed.deal().amount == plain.deal().amount == 5.0
    assert crashed.deal().fields == plain.deal().fields
    assert crashed.on(DEAD_LETTERS) == []
