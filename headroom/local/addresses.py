"""Where a running system's parts are: a file in its data folder, for commands in other terminals.

It is believed only while the folder's lock is held. It carries no secret: a database address with a password is left
out.
"""

import fcntl
import json
import os
from collections.abc import Mapping
from pathlib import Path

from sqlalchemy import make_url

FILE = "addresses.json"
LOCK = "lock"
NAMES = ("HEADROOM_KAFKA__BOOTSTRAP", "HEADROOM_KAFKA__TOPIC_PREFIX", "HEADROOM_KAFKA__PARTITIONS")
DATABASE_URL = "HEADROOM_DATABASE_URL"


def write(folder: Path, environment: Mapping[str, str], urls: Mapping[str, str]) -> None:
    """Keep the addresses of the processes, and the variables with which a command reaches broker and database."""
    variables = {name: environment[name] for name in NAMES if name in environment}
    database = environment.get(DATABASE_URL, "")
    if database and make_url(database).password is None:
        variables[DATABASE_URL] = database
    with os.fdopen(os.open(folder / FILE, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        json.dump({"urls": dict(urls), "environment": variables}, file)


def read(folder: Path) -> tuple[dict[str, str], dict[str, str]] | None:
    """Addresses by process and the variables of the system that runs on the folder; None when none does."""
    try:
        if not _locked(folder / LOCK):
            return None
        content = json.loads((folder / FILE).read_text())
        return dict(content["urls"]), dict(content["environment"])
    except (OSError, ValueError, KeyError):
        return None  # no folder, another account's, or one of an older version


def _locked(lock: Path) -> bool:
    with lock.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
