"""The story of the example, replayed without a broker: what is said when, and that live says the same."""

import json
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from headroom.cli import app
from headroom.replay import replay
from headroom.story import read_story
from shared.schemas.plan_file import parse_plan
from tests.unit.demo.model import Model
from tests.unit.headroom.story_told import LAST, Told

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
EVENTS = [msgspec.json.encode(moment.event) for moment in STORY.moments]
END = STORY.start_of(LAST + timedelta(days=1))


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("backtest") / "events.jsonl"
    made.write_bytes(b"\n".join(EVENTS) + b"\n")
    return made


def test_the_slip_is_seen_weeks_before_the_release_is_due(told: Told) -> None:
    found = told.replay
    assert (found.events, found.unusable) == (sum(moment.at < END for moment in STORY.moments), 0)
    first = next(day.day for day in found.days for one in day.work if one.work == "core-release" and one.slip_weeks > 2)
    # Due at the end of 2026-W25, the 21st of June.
    assert first.isoformat() < "2026-05-24"
    (release,) = [item for item in found.work if item.work == "core-release"]
    assert release.slip_weeks == 6.0
    assert release.late > 0.95
    assert found.days == sorted(found.days, key=lambda day: day.day)


def test_it_says_what_the_live_shards_say_at_the_same_moment() -> None:
    day = STORY.launch + timedelta(days=14)
    now = STORY.start_of(day)
    before = [moment for moment in STORY.moments if moment.at < now]
    model = Model(PLAN)
    model.tell(before)
    model.look(now)
    found = replay(PLAN, EVENTS, first=day, last=day)
    (one, *_) = [projected for projected in found.days if projected.day == day]
    for work in one.work:
        live = model.work[work.work]
        assert (work.finish, work.slip_weeks, work.slip_mean, work.late) == (
            live.finish, live.slip_weeks, live.slip_mean, live.late,
        )  # fmt: skip
    for pool in one.pools:
        rows = [row for (name, _), row in model.positions.items() if name == pool.pool]
        assert pool.overload == max(row.overload for row in rows)
        assert pool.late == max(row.late for row in rows)


def test_only_the_days_asked_for_are_projected() -> None:
    first, last = STORY.launch, STORY.launch + timedelta(days=5)
    found = replay(PLAN, EVENTS, first, last)
    days = [day.day for day in found.days]
    assert (days[0], max(days)) == (first, last)
    assert found.events < len(EVENTS)


def test_what_cannot_be_used_is_counted_with_the_reason_and_ends_with_3(file: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jsonl"
    broken.write_bytes(EVENTS[0] + b"\n{not json}\n" + EVENTS[1] + b"\n")
    done = CliRunner().invoke(
        app, ["backtest", "--plan", str(EXAMPLE / "plan.yaml"), "--events", str(broken), "--json"]
    )
    said = json.loads(done.stdout)
    assert (done.exit_code, said["events"], said["unusable"]) == (3, 3, 1)
    assert [(one["event"], one["reason"].split(":")[0]) for one in said["rejected"]] == [(2, "malformed")]


def test_the_command_prints_tables_and_writes_one_page_that_needs_nothing_else(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "page.html"
    said = ["backtest", "--plan", str(EXAMPLE / "plan.yaml"), "--events", str(file), "--html", str(out)]
    wide = {"COLUMNS": "200"}  # names of columns may be folded where they do not fit
    done = CliRunner().invoke(app, [*said, "--from", "2026-04-25", "--to", "2026-05-09"], env=wide)
    assert done.exit_code == 0
    assert "core-release" in done.stdout
    html = out.read_text()
    over_time, *_ = html.partition("<h2>Episodes, and what came true</h2>")
    assert over_time.count("<svg") == 6
    assert "Margin as a share of bookings" in html
    assert "discounts drift in" in done.stdout
    assert "2026-Q2" in done.stdout
    assert "Episodes, times in Europe/" in done.stdout
    assert "at risk (EUR)" in done.stdout
    assert "http" not in html
    assert "src=" not in html


def test_a_csv_with_its_mapping(tmp_path: Path) -> None:
    table = tmp_path / "deals.csv"
    table.write_text(
        "id,day,stage,product,amount\n1,2026-04-01,won,business,24000\n2,2026-04-03,qualified,business,1\n"
    )
    mapping = tmp_path / "mapping.yaml"
    mapping.write_text(
        "name: old\nid: id\nfields: {product: product, amount: amount, stage: stage, close: day}\n"
        "events:\n  - {name: said, on: day, set: {stage: stage}}\n"
    )
    done = CliRunner().invoke(
        app,
        ["backtest", "--plan", str(EXAMPLE / "plan.yaml"), "--events", str(table), "--map", str(mapping), "--json"],
    )
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["events"] == 2
    assert any(row.get("booked", 0) > 0 for row in said["positions"] if row["pool"] == "implementation")
    (quarter,) = [one for one in said["forecasts"] if (one["period"], one["segment"]) == ("2026-Q2", "*")]
    assert (quarter["closed"], quarter["expected"]) == (24000.0, 0.1)
    # A unit of either is one implementation of 72 hours and 26 tickets; the open one counts for a tenth.
    assert quarter["cost"] == pytest.approx(1.1 * (3000 + 72 * 70 + 26 * 20))
    shown = {(one["period"], one["segment"]): one["bookings"] for one in said["days"][-1]["forecasts"]}
    assert shown["2026-Q2", "*"] == 24000.1


def test_rows_of_a_csv_that_tell_nothing_are_listed_and_end_with_3(tmp_path: Path) -> None:
    table, mapping = tmp_path / "deals.csv", tmp_path / "mapping.yaml"
    table.write_text("id,day,stage\n1,2026-04-01,won\n" + "2,2026-13-03,won\n" * 25)
    mapping.write_text(
        "name: old\nid: id\nfields: {stage: stage, close: day}\n"
        "events:\n  - {name: said, on: day, set: {stage: stage}}\n"
    )
    said = ["backtest", "--plan", str(EXAMPLE / "plan.yaml"), "--events", str(table), "--map", str(mapping), "--json"]
    done = CliRunner().invoke(app, said)
    found = json.loads(done.stdout)
    assert (done.exit_code, found["events"], found["unusable"]) == (3, 1, 0)
    assert [one["line"] for one in found["rows"]] == list(range(3, 28))
    assert f"{table}:3: day is '2026-13-03'" in done.stderr
    assert "and 5 rows more" in done.stderr
