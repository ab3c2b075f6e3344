"""What `headroom backtest` answers to files and days that leave nothing to replay."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from headroom.cli import app
from shared.errors import BadInput

PLAN = str(Path(__file__).parents[3] / "examples" / "margin-volume-trap" / "plan.yaml")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "events: it holds no event to replay"),
        (b"\n \n", "events: it holds no event to replay"),
        (b"id,day\n1,2026-04-01\n", "none of its 2 events can be used (event 1: malformed: "),
        (b'[{"specversion": "1.0"}]', "none of its 1 events can be used (event 1: wrong-shape: the event must be "),
        (b"\x1f\x8b\x08\x00\xff\xfe", "a CSV needs --map"),
    ],
)
def test_a_file_without_any_event_of_use_says_what_one_is(content: bytes, said: str, tmp_path: Path) -> None:
    file = tmp_path / "events"
    file.write_bytes(content)
    done = CliRunner().invoke(app, ["backtest", "--plan", PLAN, "--events", str(file)])
    assert done.exit_code == 1
    assert isinstance(done.exception, BadInput)
    assert said in str(done.exception)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "2026-05-01", "--to", "2026-04-01"], "2026-04-01 is before --from 2026-05-01"),
        (["--to", "9999-12-31"], "9999-12-31 is not from 1990 to 2099"),
        (["--from", "1066-10-14"], "1066-10-14 is not from 1990 to 2099"),
        (["--html", "/tmp"], "/tmp is a folder; name a file in it"),
        (["--html", "/no/such/folder/page.html"], "the folder of /no/such/folder/page.html does not exist"),
        (["--gap", "0"], "--gap"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_before_anything_is_read(
    options: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["backtest", "--plan", PLAN, "--events", "/no/such/file", *options])
    assert done.exit_code == 2
    assert said in done.output
