"""How long a busy door is left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from headroom.door import LONGEST_WAIT, Patience


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [("0", 0), ("7", 7), ("1.5", 1.5), ("-3", 0), ("100000", LONGEST_WAIT), ("Thu, 01 Jan 1970 00:00:00 GMT", 0)],
)
def test_what_retry_after_asks_is_kept(retry_after: str, seconds: float) -> None:
    assert Patience().wait(0, retry_after) == seconds


def test_a_moment_is_waited_for() -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert 25 < Patience().wait(0, moment) <= 30


@pytest.mark.parametrize("retry_after", [None, "soon", ""])
def test_without_it_the_wait_doubles_and_has_an_end(retry_after: str | None) -> None:
    for attempt in range(5):
        assert 0.8 * 2**attempt <= Patience(first_wait=1).wait(attempt, retry_after) <= 1.2 * 2**attempt
    assert Patience().wait(40, retry_after) == LONGEST_WAIT
