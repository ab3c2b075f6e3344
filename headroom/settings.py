"""The settings as a command of the operator reads them; one that is wrong is named by its variable."""

import re

from pydantic import ValidationError
from pydantic_settings import SettingsError

from shared.errors import ConfigurationError
from shared.settings import Settings


def settings() -> Settings:
    """The settings of the environment. Raises ConfigurationError."""
    try:
        return Settings()
    except (ValidationError, SettingsError) as error:
        raise wrong_settings(error) from None


def wrong_settings(error: ValidationError | SettingsError) -> ConfigurationError:
    """Which variables are wrong and why, never with what they hold: it may be a secret."""
    do = "Correct what is named; docs/guide/operations.md lists every setting."
    if isinstance(error, ValidationError):
        wrong = [f"HEADROOM_{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()]
        return ConfigurationError("; ".join(wrong), do=do)
    field = re.search(r'field "(\w+)"', str(error))
    name = f"HEADROOM_{field[1].upper()}" if field else "a setting"
    return ConfigurationError(f"{name}, or what begins with it, should be JSON and is not", do=do)
