"""The environment that a local system's processes are started with, and the settings that they read from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.settings import ClockSettings, Settings, read_settings


def settings_from(environment: Mapping[str, str]) -> Settings:
    """The settings that a process with this environment reads. Raises ConfigurationError."""

    class Given(Settings):
        @classmethod
        def settings_customise_sources(cls, *_: Any, **sources: Any) -> tuple[Any, ...]:
            sources["env_settings"].env_vars = {name.lower(): value for name, value in environment.items()}
            return (sources["env_settings"],)

    return read_settings(Given)


def clock_environment(clock: ClockSettings, start_file: Path) -> dict[str, str]:
    """The variables that give a process this clock; a virtual one that has not been started waits for the file."""
    if clock.as_of is None:
        return {}
    environment = {"HEADROOM_CLOCK__AS_OF": clock.as_of.isoformat(), "HEADROOM_CLOCK__SPEED": str(clock.speed)}
    if clock.started is not None:
        environment["HEADROOM_CLOCK__STARTED"] = clock.started.isoformat()
    else:
        environment["HEADROOM_CLOCK__START_FILE"] = str(start_file)
    return environment
