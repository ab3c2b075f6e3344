"""A plan on paper: whether it is feasible without a deal, and what changes from one to another."""

import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from headroom.plan import app
from headroom.plan_diff import difference
from headroom.plan_paper import on_paper, spans
from shared.schemas.plan import Plan
from shared.schemas.plan_file import parse_plan

PLAN = """\
plan: paper
currency: EUR
people: {ana: {name: Ana}, ben: {name: Ben}}
stages: {open: {class: open, probability: 0.5}, won: {class: won}}
pools:
  eng: {kind: work, unit: hours, owner: ana, capacity: {per_week: 50}, base_load: 10}
  shelf: {kind: stock, unit: parts, owner: ben, stock: {level: 10}}
products:
  basic: {needs: [{pool: eng, effort: 10, curve: {shape: flat, weeks: 2}}, {pool: shelf, effort: 1}]}
  bare: {}
  renewed: {needs: [{pool: eng, effort: 5, for: [renewal]}]}
milestones:
  spring: {product: basic, from: 2026-04-06, due: 2026-05-03, quantity: 8}
"""
TIGHT = PLAN.replace("quantity: 8", "quantity: 24, linearity: [0, 0.5, 0.5, 0]")
LOOSE = PLAN + "  more: {product: bare, from: 2026-04-06, due: 2026-05-03, quantity: 8}\n"


def plan(text: str) -> Plan:
    return parse_plan(text, "plan.yaml")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def written(folder: Path, text: str, name: str = "plan.yaml") -> str:
    (folder / name).write_text(text, encoding="utf-8")
    return str(folder / name)


def test_a_feasible_plan_is_looked_at_from_its_first_milestone_on() -> None:
    found = on_paper(plan(PLAN))
    assert (found.as_of, found.feasible, found.shortages, found.loose) == (date(2026, 4, 6), True, [], [])
    demand = [found.positions["eng", f"2026-W{week}"].planned for week in range(15, 21)]
    assert demand == pytest.approx([10, 20, 20, 20, 10, 0])


def test_what_is_missing_is_said_by_pool() -> None:
    found = on_paper(plan(TIGHT))
    eng, shelf = found.shortages
    # Twelve units in W16 and in W17, half of the effort in the week after each: 60, 120 and 60 on top of 10, of 50.
    assert (eng.pool, eng.owner, eng.weeks, eng.worst_week) == (
        "eng",
        "ana",
        ["2026-W16", "2026-W17", "2026-W18"],
        "2026-W17",
    )
    assert (eng.missing, eng.worst_missing) == (pytest.approx(120), pytest.approx(80))
    assert (shelf.weeks[:2], shelf.missing) == (["2026-W16", "2026-W17"], pytest.approx(14))


def test_later_days_ask_what_is_left_sooner() -> None:
    assert on_paper(plan(PLAN), date(2026, 4, 30)).positions["eng", "2026-W18"].planned == pytest.approx(40)


def test_milestones_that_ask_nothing_are_named() -> None:
    found = on_paper(plan(LOOSE + "  again: {product: renewed, from: 2026-04-06, due: 2026-05-03, quantity: 8}\n"))
    assert [(one.milestone, one.why) for one in found.loose] == [
        ("more", "the product has no needs"),
        ("again", "no need of the product is for new deals"),
    ]


@pytest.mark.parametrize(("text", "code"), [(PLAN, 0), (TIGHT, 3), (LOOSE, 3)])
def test_check_ends_with_3_only_when_asked_for_feasibility(tmp_path: Path, text: str, code: int) -> None:
    file = written(tmp_path, text)
    assert run("check", file).exit_code == 0
    assert run("check", file, "--feasible").exit_code == code
    said = json.loads(run("check", file, "--json").stdout)["on_paper"]
    assert said["feasible"] is (code == 0)


def test_check_shows_a_table_and_names_what_is_loose(tmp_path: Path) -> None:
    shown = run("check", written(tmp_path, LOOSE.replace("quantity: 8", "quantity: 80", 1))).stdout
    assert "milestone more is tethered to nothing: the product has no needs (bare)" in shown
    assert "2026-W15…W19" in shown
    assert run("check", written(tmp_path, PLAN)).stdout.endswith("no pool is asked more than it can do.\n")


@pytest.mark.parametrize(
    ("weeks", "words"),
    [
        (["2026-W20"], "2026-W20"),
        (["2026-W21", "2026-W20", "2026-W24"], "2026-W20…W21, 2026-W24"),
        (["2026-W53", "2027-W01"], "2026-W53…2027-W01"),
    ],
)
def test_weeks_in_words(weeks: list[str], words: str) -> None:
    assert spans(weeks) == words


def test_a_difference_in_words_and_positions() -> None:
    now = plan(
        PLAN.replace("per_week: 50", "per_week: 40").replace("quantity: 8", "quantity: 12")
        + "work: {fix: {pool: eng, effort: 5, start: 2026-W15, due: 2026-W16}}\n"
    )
    found = difference(plan(PLAN), now)
    assert {one.words for one in found.changes} == {
        "eng.capacity.per_week from 50 to 40",
        "spring.quantity from 8 to 12",
        "work added: {fix: {pool: eng, effort: 5, start: 2026-W15, due: 2026-W16}}",
    }
    eng, shelf = found.moved
    assert (eng.pool, eng.demand, eng.headroom_was, eng.headroom_now) == (
        "eng",
        pytest.approx(40),
        20,
        pytest.approx(0),
    )
    # Of a running total the end counts.
    assert (shelf.pool, shelf.demand, shelf.weeks[0]) == ("shelf", pytest.approx(4), "2026-W15")


def test_a_pool_and_a_trigger_that_go(tmp_path: Path) -> None:
    trigger = (
        "triggers: [{trigger: t, watch: position, when: overload > 0.5, ask: {owners: [ana], decide_within: 1d}}]\n"
    )
    one, other = written(tmp_path, PLAN + trigger, "one.yaml"), written(tmp_path, PLAN, "other.yaml")
    said = json.loads(run("diff", one, other, "--json").stdout)
    assert [(change["part"], change["path"], change["now"]) for change in said["changes"]] == [("triggers", "t", None)]
    assert said["positions"] == []
    assert "On paper no position moves." in run("diff", one, other).stdout


def test_the_same_plan_in_another_layout_is_the_same(tmp_path: Path) -> None:
    one = written(tmp_path, PLAN, "one.yaml")
    other = written(
        tmp_path,
        PLAN.replace("people: {ana: {name: Ana}, ben: {name: Ben}}", "people:\n  ben: {name: Ben}\n  ana: {name: Ana}"),
        "other.yaml",
    )
    assert run("diff", one, other).stdout == "Nothing changes.\n"
    assert json.loads(run("diff", one, other, "--json").stdout)["same"] is True
