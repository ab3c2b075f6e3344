"""The trace context that is carried on, after the W3C test suite's cases."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from shared.schemas.envelope import headers
from shared.schemas.trace import (
    LOOK,
    NOWHERE,
    Passage,
    happened_in,
    passage_in,
    passage_of,
    traceparent,
    traces_of,
)

VECTORS = Path(__file__).parents[3].parent / "shared" / "data" / "vectors" / "traceparent.json"
GOOD = "00-12345678901234567890123456789012-1234567890123456-01"


OTHER = "00-abcdefabcdefabcdefabcdefabcdefab-abcdefabcdefabcd-00"


@dataclass
class Counted:
    """A record that counts how often its headers are looked at."""

    made: Sequence[tuple[str, bytes]] = ()
    looked: int = 0

    @property
    def headers(self) -> Sequence[tuple[str, bytes]]:
        self.looked += 1
        return self.made


def record(trace: str | None = None, arrived: int = 0) -> Counted:
    return Counted(headers("t", "1", "s", None, trace.encode() if trace else None, arrived))


def test_a_valid_header_is_carried_on() -> None:
    assert traceparent([GOOD]) == GOOD.encode()
    assert traceparent([f"\t {GOOD} "]) == GOOD.encode()


@pytest.mark.parametrize("values", [[], [GOOD, GOOD], [""], ["00-" + "0" * 32 + "-1234567890123456-01"]])
def test_anything_else_begins_a_new_trace(values: list[str]) -> None:
    assert traceparent(values) is None


def test_the_published_vectors() -> None:
    if not VECTORS.exists():
        pytest.skip("the customer's data (../shared) is not here")
    vectors = json.loads(VECTORS.read_text())
    for carried in vectors["continue"]:
        value = carried.removesuffix(" (random flag)")
        assert traceparent([value]) == value.strip().encode(), carried
    for dropped in vectors["restart_new_trace"]:
        values = [GOOD, GOOD] if dropped == "two traceparent headers" else [dropped]
        assert traceparent(values) is None, dropped


def test_what_a_record_carries_is_read_as_it_was_written() -> None:
    assert passage_in(record(GOOD, 1_700_000_000_000).headers) == Passage(GOOD.encode(), 1_700_000_000_000)
    assert passage_in(record().headers) == NOWHERE
    assert passage_in([("headroom_arrived", b"soon")]) == NOWHERE


@pytest.mark.parametrize(
    ("said", "happened"), [("0", 0), ("1700000000000", 1_700_000_000_000), ("9" * 40, 0), ("?", 0)]
)
def test_a_moment_that_none_can_be_is_not_known(said: str, happened: int) -> None:
    assert happened_in([("headroom_happened", said.encode())]) == happened
    assert passage_in([("headroom_arrived", said.encode())]).arrived == happened


def test_when_it_happened_is_read_as_it_was_written() -> None:
    assert happened_in(headers("t", "1", "s", happened=1_700_000_000_000)) == 1_700_000_000_000
    assert happened_in(headers("t", "1", "s", arrived=1_700_000_000_000)) == 0


def test_a_batch_carries_the_newest_trace_and_the_oldest_arrival() -> None:
    batch = [record(GOOD, 10), record(OTHER, 20), record(None, 30)]
    assert passage_of(batch) == Passage(OTHER.encode(), 10)
    assert traces_of(batch) == [OTHER.encode(), GOOD.encode()]
    assert passage_of([]) == NOWHERE


def test_batches_join_to_the_newest_trace_and_the_oldest_arrival() -> None:
    first, second = Passage(GOOD.encode(), 10), Passage(OTHER.encode(), 20)
    assert first.then(second) == Passage(OTHER.encode(), 10)
    assert second.then(Passage(None, 5)) == Passage(OTHER.encode(), 5)
    assert NOWHERE.then(second) == second
    assert second.then(NOWHERE) == second


def test_a_large_batch_costs_no_more_than_a_small_one() -> None:
    """The fold passes 100,000 records a second through here; it must not look at each of them."""
    batch = [record() for _ in range(10_000)]
    passage_of(batch)
    assert sum(one.looked for one in batch) <= LOOK + 1
