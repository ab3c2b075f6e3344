"""How long a busy door is left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from headroom.door import LONGEST_WAIT, Door, Patience, authorization
from headroom.local.ports import free_ports
from shared.errors import ConfigurationError, NotReady


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


async def test_where_no_door_is_the_address_and_what_starts_one_are_named() -> None:
    (port,) = free_ports(1)
    async with Door(f"http://127.0.0.1:{port}", "hr_x", Patience(attempts=2, first_wait=0.0)) as door:
        with pytest.raises(NotReady) as raised:
            await door.put_plan("fy26", "plan: fy26")
    assert str(raised.value).startswith(
        f"http://127.0.0.1:{port}: there is no door at this address (connection refused)"
    )
    assert "`headroom up`" in raised.value.do
    assert "HEADROOM_URL" in raised.value.do


@pytest.mark.parametrize(
    ("key", "header"), [("hr_x", "Bearer hr_x"), ("hr_x\r", "Bearer hr_x"), (" hr_x\r\n", "Bearer hr_x")]
)
def test_the_end_of_a_line_is_no_part_of_a_key(key: str, header: str) -> None:
    assert authorization(key) == {"Authorization": header}


def test_no_key_is_no_header_and_a_broken_one_is_refused() -> None:
    assert authorization(None) == authorization("\r") == {}
    with pytest.raises(ConfigurationError, match="HEADROOM_API_KEY"):
        authorization("hr_\rx")
