"""Ingest's processes as the operating system sees them: started from the command line, killed without warning."""

import json
import os
import subprocess
import sys
from pathlib import Path

from services.ingest.settings import IngestSettings

ROOT = Path(__file__).parents[3]


class Process:
    """``python -m services.ingest NAME`` with the given settings; what it says goes to the file ``log``.

    Used as a context manager it is killed at the end if it still runs.
    """

    def __init__(self, name: str, settings: IngestSettings, port: int, log: Path) -> None:
        self.log = log
        self.url = f"http://127.0.0.1:{port}"
        environment = os.environ | _environment(settings) | {"HEADROOM_HTTP__PORT": str(port)}
        argv = [sys.executable, "-m", "services.ingest", name]
        with log.open("a") as out:
            self.process = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=out, stderr=out)

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *failure: object) -> None:
        if not self.dead:
            self.kill()

    @property
    def dead(self) -> bool:
        return self.process.poll() is not None

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait()

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)


def _environment(settings: IngestSettings) -> dict[str, str]:
    connections = {
        name: made.model_dump(mode="json") | {"secrets": [secret.get_secret_value() for secret in made.secrets]}
        for name, made in settings.ingest.hubspot.items()
    }
    return {
        "HEADROOM_KAFKA__BOOTSTRAP": settings.kafka.bootstrap,
        "HEADROOM_KAFKA__TOPIC_PREFIX": settings.kafka.topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": str(settings.kafka.partitions),
        "HEADROOM_KAFKA__SESSION_TIMEOUT": str(settings.kafka.session_timeout),
        "HEADROOM_DATABASE_URL": settings.database_url,
        "HEADROOM_BOOTSTRAP_KEY_HASH": settings.bootstrap_key_hash,
        "HEADROOM_INGEST__HUBSPOT": json.dumps(connections),
    }
