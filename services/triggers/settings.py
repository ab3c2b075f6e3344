"""What the triggers process can be told: nothing beyond what every service can."""

from shared.settings import Settings


class TriggersSettings(Settings):
    """Everything the process needs."""
