"""The normaliser's shard whose own topics hold records that cannot be read."""

from datetime import timedelta

import pytest

from services.ingest.agents import BROKEN, NormaliseShard
from services.ingest.domain.rates import Rates
from shared.schemas import dead_letter, deal
from shared.schemas.envelope import attribute
from shared.streams import metrics
from shared.streams.dead_letters import TooManyBroken
from shared.streams.shards import Outgoing
from shared.topics import DEAD_LETTERS, DEALS, HISTORY, REPORTS
from tests.unit.ingest.system import NOW, Lying, System, event, reported, topics

KEY = b"crm/42"
SCRAPS = [b"", b"\x00\xff", b"{", b"[]", b'{"id": "crm/42"}', b'"\xff"', b'{"time": 1, "stage": "open"}']


def holding(*values: bytes | None, key: bytes = KEY) -> System:
    """A system whose topic of deals holds ``values`` of one deal, and a shard that has just read it."""
    system = System()
    system.log += [Outgoing(DEALS, 0, key, value) for value in values]
    system.shard = system.fresh()
    return system


def good(version: int = 7) -> bytes:
    time = int((NOW + timedelta(days=9)).timestamp() * 1000)
    stamps = {"stage": deal.Stamp(time)}
    return deal.encode(
        deal.Deal(id="crm/42", source="crm", object="42", version=version, time=time, stage="won", fields=stamps)
    )


def letters(out: list[Outgoing]) -> list[dead_letter.DeadLetter]:
    return [dead_letter.decode(one.value or b"") for one in out if one.topic is DEAD_LETTERS]


def counted() -> float:
    return metrics.DEAD_LETTERS.labels(BROKEN)._value.get()


@pytest.mark.parametrize("scrap", SCRAPS)
def test_a_deal_that_cannot_be_read_begins_anew_with_the_next_change(scrap: bytes) -> None:
    system = holding(good(), scrap)
    before = counted()
    (letter,) = letters(system.take())
    assert (letter.topic, letter.partition, letter.offset) == (DEALS.name, 0, 1)
    assert (letter.reason, letter.key, letter.value) == ("broken-deals.v1", KEY, scrap)
    assert counted() == before  # a former owner may have counted it

    out = system.take(event(data={"stage": "open"}))
    assert sorted(topics(out)) == sorted([DEAD_LETTERS.name, DEALS.name, HISTORY.name])
    assert counted() == before + 1
    # Older than what was lost, and taken all the same: the stamps went with it.
    assert (system.deal().stage, list(system.deal().fields)) == ("open", ["stage"])

    assert system.take(event(data={"stage": "open"})) == []
    system.shard = system.fresh()
    assert system.take() == []
    assert counted() == before + 1


def test_the_version_goes_on_above_every_one_before() -> None:
    """Views keep the row with the highest, and history names each state by it."""
    system = holding(good(version=900_000), b"{}")
    system.take(event(data={"stage": "open"}), event(time="2026-04-02T12:00:00Z", data={"stage": "won"}))
    said = [deal.decode(one.value or b"").version for one in system.on(HISTORY)]
    assert said == [said[0], said[0] + 1]
    assert said[0] > 900_000
    assert attribute(system.on(HISTORY)[0].headers, "id") == f"crm/42@{said[0]}"

    system.log.append(Outgoing(DEALS, 0, KEY, b"{}"))
    system.shard = system.fresh()
    again = event(data={"stage": "open"})
    again.timestamp += 60_000
    system.take(again)
    assert system.deal().version > said[1]


def test_killed_before_the_commit_it_begins_anew_the_same_way() -> None:
    first, second = holding(b"{}"), holding(b"{}")
    lost = first.take(event(data={"stage": "open"}))  # never written
    out = second.take(event(data={"stage": "open"}))
    assert [(one.topic, one.key, one.value) for one in out] == [(one.topic, one.key, one.value) for one in lost]
    ids = {attribute(one.headers, "id") for one in out if one.topic is DEAD_LETTERS}
    assert ids == {"deals.v1/0/0"}


def test_a_good_record_or_a_tombstone_after_it_takes_it_out() -> None:
    for after in (good(), None):
        assert holding(b"{}", after).take() == []
    known = holding(b"{}", good())
    assert known.take(event(data={"stage": "open"})) == []
    taken_out = holding(b"{}", None)
    taken_out.take(event(data={"stage": "open"}))
    assert taken_out.deal().version == 1


def test_one_broken_deal_keeps_no_other_from_its_rate() -> None:
    system = holding(b'{"currency": "EUR"')
    system.take(event(subject="43", data={"currency": "EUR"}))
    system.rates = Rates("EUR")
    assert topics(system.take()) == [DEALS.name, HISTORY.name]
    assert (system.deal(b"crm/43").rate, system.deal(b"crm/43").version) == (1.0, 2)
    system.rates = Rates("USD", {"EUR": 1.1})
    system.shard = system.fresh()
    assert sorted(topics(system.take())) == sorted([DEAD_LETTERS.name, DEALS.name, HISTORY.name])
    assert system.deal(b"crm/43").rate == 1.1


def test_a_rate_that_came_while_nobody_ran_is_filled_after_a_restore() -> None:
    system = System()
    system.take(event(data={"currency": "EUR"}))
    system.rates = Rates("EUR")
    system.shard = system.fresh()
    assert topics(system.take()) == [DEALS.name, HISTORY.name]
    assert (system.deal().rate, system.deal().version) == (1.0, 2)
    assert system.take() == []


def test_too_many_end_it_before_any_deal_is_replaced() -> None:
    system = System()
    system.log += [Outgoing(DEALS, 0, f"crm/{number}".encode(), b"{}") for number in range(11)]
    with pytest.raises(TooManyBroken, match="11 of the last 11"):
        system.fresh()
    system.log += [Outgoing(DEALS, 0, b"crm/0", None)]
    shard: NormaliseShard = system.fresh()
    assert len(letters(list(shard.flush(NOW)))) == 10


@pytest.mark.parametrize("scrap", SCRAPS[:-1])
def test_a_report_that_cannot_be_read_is_as_none(scrap: bytes) -> None:
    system = System()
    (said, _) = system.take(reported(200, "2026-04-02T12:00:00Z"))
    system.reports.put(Lying(0, said.key, said.value))
    system.reports.put(Lying(1, said.key, scrap))
    system.shard = system.fresh()
    # Said again it is written again, though its stamp is that of before.
    again = system.take(reported(200, "2026-04-02T12:00:00Z"))
    assert topics(again) == [REPORTS.name, HISTORY.name]
    system.reports.put(Lying(2, again[0].key, again[0].value))
    system.shard = system.fresh()
    assert system.take(reported(300, "2026-04-01T12:00:00Z")) == []
