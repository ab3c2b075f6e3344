"""Kafka's jars are only used when each is the recorded one."""

import hashlib
from pathlib import Path

import pytest

from headroom.local.jars import Jar, JarMismatch, ensure_jars, read_listing, verify


def jar(name: str, content: bytes) -> Jar:
    return Jar("org.example", name, "1.0", hashlib.sha256(content).hexdigest())


def test_recorded_jars_are_accepted(tmp_path: Path) -> None:
    (tmp_path / "a-1.0.jar").write_bytes(b"a")
    verify([jar("a", b"a")], tmp_path)


@pytest.mark.parametrize(("content", "problem"), [(b"b", "has the SHA-256"), (None, "is missing")])
def test_a_jar_that_is_not_the_recorded_one_is_refused(tmp_path: Path, content: bytes | None, problem: str) -> None:
    if content is not None:
        (tmp_path / "a-1.0.jar").write_bytes(content)
    with pytest.raises(JarMismatch, match=rf"a-1\.0\.jar {problem}") as refusal:
        verify([jar("a", b"a")], tmp_path)
    assert str(tmp_path) in str(refusal.value)
    assert "Delete this folder" in str(refusal.value)


def test_a_cache_that_was_tampered_with_is_refused_without_fetching(tmp_path: Path) -> None:
    listing = tmp_path / "listing"
    wanted = jar("a", b"a")
    listing.write_text(f"# one jar\n{wanted.sha256}  org.example:a:1.0\n")
    edition = hashlib.sha256(listing.read_bytes()).hexdigest()[:12]
    (tmp_path / f"kafka-{edition}").mkdir()
    (tmp_path / f"kafka-{edition}" / "a-1.0.jar").write_bytes(b"something else")
    with pytest.raises(JarMismatch):
        ensure_jars(tmp_path, listing=listing)


def test_the_listing_is_whole() -> None:
    jars = read_listing()
    names = {j.artifact for j in jars}
    assert {"kafka_2.13", "kafka-clients", "log4j-slf4j-impl"} <= names
    assert len({j.file for j in jars}) == len(jars)
    assert all(len(j.sha256) == 64 for j in jars)
    # the binding must be the one for the slf4j that Kafka brings, or the broker's log is lost
    assert next(j.version for j in jars if j.artifact == "slf4j-api").startswith("1.7")
