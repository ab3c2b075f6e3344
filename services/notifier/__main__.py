"""``python -m services.notifier``: tell the owners and take their answers until told to stop."""

import asyncio

from services.notifier.app import create_app
from services.notifier.settings import NotifierSettings
from shared import process, telemetry
from shared.db import patiently, upgrade
from shared.settings import read_settings


async def main(settings: NotifierSettings, stop: asyncio.Event) -> None:
    """Bring the database up to date and run until ``stop`` is set."""
    notifier = create_app(settings)
    migrating = asyncio.create_task(patiently("migrating", lambda: asyncio.to_thread(upgrade, settings.database_url)))
    stopping = asyncio.create_task(stop.wait())
    # Told to stop while the database is away, it does not wait for it.
    await asyncio.wait({migrating, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if not migrating.done():
        migrating.cancel()
        return
    migrating.result()
    await notifier.run(stop)


if __name__ == "__main__":
    settings = read_settings(NotifierSettings)
    telemetry.start(settings, "notifier")
    process.run(lambda stop: main(settings, stop), settings.kafka)
