"""The command's parts are there, and its exit codes tell scripts what kind of error it was."""

import re
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError
from typer.testing import CliRunner

from headroom import log
from headroom.cli import EXIT_CODES, app, exit_code
from headroom.door import Refused
from headroom.local.exports import export_line
from headroom.local.ports import free_ports
from headroom.under_way import under_way
from shared.errors import BadInput, ConfigurationError, HeadroomError, NotReady
from shared.settings import KafkaSettings

GUIDE = Path(__file__).parents[3] / "docs" / "guide"


@pytest.mark.parametrize("command", ["up", "topics", "plan", "load", "keys", "migrate", "demo"])
def test_every_command_explains_itself(command: str) -> None:
    answer = CliRunner().invoke(app, [command, "--help"])
    assert answer.exit_code == 0
    assert "Usage" in answer.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("a row is wrong"), 1),
        (ConfigurationError("a setting is wrong"), 2),
        (Refused(403, "the key may not do this", where="http://door"), 4),
        (Refused(422, "the plan is wrong", where="http://door"), 1),
        (NotReady("the broker does not answer"), 5),
    ],
)
def test_exit_codes(error: HeadroomError, code: int) -> None:
    assert exit_code(error) == code


def test_a_folder_and_no_folder_contradict() -> None:
    answer = CliRunner().invoke(app, ["up", "--ephemeral", "--data", "/nowhere"])
    assert answer.exit_code == 2
    assert "--ephemeral" in answer.output


def test_the_version_is_told() -> None:
    answer = CliRunner().invoke(app, ["--version"])
    assert (answer.exit_code, answer.stdout) == (0, f"headroom {version('headroom')}\n")


def test_help_and_guide_say_the_same_of_exit_codes() -> None:
    table = re.findall(r"^\| (\d+) \| (.+) \|$", (GUIDE / "by-hand.md").read_text(), re.MULTILINE)
    assert {int(code): means for code, means in table} == EXIT_CODES
    said = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert all(f"{code} {means}" in said for code, means in EXIT_CODES.items())


@pytest.mark.parametrize("command", [["topics", "diff"], ["keys", "list"], ["migrate"], ["dead-letters", "list"]])
def test_a_setting_that_is_wrong_is_named_by_its_variable(command: list[str]) -> None:
    answer = CliRunner(env={"HEADROOM_KAFKA__PARTITIONS": "secret"}).invoke(app, command)
    assert isinstance(answer.exception, ConfigurationError)
    assert str(answer.exception).startswith("HEADROOM_KAFKA__PARTITIONS: ")
    assert "secret" not in str(answer.exception)


def test_a_setting_that_is_no_json_is_named_too() -> None:
    answer = CliRunner(env={"HEADROOM_KAFKA": "many"}).invoke(app, ["topics", "diff"])
    assert isinstance(answer.exception, ConfigurationError)
    assert "HEADROOM_KAFKA, or what begins with it, should be JSON" in answer.exception.what


@pytest.mark.parametrize("command", [["keys", "list"], ["migrate"]])
def test_a_database_that_is_not_there_is_said_without_its_password(command: list[str]) -> None:
    (port,) = free_ports(1)
    url = f"postgresql+asyncpg://ana:secret@127.0.0.1:{port}/plans"
    answer = CliRunner(env={"HEADROOM_DATABASE_URL": url}).invoke(app, command)
    assert isinstance(answer.exception, NotReady)
    said = str(answer.exception)
    assert said.startswith(f"127.0.0.1:{port}/plans: the database does not answer (connection refused). ")
    assert "HEADROOM_DATABASE_URL" in said


@pytest.mark.parametrize("command", [["keys", "list"], ["migrate"]])
@pytest.mark.parametrize("port", ["99999", "0", "https"])
def test_a_port_that_is_none_is_a_wrong_setting(command: list[str], port: str) -> None:
    answer = CliRunner(env={"HEADROOM_DATABASE_URL": f"postgresql+asyncpg://a@127.0.0.1:{port}/b"}).invoke(app, command)
    assert isinstance(answer.exception, ConfigurationError)
    assert str(answer.exception).startswith("HEADROOM_DATABASE_URL: ")
    assert "port" in answer.exception.why


def test_a_broker_that_is_not_there_is_said_without_what_the_client_calls_it() -> None:
    with pytest.raises(NotReady) as raised, log.answering(KafkaSettings(bootstrap="kafka:9092")):
        raise KafkaConnectionError("Unable to bootstrap from [('kafka', 9092, <AddressFamily.AF_UNSPEC: 0>)]")
    assert "no broker can be reached there" in str(raised.value)
    assert "AddressFamily" not in str(raised.value)


def test_an_address_that_is_none_is_wrong_usage() -> None:
    answer = CliRunner().invoke(app, ["doctor", "--url", "foo"])
    assert isinstance(answer.exception, ConfigurationError)


@pytest.mark.parametrize(
    ("terminal", "quiet", "said"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_what_is_under_way_is_said_to_somebody_who_waits(
    terminal: bool, quiet: bool, said: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setenv("TERM", "xterm")
    with under_way("Reading [x] …", quiet=quiet) as tell:
        tell("Waiting …")
    shown = capsys.readouterr()
    assert shown.out == ""
    assert bool(shown.err) is said


def test_the_export_of_a_system_has_every_address() -> None:
    lines = export_line("hr_x", door="http://d:1", notifier="http://n:2", capacity="http://c:3")
    line = " ".join(part.removesuffix("\\").strip() for part in lines)
    assert line == (
        "export HEADROOM_API_KEY=hr_x HEADROOM_URL=http://d:1 "
        "HEADROOM_NOTIFIER_URL=http://n:2 HEADROOM_CAPACITY_URL=http://c:3"
    )
