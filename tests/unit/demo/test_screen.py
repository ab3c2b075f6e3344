"""What the demo shows says with words and marks what it also says with colours."""

import io
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pytest
from rich.console import Console
from rich.text import Text

from headroom.demo.facts import Answered, Facts, used, used_with_work
from headroom.demo.screen import Screen, alarm_words, line, picture, sparkline
from shared.schemas.deal import Deal, Line
from shared.schemas.plan_file import parse_plan
from shared.schemas.position import Position, TopDeal, WorkState
from shared.schemas.recalibration import Recalibration
from shared.schemas.week import add_weeks
from tests.unit.demo.alarms import slipping

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")


def some_facts() -> Facts:
    facts = Facts(PLAN, datetime(2026, 5, 18, 10, tzinfo=UTC))
    for pool, share in (("engineering", 0.4), ("implementation", 1.88), ("support", 0.95)):
        for n in range(12):
            week = add_weeks("2026-W20", n)
            facts.positions[pool, week] = Position(
                pool=pool, week=week, unit="hours", capacity=100, by_plan=100, utilisation=share
            )
    for slip in (0.0, 3.0, 6.0):
        facts.see_work(
            [
                WorkState(
                    work="core-release",
                    pool="engineering",
                    effort=3840,
                    due="2026-W25",
                    finish=add_weeks("2026-W25", int(slip)),
                    slip_weeks=slip,
                )
            ]
        )
    lines = [Line(product="enterprise", amount=48000, list_amount=60000)]
    facts.deals["crm/E-00"] = Deal(
        id="crm/E-00",
        source="crm",
        object="E-00",
        version=1,
        stage="commit",
        close=date(2026, 6, 1),
        amount=1_000_000,
        lines=lines,
    )
    return facts


def shown(facts: Facts, width: int = 110) -> str:
    console = Console(file=io.StringIO(), width=width, no_color=True, force_terminal=False)
    console.print(picture(facts, [Text("the first alarm")], width))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_picture_says_everything_without_colour() -> None:
    text = shown(some_facts())
    assert "Mon 18 May 2026 · 2026-W21" in text
    assert "nothing won + 850 k expected of 1.60 M" in text
    assert "GREEN" in text
    assert "20.0% on open quotes" in text
    assert "188%!" in text
    assert "95%" in text
    assert "95%!" not in text
    assert "due 2026-W25, done 2026-W31 (week 18 of it)  slips 6 weeks" in text
    assert "the first alarm" in text


def test_below_a_pool_stands_what_it_needs_with_the_work_it_owes() -> None:
    """3840 hours over 12 weeks are 320 a week; the pool has 100, and deals ask for 40 of them."""
    rows = shown(some_facts()).splitlines()
    at = next(number for number, row in enumerate(rows) if "│ engineering" in row)
    assert rows[at].split()[2:4] == ["40%", "40%"]
    assert rows[at + 1].split()[1:5] == ["+", "core-release", "360%!", "360%!"]
    assert rows[at + 1].split()[8:10] == ["360%!", "–"]
    assert sum(" + " in row and "%" in row for row in rows) == 1


@pytest.mark.parametrize(
    ("week", "share"), [("2026-W13", None), ("2026-W14", 3.6), ("2026-W25", 3.6), ("2026-W26", None)]
)
def test_work_is_spread_evenly_until_it_is_due(week: str, share: float | None) -> None:
    facts = some_facts()
    position = facts.positions["engineering", "2026-W20"]
    facts.positions = {("engineering", week): msgspec.structs.replace(position, week=week)}
    assert used(facts, "engineering", week) == 0.4
    found = used_with_work(facts, "engineering", week)
    assert found == (None if share is None else pytest.approx(share))


def test_the_picture_keeps_within_a_narrow_terminal() -> None:
    assert max(len(row) for row in shown(some_facts(), width=80).splitlines()) <= 80


def test_elsewhere_one_line_a_week_and_one_per_event() -> None:
    facts = some_facts()
    console = Console(file=io.StringIO(), width=200, no_color=True)
    with Screen(console, live=False) as screen:
        screen.show(facts)
        screen.show(facts)
        screen.say("an event")
        facts.now = datetime(2026, 5, 25, 10, tzinfo=UTC)
        screen.show(facts)
    assert isinstance(console.file, io.StringIO)
    weeks = [row[:19] for row in console.file.getvalue().splitlines()]
    assert weeks == ["2026-05-18 2026-W21", "  an event", "2026-05-25 2026-W22"]
    assert "implementation 188%" in line(facts)
    assert "core-release slips 6" in line(facts)


def test_sparkline() -> None:
    assert sparkline([0, 3, 6]) == "▁▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""


def alarm() -> Recalibration:
    return slipping(
        datetime(2026, 5, 9, tzinfo=UTC),
        unit="hours",
        cause=[TopDeal("crm/E-00", 30.0, 0.04, 0.5, "enterprise"), TopDeal("crm/E-01", 60.0, 0.08, 1.0, "enterprise")],
        decide_by=datetime(2026, 5, 25, tzinfo=UTC),
    )


def test_an_alarm_in_words_names_owner_deadline_and_causes() -> None:
    assert alarm_words(alarm()) == [
        "CRITICAL  core-release slips 3 weeks.",
        "Head of Engineering is asked to decide by 25 May",
        "because of crm/E-00 (30 hours), crm/E-01 (60 hours) …; 1 of the 2 named were open then",
    ]


def test_what_is_asked_stays_on_the_picture_and_shows_the_answer() -> None:
    facts = some_facts()
    facts.hear(alarm())
    assert "release-slipping: firing, critical, since 09 May" in shown(facts)
    facts.decisions.append(Answered(alarm(), facts.now, "head-of-engineering", "Five keep it.", [], {}))
    facts.hear(msgspec.structs.replace(alarm(), kind="resolved", summary="core-release is settled."))
    text = shown(facts)
    assert "release-slipping: resolved" in text
    assert "because of crm/E-00 (30 hours)" in text
    assert "Decided 18 May: Five keep it." in text
