"""``headroom triggers`` as somebody types it, and the examples' own tests of their triggers."""
# ruff: noqa: E501 — one case a line.

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headroom.triggers import app
from shared.schemas.plan_fields import WATCHED

EXAMPLES = Path(__file__).parents[3] / "examples"
TESTS = sorted(EXAMPLES.glob("*/triggers_test.yaml"))
FUNCTIONS = {"support", "logistics", "hiring", "engineering", "delivery", "marketing", "supply"}

PLAN = """\
plan: small
currency: EUR
people: {ana: {name: Ana}}
stages: {won: {class: won}}
pools:
  desk: {kind: work, unit: hours, owner: ana, capacity: {per_week: 100}}
triggers:
  - trigger: busy
    watch: position
    when: overload > 0.5
    for: 2h
    ask: {owners: [pool.owner], decide_within: 2d}
"""
FILE = """\
plan: plan.yaml
tests:
  - test: the desk is busy
    start: 2026-04-06T08:00:00Z
    inputs:
      - positions: [{pool: desk, weeks: 2026-W15..2026-W17, overload: 0.9}]
    expect:
      - {at: 1h, trigger: busy, episodes: [{scope: desk, phase: pending}]}
      - {at: 3h, trigger: busy, episodes: [{scope: desk, phase: firing, weeks: 2026-W15..2026-W17}]}
    told:
      - {at: 2h, trigger: busy, scope: desk, kind: firing}
"""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "plan.yaml").write_text(PLAN, encoding="utf-8")
    made = tmp_path / "triggers_test.yaml"
    made.write_text(FILE, encoding="utf-8")
    return made


def changed(file: Path, old: str, new: str) -> Path:
    assert FILE.count(old) == 1
    file.write_text(FILE.replace(old, new), encoding="utf-8")
    return file


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.parent.name)
def test_the_triggers_of_an_example_do_what_its_tests_say(tests: Path) -> None:
    result = run("test", tests, "--json")
    assert result.exit_code == 0, run("test", tests).stdout


def test_every_example_with_triggers_tests_them() -> None:
    plans = [plan.parent for plan in EXAMPLES.glob("*/plan.yaml") if "triggers:" in plan.read_text(encoding="utf-8")]
    assert {tests.parent for tests in TESTS} == set(plans)


def test_the_examples_show_every_function_and_everything_that_can_be_watched() -> None:
    shown = json.loads(run("list", EXAMPLES / "all-functions" / "plan.yaml", "--json").stdout)
    assert {trigger["watch"] for trigger in shown} == set(WATCHED)
    tested = (EXAMPLES / "all-functions" / "triggers_test.yaml").read_text(encoding="utf-8")
    assert [trigger["trigger"] for trigger in shown if f"trigger: {trigger['trigger']}," not in tested] == []


def test_as_expected_is_said_in_a_line_a_test(file: Path) -> None:
    result = run("test", file)
    assert result.exit_code == 0
    assert "ok      the desk is busy" in result.stdout
    assert "1 of 1 as expected" in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "expected", "found"),
    [
        ("phase: pending}", "phase: firing}", "desk, firing", "desk, pending"),
        (
            "weeks: 2026-W15..2026-W17}",
            "weeks: 2026-W15}",
            "desk, firing, 2026-W15",
            "desk, firing, 2026-W15..2026-W17",
        ),
        ("[{scope: desk, phase: pending}]", "[]", "nothing", "desk, pending"),
        ("kind: firing", "kind: resolved", "2h: busy on desk resolved", "2h: busy on desk firing"),
    ],
)
def test_a_difference_ends_with_3_and_shows_both_sides(
    file: Path, old: str, new: str, expected: str, found: str
) -> None:
    result = run("test", changed(file, old, new))
    assert result.exit_code == 3
    lines = [line.strip() for line in result.stdout.splitlines()]
    assert f"- {expected}" in lines
    assert f"+ {found}" in lines
    said = json.loads(run("test", file, "--json").stdout)
    assert not said["ok"]
    (difference,) = said["files"][0]["tests"][0]["differences"]
    assert difference["found"] == [found]


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("trigger: busy, episodes: [{scope: desk, phase: p", "trigger: bussy, episodes: [{scope: desk, phase: p", "8:27", "no trigger 'bussy'; did you mean busy?"),
        ("pool: desk", "pool: dsk", "6:28", "no pool 'dsk'; did you mean desk?"),
        ("2026-W15..2026-W17, overload", "2026-W15..2026-W77, overload", "6:41", "weeks are written as"),
        ("phase: pending", "phase: waiting", "8:65", "'waiting' is not known here"),
        ("at: 1h", "at: soon", "8:14", "a duration is a whole number with a unit"),
        ("start: 2026-04-06T08:00:00Z", "start: 2026-04-06T08:00:00", "4:12", "offset from UTC"),
        ("    expect:", "    expct: []\n    expect:", "7:5", "unknown key 'expct'"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_a_file_is_named_with_its_place(
    file: Path, old: str, new: str, place: str, words: str
) -> None:
    result = run("test", changed(file, old, new))
    assert result.exit_code == 1
    assert f"triggers_test.yaml:{place}: " in result.stderr
    assert words in result.stderr
    assert json.loads(run("test", file, "--json").stdout)["problems"]


def test_list_shows_what_is_watched() -> None:
    result = run("list", EXAMPLES / "margin-volume-trap" / "plan.yaml")
    assert result.exit_code == 0
    assert "winter-release, core-release" in result.stdout


def test_fields_lists_everything_that_can_be_watched() -> None:
    said = json.loads(run("fields", "--json").stdout)
    assert {watch: [field["name"] for field in shown["fields"]] for watch, shown in said.items()} == {
        watch: [field.name for field in watched.fields] for watch, watched in WATCHED.items()
    }
    assert "report_age" in run("fields").stdout


def test_the_guide_has_the_table_of_fields() -> None:
    guide = (Path(__file__).parents[3] / "docs" / "guide" / "triggers.md").read_text(encoding="utf-8")
    _, _, generated = guide.partition("<!-- generated: headroom triggers fields --markdown -->\n")
    assert generated, "the place of the tables is marked"
    assert generated == run("fields", "--markdown").stdout, "headroom triggers fields --markdown writes it"
