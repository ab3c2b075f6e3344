"""The retry schedule: how often, over how long, and what each answer leads to."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.schedule import (
    ATTEMPTS,
    Again,
    Answer,
    Delivered,
    GivenUp,
    Gone,
    Verdict,
    judge,
    retry_after,
)
from tests.unit.notifier.vectors import vectors

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(hours=24)
jitters = st.floats(-1, 1)


@given(st.lists(jitters, min_size=ATTEMPTS, max_size=ATTEMPTS), st.sampled_from([None, 408, 425, 429, 500, 503, 302]))
def test_a_receiver_that_stays_down_is_tried_ten_times_over_75_hours_at_least(
    drawn: list[float], status: int | None
) -> None:
    waited, attempts = timedelta(), 1
    while True:
        verdict = judge(Answer(status, failure="refused"), attempts, NOW, drawn[attempts - 1])
        if isinstance(verdict, GivenUp):
            break
        assert isinstance(verdict, Again)
        assert verdict.reason
        waited += verdict.after
        attempts += 1
    assert attempts >= 10
    assert waited >= timedelta(hours=75)


@given(st.integers(1, ATTEMPTS - 1), jitters)
def test_jitter_moves_a_delay_by_a_fifth_at_most(attempts: int, jitter: float) -> None:
    plain, moved = (judge(Answer(500), attempts, NOW, drawn) for drawn in (0.0, jitter))
    assert isinstance(plain, Again)
    assert isinstance(moved, Again)
    assert plain.after * 0.8 - timedelta(seconds=1) <= moved.after <= plain.after * 1.2 + timedelta(seconds=1)


@given(st.integers(1, ATTEMPTS - 1), jitters, st.integers(0, 400_000), st.booleans())
def test_it_never_comes_back_earlier_than_asked_nor_waits_longer_than_a_day_for_it(
    attempts: int, jitter: float, seconds: int, as_date: bool
) -> None:
    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True) if as_date else str(seconds)
    without = judge(Answer(503), attempts, NOW, jitter)
    verdict = judge(Answer(503, header), attempts, NOW, jitter)
    assert isinstance(without, Again)
    assert isinstance(verdict, Again)
    assert verdict.after == max(without.after, min(timedelta(seconds=seconds), DAY))


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        (Answer(200), Delivered),
        (Answer(204), Delivered),
        (Answer(302), Again),
        (Answer(400), GivenUp),
        (Answer(401), GivenUp),
        (Answer(404), GivenUp),
        (Answer(408), Again),
        (Answer(410), Gone),
        (Answer(418), GivenUp),
        (Answer(425), Again),
        (Answer(429), Again),
        (Answer(500), Again),
        (Answer(599), Again),
        (Answer(None, failure="no route"), Again),
    ],
)
def test_what_an_answer_means(answer: Answer, verdict: type[Verdict]) -> None:
    assert isinstance(judge(answer, 1, NOW, 0.0), verdict)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 400, 86400),
        (" 7 ", 7),
        (format_datetime(NOW - timedelta(hours=1), usegmt=True), None),
        (format_datetime(NOW + timedelta(minutes=1), usegmt=True), 60),
        ("Mon, 02 Mar 2026 10:00:00 -0000", 3600),
        ("Mon, 99 Mar 99999 10:00:00 GMT", None),
    ],
)
def test_retry_after_in_odd_spellings(header: str | None, seconds: int | None) -> None:
    assert retry_after(header, NOW) == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_as_others_read_it() -> None:
    for case in vectors("standard_webhooks.json")["retry_after_svix"]:
        if "s" in case:
            expected = None if case["s"] is None else timedelta(seconds=case["s"])
            assert retry_after(case["h"], NOW) == expected, case
