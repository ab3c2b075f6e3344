"""``python -m services.triggers``: watch every frame until told to stop."""

import asyncio
import signal

from services.triggers.app import create_app
from services.triggers.settings import TriggersSettings
from shared import telemetry


async def main(settings: TriggersSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await create_app(settings).run(stop)


if __name__ == "__main__":
    settings = TriggersSettings()
    telemetry.start(settings, "triggers")
    asyncio.run(main(settings))
