"""The system as one thing: started whole, its key kept, its folder its own, and nothing left of it afterwards."""

import json
import os
import signal
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from headroom.local.folders import temporary_folder
from headroom.local.system import KEY_FILE, PROGRAMS, SHARDS, LocalSystem
from shared.access import hash_key
from shared.errors import ConfigurationError
from tests.waiting import eventually_sync

ROOT = Path(__file__).parents[3]


@pytest.fixture
def folder() -> Iterator[Path]:
    import shutil

    made = temporary_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture
def environment(kafka: str, topic_prefix: str, database_url: str) -> dict[str, str]:
    """The shared servers, with a corner of them."""
    return {
        "HEADROOM_KAFKA__BOOTSTRAP": kafka,
        "HEADROOM_KAFKA__TOPIC_PREFIX": topic_prefix,
        "HEADROOM_KAFKA__PARTITIONS": "1",
        "HEADROOM_DATABASE_URL": database_url,
    }


def test_a_lasting_folder_keeps_its_key_and_lets_in_one_system(folder: Path, environment: dict[str, str]) -> None:
    with LocalSystem(folder, environment=environment, programs=["door"]) as first:
        assert first.new_key
        key = first.api_key
        assert key is not None
        assert stat.S_IMODE((folder / KEY_FILE).stat().st_mode) == 0o600
        assert first.environment["HEADROOM_BOOTSTRAP_KEY_HASH"] == hash_key(key)
        assert answer(first.door_url + "/healthz") == 200
        with pytest.raises(ConfigurationError, match="another system is running") as refusal:
            LocalSystem(folder, environment=environment, programs=["door"]).start()
        assert str(os.getpid()) in str(refusal.value)
    with LocalSystem(folder, environment=environment, programs=["door"]) as second:
        assert not second.new_key
        assert second.api_key == key


def test_a_system_keeps_the_shards_it_was_begun_with(folder: Path, environment: dict[str, str]) -> None:
    unsaid = {name: value for name, value in environment.items() if name != "HEADROOM_KAFKA__PARTITIONS"}
    with LocalSystem(folder, environment=unsaid, programs=["door"]) as system:
        assert system.settings.kafka.partitions == SHARDS
    other = unsaid | {"HEADROOM_KAFKA__TOPIC_PREFIX": environment["HEADROOM_KAFKA__TOPIC_PREFIX"] + "other."}
    with LocalSystem(folder, environment=other | {"HEADROOM_KAFKA__PARTITIONS": "3"}, programs=["door"]):
        pass
    with LocalSystem(folder, environment=other, programs=["door"]) as system:
        assert system.settings.kafka.partitions == 3


def test_a_killed_service_is_ready_again(environment: dict[str, str]) -> None:
    with LocalSystem(environment=environment, programs=["door"]) as system:
        system.kill("door", signal.SIGKILL)
        system.wait_ready()
        assert system.restarts("door") == 1
        assert answer(system.door_url + "/readyz") == 200
    assert not system.data.exists()


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_headroom_up_runs_everything_until_it_is_told_to_end() -> None:
    """On embedded servers, as on a machine with only Python; SIGTERM as Ctrl-C would."""
    up = start_up()
    try:
        ready = announced(up)
        assert set(ready["urls"]) == set(PROGRAMS)
        assert all(answer(url + "/readyz") == 200 for url in ready["urls"].values())
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) > len(PROGRAMS)
        assert Path(ready["key_file"]).read_text().startswith("hr_")
    finally:
        up.terminate()
    assert up.wait(60) == 0
    assert not any(process.is_running() for process in family)
    assert not Path(ready["data"]).exists()


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.parametrize("once", ["typer", "Starting Kafka", "Starting the services"])
def test_ctrl_c_during_the_start_ends_it_in_peace(once: str) -> None:
    """From the first moment of our own code on: Ctrl-C while modules load (typer is the first), and in its steps."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
    command = [sys.executable, "-X", "importtime", "-m", "headroom", "up", "--ephemeral"]
    # Whoever runs the tests may be in the background of a shell, where Ctrl-C is ignored by all that is started.
    up = subprocess.Popen(
        command, cwd=ROOT, env=own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - it resets a signal, no more
    )  # fmt: skip
    assert up.stderr is not None
    said = []
    for line in up.stderr:
        if not line.startswith("import time:"):
            said.append(line)
        if once in line:
            up.send_signal(signal.SIGINT)
            break
    said += [line for line in up.stderr if not line.startswith("import time:")]
    text = "".join(said)
    assert up.wait(60) == 130, text
    assert "Traceback" not in text
    assert "Stopped" in text


@pytest.mark.e2e
@pytest.mark.timeout(300)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_nothing_outlives_a_killed_headroom_up() -> None:
    import shutil

    up = start_up()
    try:
        ready = announced(up)
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) > len(PROGRAMS)
    finally:
        up.kill()
    up.wait()
    eventually_sync(lambda: [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == [])
    shutil.rmtree(ready["data"])


def start_up() -> "subprocess.Popen[str]":
    own = {name: value for name, value in os.environ.items() if not name.startswith("HEADROOM_")}
    command = [sys.executable, "-m", "headroom", "up", "--ephemeral", "--json"]
    return subprocess.Popen(command, cwd=ROOT, env=own, stdout=subprocess.PIPE, text=True)


def announced(up: "subprocess.Popen[str]") -> dict[str, dict[str, str]]:
    """What it prints once it is ready; fails when it ends instead."""
    assert up.stdout is not None
    line = up.stdout.readline()
    assert line, f"headroom up ended with {up.wait()}"
    return json.loads(line)


def answer(url: str) -> int:
    with urllib.request.urlopen(url, timeout=10) as response:
        return int(response.status)
