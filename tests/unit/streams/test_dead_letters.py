"""Dead letters keep what came, and stop the process when too much of our own is broken."""

import pytest
from aiokafka.structs import ConsumerRecord
from hypothesis import given
from hypothesis import strategies as st

from shared.schemas import dead_letter as schema
from shared.schemas.envelope import attribute
from shared.streams.dead_letters import BrokenLimit, TooManyBroken, dead_letter
from shared.streams.shards import Batch
from shared.topics import DEAD_LETTERS, Topic

TOPIC = Topic("inbox.v1", "", "", "delete")


def record(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...] = (), offset: int = 5
) -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("t.inbox.v1", 3, offset, 1, 0, key, value, None, -1, -1, headers)


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.binary())).map(tuple),
)
def test_the_original_comes_back_byte_for_byte(
    key: bytes | None, value: bytes | None, headers: tuple[tuple[str, bytes], ...]
) -> None:
    broken = record(key, value, headers)
    out = dead_letter(Batch(TOPIC, 3, [broken], 6), broken, "malformed-json", "at byte 7")
    assert (out.topic, out.partition, out.key) == (DEAD_LETTERS, 0, key)
    assert out.value is not None
    letter = schema.decode(out.value)
    assert (letter.topic, letter.partition, letter.offset) == ("inbox.v1", 3, 5)
    assert (letter.reason, letter.detail, letter.attempts) == ("malformed-json", "at byte 7", 1)
    assert (letter.key, letter.value, letter.headers) == (key, value or b"", list(headers))


def test_a_record_that_was_put_back_counts_on() -> None:
    for before, attempts in ((b"1", 2), (b"41", 42), (b"", 1), (b"-3", 1), (b"many", 1), (b"9" * 40, 1)):
        broken = record(b"k", b"v", ((schema.ATTEMPTS_HEADER, before),))
        out = dead_letter(Batch(TOPIC, 3, [broken], 6), broken, "reason")
        assert schema.decode(out.value or b"").attempts == attempts


def test_the_same_record_has_the_same_event_id() -> None:
    broken = record(b"k", b"v")
    batch = Batch(TOPIC, 3, [broken], 6)
    ids = {attribute(dead_letter(batch, broken, "reason").headers, "id") for _ in range(2)}
    assert ids == {"inbox.v1/3/5"}


def read(limit: BrokenLimit, records: str, start: int = 0) -> None:
    """One letter a record, ``x`` a broken one; spaces are what compaction has left out."""
    batch = Batch(TOPIC, 3, [], 0)
    for offset, letter in enumerate(records, start):
        if letter == "x":
            limit.broken(batch, record(b"k", b"v", offset=offset), "reason")


@pytest.mark.parametrize(
    ("records", "stops"),
    [
        ("x", False),
        ("xxx", False),
        ("xxxx", True),
        ("." * 100 + "xxxx", False),
        ("." * 100 + "x" * 12, True),
        ("x." * 2 + "." * 10, False),
        ("xxx" + "." * 1000 + "xxx" + "." * 1000 + "xxx", False),
        ("xxx" + " " * 1000 + "xxx" + " " * 1000 + "xxx", False),
        ("xxx" + " " * 10 + "x", True),
    ],
)
def test_the_limit(records: str, stops: bool) -> None:
    """Three are allowed anyway; beyond that a tenth of the last hundred."""
    limit = BrokenLimit(ratio=0.1, allowed=3, window=100)
    if stops:
        with pytest.raises(TooManyBroken, match=r"inbox\.v1"):
            read(limit, records)
    else:
        read(limit, records)


def test_whoever_is_stopped_is_told_that_a_corrected_version_is_not_enough() -> None:
    with pytest.raises(TooManyBroken, match=r"until they are taken out: docs/runbooks/HeadroomRestarting\.md"):
        read(BrokenLimit(), "x" * 11)


@given(st.text("x.", max_size=300))
def test_the_limit_agrees_with_counting_anew(records: str) -> None:
    def stops_at() -> int | None:
        for end in range(1, len(records) + 1):
            last = records[max(0, end - 20) : end]
            broken = last.count("x")
            if records[end - 1] == "x" and broken > 2 and broken > 0.25 * len(last):
                return end
        return None

    limit = BrokenLimit(ratio=0.25, allowed=2, window=20)
    stopped = None
    for end, letter in enumerate(records, 1):
        try:
            read(limit, letter, end - 1)
        except TooManyBroken:
            stopped = end
            break
    assert stopped == stops_at()
