"""The command's parts are there, and its exit codes tell scripts what kind of error it was."""

import pytest
from typer.testing import CliRunner

from headroom.cli import app, exit_code
from headroom.door import Refused
from shared.errors import BadInput, ConfigurationError, HeadroomError, NotReady


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
