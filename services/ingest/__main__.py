"""``python -m services.ingest door|normalise``: one process of ingest, until SIGTERM or SIGINT."""

import argparse

from services.ingest.app import run_door, run_normaliser
from services.ingest.settings import IngestSettings
from shared import process, telemetry
from shared.settings import read_settings

PROCESSES = {"door": run_door, "normalise": run_normaliser}


def main() -> None:
    """Read the command line and the settings, and run."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest", description=__doc__)
    parser.add_argument("process", choices=sorted(PROCESSES))
    name = parser.parse_args().process
    settings = read_settings(IngestSettings)
    telemetry.start(settings, name)
    process.run(lambda stop: PROCESSES[name](settings, stop), settings.kafka)


if __name__ == "__main__":
    main()
