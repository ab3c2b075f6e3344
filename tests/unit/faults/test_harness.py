"""The fault harness sees what is lost and doubled, and kills where it is told; else its silence proves nothing."""

import json
import random
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from tests.faults.harness import plan, recompute
from tests.faults.harness.differences import missing_and_extra, same
from tests.faults.harness.faults import DECK, FAULTS, Scene
from tests.faults.harness.killpoints import POINTS, Points
from tests.faults.harness.load import Load
from tests.faults.harness.log import Seen
from tests.faults.harness.run import Broken, Run, deck
from tests.faults.harness.system import weeks_ahead


@pytest.mark.parametrize(
    ("found", "wanted", "kinds"),
    [
        ("ab", "ab", []),
        ("a", "ab", ["lost"]),
        ("abc", "ab", ["doubled"]),
        ("abb", "ab", ["doubled"]),
        ("", "ab", ["lost", "lost"]),
    ],
)
def test_what_is_lost_and_what_is_doubled(found: str, wanted: str, kinds: list[str]) -> None:
    assert [difference.kind for difference in missing_and_extra("somewhere", found, wanted)] == kinds


def test_what_says_something_else_is_lost() -> None:
    assert [str(difference) for difference in same("deals", {"a": 1}, {"a": 2})] == [
        "lost in deals: a is 1 and ought to be 2"
    ]
    assert not list(same("deals", {"a": 1}, {"a": 1}))


class Killed(Exception):
    pass


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Points, Path]:
    def killed(*_: int) -> None:
        raise Killed

    monkeypatch.setattr("os.kill", killed)
    return Points(tmp_path / "kill"), tmp_path / "kill"


def test_a_process_dies_at_the_named_passing_of_the_named_point(points: tuple[Points, Path]) -> None:
    pointed, file = points
    pointed.passing("sent")
    file.write_text("sent 3")
    pointed.passing("sent")
    pointed.passing("committed")
    pointed.passing("sent")
    with pytest.raises(Killed):
        pointed.passing("sent")
    assert not file.exists(), "its successor would die there, too"


async def test_points_lie_before_and_after_a_step(points: tuple[Points, Path]) -> None:
    pointed, file = points
    done = []

    class Step:
        async def take(self, number: int) -> int:
            done.append(number)
            return number

    pointed.around(Step, "take", "before", "after")
    assert await Step().take(1) == 1
    file.write_text("before 1")
    with pytest.raises(Killed):
        await Step().take(2)
    assert done == [1]
    file.write_text("after 1")
    with pytest.raises(Killed):
        await Step().take(3)
    assert done == [1, 3]


def test_every_twenty_faults_hold_every_kind() -> None:
    assert DECK.keys() == FAULTS.keys()
    drawn = deck(40, random.Random(1))
    assert Counter(drawn[:20]) == Counter(drawn[20:]) == Counter(DECK)
    assert set(deck(5, random.Random(1), ["compaction"])) == {"compaction"}


def test_each_kill_point_has_its_turn_before_any_comes_again() -> None:
    every = [(name, point) for name, points in POINTS.items() for point in points]
    scene = Scene(Mock(), Mock(), Mock(), random.Random(1))
    first = scene.next_point()
    scene.put_back(first)
    drawn = [scene.next_point() for _ in every]
    assert Counter(drawn) == Counter(every)
    assert drawn[-1] == first
    assert scene.next_point() in every


