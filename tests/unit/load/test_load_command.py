"""``headroom load deals`` as somebody types it, without a door."""

import hashlib
import os
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headroom import load
from headroom.cli import app
from headroom.load_files import read_events
from headroom.load_mapping import UnfitCsv
from headroom.load_send import Progress, progress_file
from headroom.plan import HERE
from tests.unit.load.files import HEADER, MAPPING, ROWS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("HEADROOM_URL", raising=False)
    (tmp_path / "map.yaml").write_text(MAPPING)
    (tmp_path / "deals.csv").write_text(f"{HEADER}\n{ROWS}")
    return tmp_path


def run(folder: Path, *more: str) -> Result:
    return CliRunner().invoke(
        app, ["load", "deals", str(folder / "deals.csv"), "--map", str(folder / "map.yaml"), *more]
    )


def of(file: Path, folder: Path) -> tuple[int, str]:
    _, found, content = read_events(file, folder / "map.yaml", MAPPING, None)
    return found.rows, content


def test_content_from_a_pipe_is_told_from_other_content(folder: Path) -> None:
    """Named pipes are read but once: two loads of two of them are two loads."""
    seen = []
    for text in (f"{HEADER}\n{ROWS}", f"{HEADER}\nother,Widget,,Open,2025-01-01,,\n"):
        reading, writing = os.pipe()
        os.write(writing, text.encode())
        os.close(writing)
        rows, content = of(Path(f"/dev/fd/{reading}"), folder)
        os.close(reading)
        assert rows == len(text.splitlines()) - 1
        assert content == hashlib.sha256(text.encode()).hexdigest()
        seen.append(progress_file(folder, content, MAPPING, HERE, None))
    assert seen[0] != seen[1]
    assert of(folder / "deals.csv", folder)[1] == hashlib.sha256(f"{HEADER}\n{ROWS}".encode()).hexdigest()


@pytest.mark.parametrize("options", [["--dry-run", "--fresh"], ["--dry-run"]])
def test_a_dry_run_leaves_what_an_interrupted_load_noted(folder: Path, options: list[str]) -> None:
    content = of(folder / "deals.csv", folder)[1]
    noted = Progress(
        progress_file(folder / "state" / "headroom" / "load", content, MAPPING, HERE, date(2025, 3, 1)), [1, 0, 0, 0]
    )
    noted.save()
    assert run(folder, "--as-of", "2025-03-01", *options).exit_code in (0, 3)
    assert noted.file.exists()


def test_a_list_of_rejected_rows_that_cannot_be_written_is_refused_before_anything_is_read(folder: Path) -> None:
    (folder / "deals.csv").unlink()
    for place, why in (("/nonexistent/x.csv", "the folder of"), (str(folder), "is a folder")):
        done = run(folder, "--rejected", place)
        assert done.exit_code == 2
        assert why in done.output


@pytest.mark.parametrize(("between", "shown"), [(";", '";"'), ("\t", '"\\t"')])
def test_another_delimiter_than_the_mappings_is_named(folder: Path, between: str, shown: str) -> None:
    (folder / "deals.csv").write_text(f"{HEADER}\n{ROWS}".replace(",", between))
    done = run(folder, "--dry-run")
    assert isinstance(done.exception, UnfitCsv)
    assert f"delimiter: {shown}" in str(done.exception)
    (folder / "map.yaml").write_text(f"{MAPPING}delimiter: {shown}\n")
    assert run(folder, "--dry-run").exit_code in (0, 3)


def test_ctrl_c_ends_a_load_as_it_ends_every_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(load, "_send_all", stopped)
    done = run(folder)
    assert done.exit_code == 130
    assert "events are in; the same command goes on" in done.stderr
