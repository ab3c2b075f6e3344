"""``headroom plan`` as somebody types it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headroom.plan import app, read_text
from shared.errors import BadInput
from shared.schemas.plan_file import parse_plan, plan_sha256
from tests.unit.plan.plans import SMALL

EXAMPLES = sorted((Path(__file__).parents[3] / "examples").glob("*/plan.yaml"))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.yaml"
    file.write_text(SMALL, encoding="utf-8")
    return file


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def test_check_shows_what_is_planned(plan: Path) -> None:
    result = run("check", str(plan))
    assert result.exit_code == 0
    assert "fy26 is a sound plan: 1 product, 2 stages, 1 work item, 26 weeks, EUR" in result.stdout
    assert "320 hours a week" in result.stdout
    assert "release-slips" in result.stdout


def test_check_as_json_gives_the_hash(plan: Path) -> None:
    said = json.loads(run("check", str(plan), "--json").stdout)
    on_paper = said.pop("on_paper")
    assert said == {"ok": True, "plan": "fy26", "sha256": plan_sha256(parse_plan(SMALL, "")), "problems": []}
    assert on_paper["feasible"] is True


def test_check_names_what_is_wrong_and_ends_with_1(plan: Path) -> None:
    plan.write_text(SMALL.replace("owner: ana", "owner: anna"), encoding="utf-8")
    result = run("check", str(plan))
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"{plan}:15:12: there is no person 'anna'; did you mean ana? Allowed: ana, ben\n"
        "        owner: anna\n"
        "               ^\n"
        f"\n1 problem(s) in {plan}\n"
    )


def test_check_as_json_lists_problems(plan: Path) -> None:
    plan.write_text(SMALL.replace("owner: ana", "owner: anna"), encoding="utf-8")
    result = run("check", str(plan), "--json")
    (problem,) = json.loads(result.stdout)["problems"]
    assert result.exit_code == 1
    assert (problem["line"], problem["column"], problem["path"]) == (15, 12, "pools.engineering.owner")


def test_schema_is_json() -> None:
    assert json.loads(run("schema").stdout)["title"] == "Headroom plan"


def test_a_file_that_is_not_text_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_bytes(b"plan: x\ncurrency: \xff\n")
    with pytest.raises(BadInput, match=r"plan.yaml:2: the file is not UTF-8 text"):
        read_text(file)


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.parent.name)
def test_the_examples_are_sound(file: Path) -> None:
    assert run("check", str(file)).exit_code == 0


def test_check_as_json_is_json_also_of_no_file(tmp_path: Path) -> None:
    result = run("check", str(tmp_path / "none.yaml"), "--json")
    said = json.loads(result.stdout)
    assert (result.exit_code, said["ok"]) == (1, False)
    assert "No such file" in said["problems"][0]["reason"]


def test_the_help_of_diff_says_what_it_takes() -> None:
    said = CliRunner().invoke(app, ["diff", "--help"], env={"COLUMNS": "200"}).output
    assert "[[NEW]]" not in said
    assert "may read" in said
    assert "scope admin" not in said
