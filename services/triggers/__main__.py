"""``python -m services.triggers``: watch every frame until told to stop."""

from services.triggers.app import create_app
from services.triggers.settings import TriggersSettings
from shared import process, telemetry
from shared.settings import read_settings

if __name__ == "__main__":
    settings = read_settings(TriggersSettings)
    telemetry.start(settings, "triggers")
    process.run(lambda stop: create_app(settings).run(stop), settings.kafka)
