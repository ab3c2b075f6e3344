"""A first plan from history: what is measured, from how many, and what is named as a gap."""

import csv
import json
from collections import Counter
from datetime import date
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from headroom.load_events import Event
from headroom.plan import app
from headroom.plan_draft import draft, quoted
from headroom.plan_history import class_of, history_of
from shared.errors import PlanError
from shared.schemas.plan_file import parse_plan

ROOT = Path(__file__).parents[3]
PIPELINE = ROOT.parent / "shared" / "data" / "maven-crm" / "sales_pipeline.csv"
MAPPING = ROOT / "examples" / "maven-crm" / "mapping.yaml"

CSV = """\
id,product,stage,engaged,expected,closed,units,value
1,basic,Closed Won,2026-01-05,2026-02-02,2026-02-03,2,200
2,basic,Closed Won,2026-01-05,2026-02-02,2026-02-20,4,320
3,basic,Closed Lost,2026-01-05,2026-02-02,2026-01-19,1,
4,basic,Talks,2026-01-12,2026-03-02,,1,
5,on,Closed Won,2026-01-12,2026-02-02,2026-01-30,1,
"""
MAP = """\
name: test
id: id
fields: {product: product, quantity: units, engaged: engaged}
events:
  - name: began
    on: engaged
    set: {stage: {value: Talks}, close: expected}
  - name: ended
    on: closed
    when: {stage: [Closed Won, Closed Lost]}
    set: {stage: stage, close: closed, amount: {column: value, when: {stage: [Closed Won]}}}
"""


def run(folder: Path, *more: str, text: str = CSV) -> Result:
    (folder / "deals.csv").write_text(text, encoding="utf-8")
    (folder / "map.yaml").write_text(MAP, encoding="utf-8")
    arguments = ["draft", "--deals", str(folder / "deals.csv"), "--map", str(folder / "map.yaml"), *more]
    return CliRunner().invoke(app, arguments)


def test_everything_is_measured_and_says_from_how_many(tmp_path: Path) -> None:
    result = run(tmp_path)
    plan = parse_plan(result.stdout, "draft")
    talks = plan.stages["Talks"]
    # 3 of 4 that ended were won; the won ones closed 1 and 18 days late, and 3 days early.
    assert (talks.probability, talks.push_weeks, talks.stale_after.days) == (0.75, [0.666, 0.0, 0.333], 18)
    assert "won 3, lost 1, open still 1, few" in result.stdout
    assert {name: stage.class_ for name, stage in plan.stages.items() if name != "Talks"} == {
        "Closed Won": "won",
        "Closed Lost": "lost",
    }
    basic = plan.products["basic"]
    # A unit went for 100 and for 80.
    assert (basic.list_price, basic.quantity.default) == (90.0, 3.0)
    assert "basic: # 2 won, few; median 37.5 days until won, 14 days until lost" in result.stdout
    assert "#   next-1: {product: basic, from: 2026-02-21, due: 2026-05-22, quantity: 6}" in result.stdout


def test_gaps_are_named_where_they_are(tmp_path: Path) -> None:
    result = run(tmp_path)
    gaps = json.loads(run(tmp_path, "--json").stdout)["gaps"]
    assert [gap.partition(":")[0] for gap in gaps] == [
        "currency", "timezone", "people", "pools", "products.basic.needs", "products.on.list_price",
        "products.on.needs", "milestones",
    ]  # fmt: skip
    assert result.stdout.count("# GAP: ") == len(gaps)
    assert "currency" not in {
        gap.partition(":")[0] for gap in json.loads(run(tmp_path, "--json", "--currency", "USD").stdout)["gaps"]
    }


def test_only_what_was_known_on_a_day(tmp_path: Path) -> None:
    seen = json.loads(run(tmp_path, "--json", "--as-of", "2026-02-10").stdout)["history"]
    (talks,) = seen["stages"]
    assert (talks["won"], talks["lost"], talks["open"]) == (2, 1, 2)