async def test_a_fault_without_load_is_void(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness's own probe is no load."""

    async def nothing(*_: Any) -> str:
        return "nothing"

    load = Load(Mock(), 1)
    load.attempts = 10**6
    for name in ("events", "new_plan"):
        monkeypatch.setattr(load, name, nothing)
    scene = Scene(Mock(), load, Mock(), random.Random(1))
    for name in ("ready", "attempts"):
        monkeypatch.setattr(scene, name, nothing)

    async def alive() -> None:
        load.acknowledged.events.add(f"probe {len(load.acknowledged.events)}")
        await load.probe(1.0)

    monkeypatch.setattr(scene, "alive", alive)
    monkeypatch.setitem(FAULTS, "nothing", nothing)
    run = Run(1, lambda _: None, scene, Mock())
    with pytest.raises(Broken, match="nothing did not come about in 4 tries"):
        await run.one("nothing")
    assert run.voided == 4


def event(number: int, kind: str, subject: str, **data: Any) -> Seen:
    at = f"2026-03-30T08:00:{number:02d}.000000+00:00"
    value = {"id": f"e{number}", "source": "crm", "type": kind, "subject": subject, "time": at, "data": data}
    return Seen(0, number, b"", json.dumps(value).encode(), {"headroom_source": b"cloudevents"})


def test_the_newest_of_each_field_stands_however_it_came() -> None:
    changed = "com.headroom.deal.changed"
    came = [
        event(3, changed, "1", stage="won"),
        event(1, changed, "1", stage="lost", close="2026-04-27"),
        event(2, changed, "1", probability=0.3),
        event(4, changed, "1", probability=None),
        event(3, changed, "1", stage="won"),
    ]
    inbox = recompute.Inbox()
    inbox.take(came)
    assert inbox.deals() == {"crm/1": recompute.NOTHING_SAID | {"stage": "won", "close": "2026-04-27"}}
    assert inbox.ids == {"e1", "e2", "e3", "e4"}


def test_hours_are_spread_evenly_from_the_close_week_on() -> None:
    close = "2026-04-27"
    deal = recompute.NOTHING_SAID | {"close": close, "lines": [{"product": "basic", "quantity": 2}]}
    won = recompute.hours_asked([deal | {"stage": "won"}])
    assert won == {("build", weeks_ahead(4 + late)): (6.0, 0.0) for late in range(4)}
    assert recompute.hours_asked([deal | {"stage": "commit"}])["build", weeks_ahead(4)] == (0.0, pytest.approx(4.2))
    assert not recompute.hours_asked([deal | {"stage": "won", "deleted": True}])


def frame(*rows: tuple[int, float], complete: bool = False, decided: float = 0.0) -> dict[str, Any]:
    positions = [
        {
            "pool": "build",
            "week": weeks_ahead(ahead),
            "capacity": 100.0,
            "booked": booked,
            "utilisation": booked / 100.0,
            "decided": decided,
        }
        for ahead, booked in rows
    ]
    return {"complete": complete, "week": weeks_ahead(0), "now": "2026-03-30T08:00:00Z", "positions": positions}


def test_an_episode_fires_is_updated_and_is_over() -> None:
    judged = recompute.Evaluation()
    for offset, one in enumerate(
        [
            frame((1, 110.0)),  # before the first complete frame nothing is known
            frame((1, 90.0), (2, 80.0), complete=True),
            frame((1, 110.0)),
            frame((1, 111.0)),
            frame((1, 150.0)),
            frame((2, 101.0)),
            frame((1, 95.0)),
            frame((2, 95.0)),
            frame((1, 80.0), (2, 80.0)),
            frame((1, 110.0)),
        ]
    ):
        judged.take(offset, one)
    assert [(told.kind, told.frame) for told in judged.told] == [
        ("firing", 2), ("updated", 4), ("updated", 5), ("resolved", 8), ("firing", 9),
    ]  # fmt: skip
    assert len({told.event_id for told in judged.told}) == 5
    assert plan.CLEARS_BELOW == 0.9


def test_what_is_decided_mitigates_and_reopens_when_it_lapses() -> None:
    judged = recompute.Evaluation()
    for offset, one in enumerate(
        [
            frame((1, 110.0), complete=True),
            frame((1, 80.0), decided=30.0),
            frame((1, 81.0), decided=30.0),
            frame((1, 95.0)),
            frame((1, 70.0), decided=30.0),
            frame((1, 70.0)),
        ]
    ):
        judged.take(offset, one)
    kinds = ["firing", "mitigated", "reopened", "mitigated", "resolved"]
    assert [told.kind for told in judged.told] == kinds


def test_a_decision_counts_once_and_until_it_lapses() -> None:
    effect = {"pool": "build", "weeks": ["2026-W18"], "amount": 5.0, "confirm_by": "2026-03-30T09:00:00Z"}
    said = {"id": "d1", "recalibration": "r1", "kind": "decided", "effects": [effect]}
    decided = recompute.Decisions()
    decided.take([Seen(0, offset, b"r1", json.dumps(said).encode(), {}) for offset in range(2)])
    assert decided.added(datetime(2026, 3, 30, 8, 59, tzinfo=UTC)) == {("build", "2026-W18"): 5.0}
    assert not decided.added(datetime(2026, 3, 30, 9, 1, tzinfo=UTC))


def test_money_is_added_up_by_quarter_and_segment() -> None:
    line = {"product": "basic", "quantity": 2, "amount": 100.0}
    won = recompute.NOTHING_SAID | {"close": "2026-04-27", "stage": "won", "segment": "smb", "lines": [line]}
    opened = won | {"stage": "commit", "segment": "", "close": "2026-07-01", "lines": [line, {"product": "basic"}]}
    others = [won | {"stage": "lost"}, won | {"deleted": True}, won | {"stage": None, "probability": 0.5}]
    assert recompute.money([won, opened, *others]) == {
        ("2026-Q2", "smb"): (100.0, 0.0),
        ("2026-Q2", "*"): (100.0, 0.0),
        ("2026-Q3", ""): (0.0, 70.0),
        ("2026-Q3", "*"): (0.0, 70.0),
    }
