"""The virtual clock is a function of wall time alone, so all processes of a system agree on it."""

from datetime import UTC, datetime, timedelta

from shared.clock import VirtualClock, WallClock
from shared.settings import ClockSettings


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
