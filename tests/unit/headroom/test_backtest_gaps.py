"""Events far from all others, which once made a back-test project every day up to them."""

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headroom.cli import app
from headroom.replay import Replay, Replayer
from services.capacity.domain.pool import Depth
from shared.schemas.plan_file import parse_plan

PLAN_FILE = Path(__file__).parents[3] / "examples" / "margin-volume-trap" / "plan.yaml"
PLAN = parse_plan(PLAN_FILE.read_text(), "plan.yaml")


def event(day: str, deal: str = "D", stage: str = "won") -> bytes:
    """A deal that changes at noon of ``day``."""
    said = {
        "specversion": "1.0", "id": f"{deal}-{day}-{stage}", "source": "crm", "type": "com.headroom.deal.changed",
        "subject": deal, "time": f"{day}T12:00:00Z",
        "data": {"stage": stage, "close": "2026-05-01", "lines": [{"product": "business", "quantity": 1}]},
    }  # fmt: skip
    return json.dumps(said).encode()


def replayed(days: list[str], last: date | None = None, quiet: int = 366) -> Replay:
    replayer = Replayer(PLAN, None, last, Depth(tails=False, paths=False), quiet=timedelta(days=quiet))
    for number, day in enumerate(days):
        if not replayer.take(event(day, f"D{number}")):
            break
    return replayer.end()


def shown(found: Replay) -> list[str]:
    return [day.day.isoformat() for day in found.days]


@pytest.mark.parametrize(
    ("days", "projected", "rejected"),
    [
        pytest.param(["2026-04-01", "2026-04-02"], ["2026-04-02", "2026-04-02"], [], id="days as they come"),
        pytest.param(
            ["2026-04-01", "2099-01-01", "2026-04-02"], ["2026-04-02", "2026-04-02"], [2], id="one far ahead"
        ),
        pytest.param(["2026-04-01", "2026-04-01", "2099-01-01"], ["2026-04-01"], [3], id="the last one far ahead"),
        pytest.param(
            ["2026-04-01", "2060-01-01", "2099-01-01", "2026-04-02"],
            ["2026-04-02", "2026-04-02"], [2, 3], id="two that are far from each other",
        ),
        pytest.param(
            ["1990-01-01", "2026-04-01", "2026-04-02"],
            ["1990-01-02", "2026-04-01", "2026-04-02", "2026-04-02"], [], id="the first one far behind",
        ),
        pytest.param(
            ["2026-04-01", "1990-01-01", "2026-04-02"], ["2026-04-02", "2026-04-02"], [], id="one of long ago"
        ),
        pytest.param(
            ["2026-04-01", "2028-04-01", "2028-04-02"],
            ["2026-04-02", "2028-04-01", "2028-04-02", "2028-04-02"], [], id="nothing for two years",
        ),
    ],
)  # fmt: skip
def test_an_event_far_ahead_by_itself_is_rejected_and_empty_years_are_passed_over(
    days: list[str], projected: list[str], rejected: list[int]
) -> None:
    found = replayed(days)
    assert shown(found) == projected
    assert [number for number, _ in found.rejected] == rejected
    assert all(reason.startswith("far-ahead: its time 20") for _, reason in found.rejected)
    assert (found.events, found.unusable) == (len(days), len(rejected))


def test_how_far_is_for_the_user_to_say() -> None:
    days = ["2026-04-01", "2026-04-21", "2026-04-02"]
    assert replayed(days, quiet=10).unusable == 1
    assert len(replayed(days, quiet=30).days) == 21


def test_an_event_far_behind_the_last_day_does_not_end_a_back_test() -> None:
    found = replayed(["2026-04-01", "2099-01-01", "2026-04-02", "2026-04-05"], last=date(2026, 4, 3))
    assert (found.events, found.unusable) == (2, 0)
    assert shown(found) == ["2026-04-02", "2026-04-03", "2026-04-03"]


def test_the_command_lists_it_and_ends_with_3(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    events.write_bytes(b"\n".join([event("2026-04-01"), event("2099-01-01", "other"), event("2026-04-02")]))
    done = CliRunner().invoke(app, ["backtest", "--plan", str(PLAN_FILE), "--events", str(events), "--json"])
    said = json.loads(done.stdout)
    assert (done.exit_code, said["unusable"], len(said["days"])) == (3, 1, 2)
    assert said["rejected"][0]["event"] == 2
    assert "26,573 days after all before it" in said["rejected"][0]["reason"]
    assert datetime(2099, 1, 1, tzinfo=UTC) - datetime(2026, 4, 1, tzinfo=UTC) > timedelta(days=26_500)
