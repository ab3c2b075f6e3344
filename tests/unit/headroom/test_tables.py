"""Tables at 80 columns and in pipes, and numbers as people read them."""

from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from headroom.cli import app
from headroom.tables import print_table
from shared.numbers import amount, exact, more, number

PLAN = """\
plan: large
currency: EUR
people: {ana: {name: Ana Maria Bernadotte}}
stages: {open: {class: open, probability: 0.5}, won: {class: won}}
pools:
  implementation: {kind: work, unit: hours, owner: ana, capacity: {per_week: 1600000}}
products:
  basic: {needs: [{pool: implementation, effort: 1000, curve: {shape: flat, weeks: 2}}]}
milestones:
  spring: {product: basic, from: 2026-04-06, due: 2026-05-03, quantity: 12345678}
triggers:
  - trigger: installation-overcommitted
    watch: position
    when: overload > 0.5
    for: 2h
    ask: {owners: [pool.owner], decide_within: 2d}
"""


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0.0, "0"),
        (-1e-14, "0"),
        (0.00001, "0.00001"),
        (12.345, "12.35"),
        (-7.5, "-7.5"),
        (9999.9, "10,000"),
        (233_512.4, "233,512"),
        (1.6e6, "1,600,000"),
        (-1e15, "-1,000,000,000,000,000"),
    ],
)
def test_a_number_is_written_without_an_exponent(value: float, written: str) -> None:
    assert number(value) == written


def test_numbers_of_few_digits_with_units_and_in_full() -> None:
    assert [number(999.6, 3), amount(40, "hours"), amount(2.5, "")] == ["1,000", "40 hours", "2.5"]
    assert [more(249_000, "hours"), more(-0.5, "parts")] == ["+249,000 hours", "-0.5 parts"]
    assert [exact(12345678.0), exact(12345.678), exact(1e-7), exact(1e22)] == [
        "12345678", "12345.678", "0.0000001", "1" + "0" * 22,
    ]  # fmt: skip


def shown(width: int, *columns: list[str], whole: tuple[str, ...] = ()) -> list[str]:
    console = Console(width=width)
    with console.capture() as captured:
        print_table(console, [column[0] for column in columns], list(zip(*(c[1:] for c in columns), strict=True)),
                    whole=whole)  # fmt: skip
    return captured.get().splitlines()


def test_columns_are_as_narrow_as_their_words_before_a_word_is_broken() -> None:
    names, words = ["name", "installation-overcommitted"], ["what", "some words that are broken over lines"]
    at_40 = shown(40, names, words)
    assert max(map(len, at_40)) == 40
    assert "installation-overcommitted" in "\n".join(at_40)
    assert any(line.startswith("installation-overcommitted  some words") for line in at_40)
    at_20 = shown(20, names, words)
    assert max(map(len, at_20)) <= 20
    assert "…" not in "".join(at_20)
    (row,) = (line for line in shown(200, names, words) if "installation" in line)
    assert row == "installation-overcommitted  some words that are broken over lines"
    moments = shown(40, ["at", "2026-05-08 06:00"], words, whole=("at",))
    assert any(line.startswith("2026-05-08 06:00  some") for line in moments)


@pytest.mark.parametrize("width", [None, "80"])
def test_names_weeks_and_numbers_are_whole_at_80_columns_and_in_pipes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, width: str | None
) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    one, other = tmp_path / "one.yaml", tmp_path / "other.yaml"
    one.write_text(PLAN, encoding="utf-8")
    other.write_text(PLAN.replace("quantity: 12345678", "quantity: 12345699"), encoding="utf-8")
    environment = {"COLUMNS": width} if width else {}
    checked, compared, listed = (
        CliRunner().invoke(app, [*command, str(one), *more], env=environment).stdout
        for command, more in ((["plan", "check"], []), (["plan", "diff"], [str(other)]), (["triggers", "list"], []))
    )
    for said in (checked, compared, listed):
        assert "e+" not in said
        assert "… " not in said
        assert width is None or max(map(len, said.splitlines())) <= 80
    assert "installation-overcommitted" in checked
    assert "installation-overcommitted" in listed
    assert "1,600,000" in checked
    assert "2026-W15…W19" in compared
    assert "quantity from 12345678 to 12345699" in compared
    if width is None:
        assert "1,600,000 hours" in checked
        assert "Ana Maria Bernadotte" in next(line for line in checked.splitlines() if "1,600,000 hours a week" in line)
        assert "+21,010 hours" in compared
