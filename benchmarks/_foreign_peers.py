"""Peers that need an environment of their own: made once for this user, or a reason why they cannot run here."""

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from platformdirs import user_cache_path

from headroom.local.java import find_java
from shared.errors import NotReady

HERE = Path(__file__).parent
QUIX = HERE / "quix"
KAFKA_STREAMS = HERE / "kafka_streams"
BUILD_WITHIN = 600


class CannotRun(Exception):
    """The reason why a peer is not in this run."""


def quix(bootstrap: str, topic: str, events: int, partitions: int, group: str, folder: str) -> Sequence[str]:
    """The command that runs the peer Quix Streams; its packages are installed the first time."""
    lock = QUIX / "requirements.lock"
    place = user_cache_path("headroom") / f"bench-quix-{_digest(lock)}"
    python = place / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        try:
            venv.create(place, with_pip=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotRun(f"its environment cannot be made: {error}") from error
        pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock))
        _made("its packages cannot be installed", [str(python), *pip])
        (place / "complete").touch()
    return str(python), str(QUIX / "fold.py"), bootstrap, topic, str(events), group


def kafka_streams(bootstrap: str, topic: str, events: int, partitions: int, group: str, folder: str) -> Sequence[str]:
    """The command that runs the peer Kafka Streams; Maven builds it the first time."""
    maven = shutil.which("mvn")
    if maven is None or shutil.which("javac") is None:
        raise CannotRun("it is built with Maven and a JDK, and there is no mvn or no javac on the PATH")
    try:
        java = find_java()
    except NotReady as error:
        raise CannotRun(str(error)) from error
    sources = [KAFKA_STREAMS / "pom.xml", *KAFKA_STREAMS.rglob("*.java")]
    place = user_cache_path("headroom") / f"bench-kafka-streams-{_digest(*sources)}"
    if not (place / "complete").exists():
        shutil.rmtree(place, ignore_errors=True)
        # Copied, so that nothing is written into the checkout.
        shutil.copytree(KAFKA_STREAMS, place, ignore=shutil.ignore_patterns("target"))
        goals = ("compile", "dependency:copy-dependencies", "-DincludeScope=runtime")
        _made("Maven cannot build it", [maven, "-q", "-B", "-f", str(place / "pom.xml"), *goals])
        (place / "complete").touch()
    path = f"{place / 'target' / 'classes'}:{place / 'target' / 'dependency'}/*"
    settings = ("-Xmx1g", "-XX:+UseSerialGC")
    return (
        *(str(java), *settings, "-cp", path, "headroom.bench.Fold"),
        *(bootstrap, topic, str(events), str(partitions), group, folder),
    )


FOREIGN: dict[str, Callable[[str, str, int, int, str, str], Sequence[str]]] = {
    "quix": quix,
    "kafka_streams": kafka_streams,
}
"""By name: what gives the command line. Raises ``CannotRun``."""


def _digest(*files: Path) -> str:
    return hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()[:12]


def _made(what: str, command: Sequence[str]) -> None:
    """Run a step of an installation; it may use the network and is given ten minutes."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_WITHIN, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{what}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CannotRun(f"{what}: {said[-1] if said else 'it does not say why'}")
