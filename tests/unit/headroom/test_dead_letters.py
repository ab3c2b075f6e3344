"""Which letters stand, which are put back, and what a record that was put back carries."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.dead_letters import _by_reason, _named
from headroom.letters import Entry, without_former
from headroom.redrive import choose, marked
from shared.errors import BadInput
from shared.schemas.dead_letter import ATTEMPTS_HEADER, REDRIVE_OF_HEADER, DeadLetter, attempts_before

BEGIN = datetime(2026, 3, 30, tzinfo=UTC)


def entry(place: int, *, former: str | None = None, attempts: int = 1, topic: str = "inbox.v1") -> Entry:
    return Entry(f"{topic}/0/{place}", topic, "malformed", "", attempts, BEGIN + timedelta(place), place, former)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=30))
def test_however_often_it_is_put_back_it_is_one_letter(which: list[int]) -> None:
    """Four records; each number is one more failure of that record."""
    last: dict[int, Entry] = {}
    written: list[Entry] = []
    for place, record in enumerate(which):
        former = last.get(record)
        last[record] = entry(
            place, former=former.id if former else None, attempts=1 if not former else former.attempts + 1
        )
        written.append(last[record])
    standing = without_former(written)
    assert standing == sorted(last.values(), key=lambda one: one.place)
    assert sum(one.attempts for one in standing) == len(which)


def test_a_letter_written_again_after_a_crash_is_one_letter() -> None:
    assert without_former([entry(1), entry(1)]) == [entry(1)]


def test_a_letter_written_again_by_a_restart_is_as_old_as_at_first() -> None:
    again = replace(entry(1), at=BEGIN + timedelta(30), place=9)
    assert without_former([entry(1), entry(2), again]) == [replace(again, at=entry(1).at), entry(2)]


def test_first_last_and_newest_go_by_when_letters_were_written_first() -> None:
    again = replace(entry(1), at=BEGIN + timedelta(30), place=9)
    (group,) = _by_reason(without_former([entry(1), entry(2), again]))
    assert (group["first"], group["last"]) == ("2026-03-31T00:00:00+00:00", "2026-04-01T00:00:00+00:00")
    assert group["newest"] == entry(2).id


def test_a_name_that_two_letters_have_means_both() -> None:
    old, new = replace(entry(1), sha256=b"old"), replace(entry(1), sha256=b"new", place=7, at=BEGIN + timedelta(7))
    assert _named([old, entry(2), new], [old.id]) == [old, new]
    assert _named([old, entry(2), new], [entry(2).id, old.id, entry(2).id]) == [entry(2), old, new]
    with pytest.raises(BadInput, match=r"inbox\.v1/0/3"):
        _named([old, new], [old.id, entry(3).id])


def test_a_name_given_again_by_a_topic_made_anew_is_another_letter() -> None:
    """Also when the former one was put back: what stands for it does not stand for the new one."""
    old, new = replace(entry(1), sha256=b"old"), replace(entry(1), sha256=b"new", place=7, at=BEGIN + timedelta(7))
    assert without_former([old, new]) == [old, new]
    failed_again = replace(entry(3, former=old.id, attempts=2), sha256=b"old")
    assert without_former([old, failed_again, new]) == [failed_again, new]
    assert without_former([old, failed_again, new, replace(old, place=8)]) == [failed_again, new]


@pytest.mark.parametrize("topic", ["deals.v1", "cells.v1", "reports.v1", "recalibrations.v1", "gone.v1"])
def test_only_topics_where_every_record_counts_are_written_to(topic: str) -> None:
    choice = choose([entry(0, topic=topic), entry(1)], limit=10, most_attempts=5)
    assert ([one.place for one in choice.back], [one.place for one, _ in choice.left]) == ([1], [0])


def test_limits_are_said() -> None:
    choice = choose([entry(0, attempts=5), entry(1), entry(2)], limit=1, most_attempts=5)
    assert [one.place for one in choice.back] == [1]
    assert [why.split(";")[0] for _, why in choice.left] == ["it was tried 5 times", "only 1 are put back at once"]


def test_a_record_put_back_twice_is_marked_once() -> None:
    headers = [("content-type", b"x"), (REDRIVE_OF_HEADER, b"inbox.v1/0/1"), (ATTEMPTS_HEADER, b"1")]
    letter = DeadLetter(
        topic="inbox.v1", partition=0, offset=9, reason="r", detail="", value=b"v", headers=headers, attempts=2
    )
    made = marked(entry(9), letter)
    assert made == [("content-type", b"x"), (REDRIVE_OF_HEADER, b"inbox.v1/0/9"), (ATTEMPTS_HEADER, b"2")]
    assert attempts_before(made) == 2
