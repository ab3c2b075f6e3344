"""The virtual clock is a function of wall time alone, so all processes of a system agree on it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from shared.clock import HeldClock, VirtualClock, WallClock
from shared.settings import ClockSettings
from tests.waiting import eventually_sync


def test_a_virtual_clock_starts_at_its_day_and_runs_at_its_speed() -> None:
    started = datetime.now(UTC) - timedelta(seconds=10)
    clock = VirtualClock(datetime(2017, 3, 1, tzinfo=UTC), speed=86_400, started=started)
    assert datetime(2017, 3, 11, tzinfo=UTC) <= clock.now() < datetime(2017, 3, 13, tzinfo=UTC)


def test_speed_zero_stands_still() -> None:
    day = datetime(2017, 3, 1, tzinfo=UTC)
    clock = VirtualClock(day, speed=0, started=datetime.now(UTC) - timedelta(days=1))
    assert clock.now() == day


def test_two_clocks_of_the_same_settings_agree() -> None:
    settings = ClockSettings(as_of=datetime(2017, 3, 1), speed=1000, started=datetime.now(UTC))  # noqa: DTZ001
    one, other = settings.clock().now(), settings.clock().now()
    assert other - one < timedelta(minutes=30)
    assert one.tzinfo is not None


def test_without_a_day_it_is_wall_time() -> None:
    assert isinstance(ClockSettings().clock(), WallClock)


DAY = 86_400.0
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)
PACE = ((datetime(2026, 1, 11, tzinfo=UTC), DAY / 2), (datetime(2026, 1, 12, tzinfo=UTC), 5 * DAY))


@pytest.mark.parametrize(
    ("seconds", "day"),
    [
        (0, "2026-01-01"),
        (5, "2026-01-06"),
        (10, "2026-01-11"),
        (11, "2026-01-11"),
        (12, "2026-01-12"),
        (13, "2026-01-17"),
    ],
)
def test_the_speed_changes_at_moments_of_the_virtual_time(seconds: float, day: str) -> None:
    clock = VirtualClock(NEW_YEAR, DAY, datetime.now(UTC) - timedelta(seconds=seconds), PACE)
    first = datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert first <= clock.now() < first + timedelta(days=1)


def test_a_held_clock_stands_until_its_file_says_when_it_started(tmp_path: Path) -> None:
    settings = ClockSettings(as_of=NEW_YEAR, speed=DAY, start_file=tmp_path / "clock")
    one, other = settings.clock(), settings.clock()
    assert (one.now(), other.now()) == (NEW_YEAR, NEW_YEAR)
    assert isinstance(one, HeldClock)
    one.start(datetime.now(UTC) - timedelta(seconds=2))
    for clock in (one, other):
        assert datetime(2026, 1, 3, tzinfo=UTC) <= clock.now() < datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.parametrize("day", ["2026-01-01", "2026-01-06", "2026-01-11", "2026-01-12", "2026-01-22"])
def test_until_is_the_inverse_of_now(day: str) -> None:
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC)
    wall = datetime.now(UTC)
    clock = VirtualClock(NEW_YEAR, DAY, wall - VirtualClock(NEW_YEAR, DAY, wall, PACE).until(moment), PACE)
    assert moment <= clock.now() < moment + timedelta(days=1)


def test_a_limit_stops_every_clock_and_more_time_continues_from_there(tmp_path: Path) -> None:
    settings = ClockSettings(as_of=NEW_YEAR, speed=DAY, start_file=tmp_path / "clock")
    one, other = settings.clock(), settings.clock()
    assert isinstance(one, HeldClock)
    limit = datetime(2026, 1, 5, tzinfo=UTC)
    one.start(datetime.now(UTC) - timedelta(seconds=100), limit)
    assert (one.now(), other.now()) == (limit, limit)
    later = datetime(2026, 1, 7, tzinfo=UTC)
    one.allow(later)
    assert limit <= other.now() < limit + timedelta(days=1)  # not the hundred days that passed while it stood
    assert eventually_sync(lambda: other.now() == later and one.now() == later, what="both clocks at the new limit")


def test_time_that_is_still_passing_is_not_disturbed_by_more_of_it(tmp_path: Path) -> None:
    clock = HeldClock(NEW_YEAR, DAY, tmp_path / "clock")
    clock.start(datetime.now(UTC) - timedelta(seconds=2), datetime(2026, 1, 20, tzinfo=UTC))
    before = clock.now()
    clock.allow(datetime(2026, 2, 20, tzinfo=UTC))
    assert before <= clock.now() < before + timedelta(days=1)
    clock.allow(NEW_YEAR)  # what has passed cannot be taken back
    assert clock.now() >= before
