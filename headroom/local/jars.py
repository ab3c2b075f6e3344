"""Kafka's jars in the user's cache: fetched once, each held against its recorded SHA-256 at every start.

``kafka-jars.sha256`` names every jar exactly, so nothing is resolved: Maven, when it is there, or the jgo package
merely fetches what the list says. A folder of jars appears whole or not at all (built aside, then renamed), and a lock
lets one of several starting processes fetch while the others wait.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from platformdirs import user_cache_path

from headroom.local.children import tail
from headroom.local.folders import locked
from shared.errors import HeadroomError, NotReady

LISTING = Path(__file__).with_name("kafka-jars.sha256")

Progress = Callable[[int, int], None]
"""Told how many jars of how many have arrived."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One jar: its Maven coordinates and the SHA-256 (hex) it must have."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.artifact}-{self.version}.jar"


class JarMismatch(HeadroomError):
    """A jar is not the one that was recorded: damaged, incomplete, or not what it claims to be."""


def read_listing(listing: Path = LISTING) -> list[Jar]:
    """The jars that a listing names, in its order."""
    jars = []
    for line in listing.read_text().splitlines():
        if line and not line.startswith("#"):
            sha256, coordinates = line.split()
            group, artifact, version = coordinates.split(":")
            jars.append(Jar(group, artifact, version, sha256))
    return jars


def ensure_jars(cache: Path | None = None, progress: Progress | None = None, listing: Path = LISTING) -> Path:
    """The folder that holds every jar of the listing, fetched if need be and verified; may block on the network.

    Raises ``JarMismatch`` for a jar that is not the recorded one and ``NotReady`` when a jar cannot be had.
    """
    jars = read_listing(listing)
    edition = hashlib.sha256(listing.read_bytes()).hexdigest()[:12]
    cache = cache or user_cache_path("headroom")
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / f"kafka-{edition}"
    with locked(cache / f"kafka-{edition}.lock"):
        if not folder.exists():
            staging = Path(tempfile.mkdtemp(prefix="fetching-", dir=cache))
            try:
                _fetch(jars, staging, progress or say_progress)
                verify(jars, staging)
                staging.rename(folder)
            finally:
                shutil.rmtree(staging, ignore_errors=True)
        else:
            verify(jars, folder)
    return folder


def verify(jars: Sequence[Jar], folder: Path) -> None:
    """Raise ``JarMismatch`` unless the folder holds every jar with its recorded content."""
    for jar in jars:
        file = folder / jar.file
        if not file.exists():
            problem = "is missing"
        else:
            found = hashlib.sha256(file.read_bytes()).hexdigest()
            if found == jar.sha256:
                continue
            problem = f"has the SHA-256 {found[:16]}…, recorded is {jar.sha256[:16]}…"
        raise JarMismatch(
            f"{jar.file} {problem}",
            where=str(folder),
            do="Delete this folder and start again to have it fetched anew; if that does not help, "
            "what your package mirror serves is not what was published",
        )


def _fetch(jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    """Fetch with Maven when it is there, and with jgo when it is not or fails."""
    failures = []
    if maven := shutil.which("mvn"):
        try:
            _fetch_with_maven(maven, jars, folder, progress)
        except NotReady as failure:
            failures.append(str(failure))
        else:
            return
    try:
        _fetch_with_jgo(jars, folder, progress)
    except NotReady as failure:
        failures.append(str(failure))
        raise NotReady(
            "Kafka's jars could not be fetched",
            why="; ".join(failures),
            do="They come from Maven Central: check the network and Maven's settings (a mirror goes into "
            "~/.m2/settings.xml), or point HEADROOM_KAFKA__BOOTSTRAP at a broker of your own",
        ) from failure


def _fetch_with_maven(maven: str, jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    """Let Maven copy exactly the listed jars: a project that names each and refuses what each would bring along."""
    dependencies = "".join(
        f"<dependency><groupId>{jar.group}</groupId><artifactId>{jar.artifact}</artifactId><version>{jar.version}"
        "</version><exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
        "</dependency>"
        for jar in jars
    )
    with tempfile.TemporaryDirectory() as work:
        project = Path(work) / "pom.xml"
        project.write_text(
            '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>headroom'
            "</groupId><artifactId>kafka</artifactId><version>1</version>"
            f"<dependencies>{dependencies}</dependencies></project>"
        )
        output = Path(work) / "output"
        command = [maven, "-q", "-B", "-f", str(project), "dependency:copy-dependencies", f"-DoutputDirectory={folder}"]
        with output.open("wb") as log, subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT) as run:
            arrived = -1
            while True:
                if (now_here := sum(1 for _ in folder.glob("*.jar"))) != arrived:
                    arrived = now_here
                    progress(arrived, len(jars))
                try:
                    code = run.wait(0.25)
                except subprocess.TimeoutExpired:
                    continue
                break
        if code != 0:
            raise NotReady("Maven failed", why=tail(output, 3))
    if arrived != len(jars):
        progress(len(jars), len(jars))


def _fetch_with_jgo(jars: Sequence[Jar], folder: Path, progress: Progress) -> None:
    """Download each listed jar through jgo, eight at a time, where there is no Maven."""
    try:
        from jgo.maven import MavenContext
    except ImportError as missing:
        raise NotReady("the package jgo is not installed", do="Run `make setup`") from missing
    # jgo keeps what it fetches like Maven does; a folder inside the target leaves the user's own repository alone.
    repository = folder / "repository"
    context = MavenContext(repo_cache=repository, timeout=60)

    def fetch(jar: Jar) -> None:
        fetched = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
        fetched.rename(folder / jar.file)

    with ThreadPoolExecutor(max_workers=8) as pool:
        pending = [pool.submit(fetch, jar) for jar in jars]
        for arrived, (jar, fetching) in enumerate(zip(jars, pending, strict=True)):
            progress(arrived, len(jars))
            try:
                fetching.result()
            except (RuntimeError, OSError, AssertionError) as failure:
                pool.shutdown(wait=False, cancel_futures=True)
                raise NotReady(f"{jar.file} could not be downloaded", why=str(failure)) from failure
    shutil.rmtree(repository)
    progress(len(jars), len(jars))


def say_progress(arrived: int, total: int) -> None:
    """One line on standard error: rewritten as jars arrive on a terminal, said at the start and end elsewhere."""
    text = f"Fetching Kafka, once for this user: {arrived} of {total} jars"
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{text}{os.linesep if arrived == total else ''}")
        sys.stderr.flush()
    elif arrived in {0, total}:
        sys.stderr.write(f"{text}\n")
