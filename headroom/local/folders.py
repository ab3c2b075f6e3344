"""Folders for data: the lasting one of this user, temporary ones that end with their owner, and whose they are."""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from platformdirs import user_data_path

from shared.errors import ConfigurationError


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


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Make the folder, if need be, and be its only owner meanwhile: two systems on one would destroy each other's data.

    Raises ``ConfigurationError`` when it cannot be used or another system runs on it.
    """
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            folder.chmod(0o711)  # the database's account passes through; nobody else can list it
        lock = (folder / "lock").open("a+")
    except OSError as error:
        raise ConfigurationError(
            "the data folder cannot be used",
            where=str(folder),
            why=error.strerror or str(error),
            do="Choose another with --data, or none with --ephemeral",
        ) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as taken:
            lock.seek(0)
            raise ConfigurationError(
                "another system is running on this data folder",
                where=str(folder),
                why=f"its process id is {lock.read().strip() or 'unknown'}",
                do="Stop it first, or choose another folder with --data, or none with --ephemeral",
            ) from taken
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold ``file`` alone meanwhile; who else wants it waits. The kernel lets go of it whatever ends its holder."""
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
