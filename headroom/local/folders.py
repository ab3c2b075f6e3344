"""Folders for data: the lasting one of this user, and temporary ones that end with their owner."""

import os
import tempfile
from pathlib import Path

from platformdirs import user_data_path


def default_data_folder() -> Path:
    """Where ``headroom up`` keeps its data unless told otherwise.

    Root's home is closed to others, and PostgreSQL, which refuses to run as root, must get in: so not there.
    """
    return Path("/var/lib/headroom") if os.name == "posix" and os.geteuid() == 0 else user_data_path("headroom")


def temporary_folder(prefix: str = "headroom-") -> Path:
    """A new folder whose path is short enough for a socket and which another account may pass through, not list."""
    base = "/tmp" if Path("/tmp").is_dir() else None  # nosec B108 # noqa: S108 — mkdtemp; macOS' own is too long for a socket
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    folder.chmod(0o711)
    return folder
