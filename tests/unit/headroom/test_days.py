"""Days and times that no command takes, each refused with the form that it does take; files that cannot be read."""

import os
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from headroom import days
from headroom.cli import app
from shared.errors import BadInput

EXAMPLES = Path(__file__).parents[3] / "examples"
PLAN = str(EXAMPLES / "margin-volume-trap" / "plan.yaml")
MAP = str(EXAMPLES / "maven-crm" / "mapping.yaml")
COMMANDS = {
    "up": ["up", "--ephemeral", "--as-of"],
    "load": ["load", "deals", "/no/such.csv", "--map", MAP, "--as-of"],
    "draft": ["plan", "draft", "--deals", "/no/such.csv", "--map", MAP, "--as-of"],
    "check": ["plan", "check", PLAN, "--as-of"],
    "from": ["backtest", "--plan", PLAN, "--events", "/no/such", "--from"],
    "to": ["backtest", "--plan", PLAN, "--events", "/no/such", "--to"],
}
ABSURD = ["0000-01-01", "0001-01-01", "9999-12-31", "2026-01-32", "2026-02-29", "gestern", "", "2026-W14", "20260401"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("said", ABSURD)
def test_a_day_that_cannot_be_meant_is_refused_with_a_sentence(
    command: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, [*COMMANDS[command], said])
    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    named = " is written as 2026-04-01" if said not in ("0001-01-01", "9999-12-31") else " to 2"
    assert named in done.output
    assert COMMANDS[command][-1] in done.output


@pytest.mark.parametrize(("day", "code"), [("1969-12-31", 2), ("1970-01-01", 0), ("2199-12-31", 0), ("2200-01-01", 2)])
def test_a_plan_is_looked_at_in_the_years_that_plans_are_made_for(
    day: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["plan", "check", PLAN, "--as-of", day])
    assert done.exit_code == code
    assert ("plans are made for the years 1970 to 2199" in done.output) == (code == 2)


@given(st.dates(date(1990, 1, 1), date(2099, 12, 31)))
def test_a_day_is_read_as_it_is_written(said: date) -> None:
    assert days.day(said.isoformat()) == said


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-04-01", datetime(2026, 4, 1, tzinfo=UTC)),
        ("2026-04-01T08:00", datetime(2026, 4, 1, 8, tzinfo=UTC)),
        ("2026-04-01 08:00:30", datetime(2026, 4, 1, 8, 0, 30, tzinfo=UTC)),
        ("2026-04-01T08:00Z", datetime(2026, 4, 1, 8, tzinfo=UTC)),
        ("2026-04-01T08:00+02:00", datetime(2026, 4, 1, 8, tzinfo=timezone(timedelta(hours=2)))),
    ],
)
def test_a_time_is_read_as_it_is_written(said: str, meant: datetime) -> None:
    found = days.moment(said)
    assert (found, found.utcoffset()) == (meant, meant.utcoffset())


@pytest.mark.parametrize("said", ["2026-04-01T25:00", "2026-04-01T08", "2026-04-01T08:00+99:00", "1989-12-31T23:59"])
def test_a_time_that_cannot_be_meant_is_refused(said: str) -> None:
    with pytest.raises(typer.BadParameter):
        days.moment(said)


@pytest.mark.parametrize(
    ("file", "do"),
    [("/no/such/file", "Is the path right?"), (str(EXAMPLES), "Name a file in that folder.")],
)
@pytest.mark.parametrize("command", ["plan check", "what-if", "triggers test", f"load deals --map {MAP}"])
def test_a_file_that_cannot_be_read_says_what_to_do(command: str, file: str, do: str) -> None:
    done = CliRunner().invoke(app, [*command.split(), file])
    assert isinstance(done.exception, BadInput)
    assert "the file cannot be read" in str(done.exception)
    assert do in str(done.exception)


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_says_so(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.touch(mode=0)
    assert "Give your user the right" in str(CliRunner().invoke(app, ["plan", "check", str(file)]).exception)


def test_an_unknown_scope_of_a_key_is_wrong_usage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["keys", "new", "somebody", "--scope", "rule"])
    assert done.exit_code == 2
    assert "--scope" in done.output
    assert "'rule' is none; scopes are ingest, " in done.output