def test_rows_that_cannot_be_read_are_counted(tmp_path: Path) -> None:
    result = run(tmp_path, text=CSV + "6,basic,Talks,someday,,,1,\n")
    assert result.exit_code == 0
    assert result.stderr == "1 of 6 rows cannot be read and are left out\n"


def test_an_empty_history_is_all_gaps_and_sound(tmp_path: Path) -> None:
    result = run(tmp_path, text=CSV.splitlines()[0] + "\n")
    plan = parse_plan(result.stdout, "draft")
    assert (list(plan.stages), plan.products) == (["open"], {})
    assert "no stage is one of deals won" in result.stdout


def test_a_name_that_no_plan_can_have_is_refused(tmp_path: Path) -> None:
    assert isinstance(run(tmp_path, "--name", "My Plan!").exception, PlanError)


@pytest.mark.parametrize(
    ("stage", "kind"),
    [("Won", "won"), ("closedwon", "won"), ("Closed - Lost", "lost"), ("Wonder", "open"), ("Negotiation", "open")],
)
def test_a_stage_is_told_by_its_name(stage: str, kind: str) -> None:
    assert class_of(stage, [], []) == kind
    assert class_of(stage, [stage], []) == "won"
    assert class_of(stage, ["else"], ["other"]) == "open"


NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")) | st.sampled_from("\t\n\x85"), min_size=1, max_size=8)
"""What a cell may hold: rows with other control characters are rejected."""


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 5),
            st.dates(date(2020, 1, 1), date(2026, 1, 1)),
            st.fixed_dictionaries(
                {},
                optional={
                    "stage": NAMES,
                    "close": st.dates(date(2020, 1, 1), date(2026, 1, 1)).map(str),
                    "engaged": st.dates(date(2020, 1, 1), date(2026, 1, 1)).map(str),
                    "amount": st.floats(-1e9, 1e9),
                    "currency": st.just("EUR"),
                    "lines": st.lists(
                        st.fixed_dictionaries({"product": NAMES}, optional={"quantity": st.floats(0, 1e6)}),
                        max_size=2,
                    ),
                },
            ),
        ),
        max_size=8,
    )
)
def test_whatever_history_says_the_draft_is_a_sound_plan(rows: list[tuple[int, date, dict]]) -> None:
    events = [Event(str(deal), 1, day, {"data": data}) for deal, day, data in rows]
    text, _ = draft(history_of(events), "draft")
    parse_plan(text, "draft")


@pytest.mark.parametrize("name", ["on", "GTX Pro", "a: b", "1.5", "é", 'say "x"', "#1", "null", "- x", "tab\there"])
def test_names_survive_yaml(name: str) -> None:
    text, _ = draft(history_of([Event("1", 1, date(2026, 1, 1), {"data": {"stage": name}})]), "draft")
    assert name in parse_plan(text, "draft").stages
    assert quoted("GTX Pro") == "GTX Pro"


@pytest.mark.skipif(not PIPELINE.exists(), reason=f"{PIPELINE.name} is not beside this checkout")
def test_a_real_pipeline_against_a_plain_recompute() -> None:
    result = CliRunner().invoke(app, ["draft", "--deals", str(PIPELINE), "--map", str(MAPPING), "--currency", "USD"])
    plan = parse_plan(result.stdout, "draft")
    with PIPELINE.open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    stages = Counter(row["deal_stage"] for row in rows)
    rate = stages["Won"] / (stages["Won"] + stages["Lost"])
    assert plan.stages["Engaging"].probability == pytest.approx(rate, abs=5e-4)
    for product in plan.products:
        won = [float(row["close_value"]) for row in rows
               if row["product"].replace("GTXPro", "GTX Pro") == product and row["deal_stage"] == "Won"]  # fmt: skip
        assert plan.products[product].list_price == median(won)
