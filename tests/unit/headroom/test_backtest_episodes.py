"""Episodes of a back-test: the example's known answers, tables of made-up frames, and that live makes the same."""

import json
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headroom import replay_read
from headroom.backtest import summary
from headroom.backtest_page import page
from headroom.hindsight import Hindsight, Watcher
from headroom.replay import Replayer, replay
from headroom.story import read_story
from services.capacity.agents.fold import FoldShard
from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce
from services.ingest.domain.change import DealChange
from services.ingest.domain.merge import merge
from services.ingest.normalise import cloudevents
from services.triggers.agents import TriggersShard
from services.triggers.domain.rules import compile_rules
from shared.schemas import deal, recalibration, report, signal
from shared.schemas.frame import Frame
from shared.schemas.frame import decode as decode_frame
from shared.schemas.plan_file import parse_plan
from shared.schemas.week import add_weeks
from shared.streams.shards import Batch, Outgoing, Shard
from shared.topics import CELLS, DEALS, DECISIONS, EPISODES, FRAMES, POSITIONS, RECALIBRATIONS, REPORTS, SIGNALS, Topic
from tests.unit.headroom.story_told import Told
from tests.unit.triggers.scenes import MONDAY, WEEK, Written, plan, position, slipping, trigger

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
EVENTS = [msgspec.json.encode(moment.event) for moment in STORY.moments]


# -- the example


def test_the_story_gives_the_answers_of_its_arithmetic(told: Told) -> None:
    found = json.loads(json.dumps(summary(PLAN, told.replay, 1.0), default=str))
    fired = [(one["trigger"], one["scope"], one["fired"][:10], one["outcome"]) for one in found["episodes"]]
    # The slip passes two weeks on the 7th of May; `for: 1d` later it fires. It is late when 2026-W25 has gone by.
    assert fired == [
        ("release-slipping", "core-release", "2026-05-08", "came-true"),
        ("implementation-late", "implementation", "2026-05-09", "came-true"),
        ("implementation-overcommitted", "implementation", "2026-05-14", "came-true"),
    ]
    assert [(one["of"], one["first_week"], one["last_week"]) for one in found["overloads"]] == [
        ("implementation", "2026-W23", "2026-W26"), ("core-release", "2026-W25", "2026-W25"),
    ]  # fmt: skip
    midnight = [datetime.fromisoformat(one["at"]) for one in found["overloads"]]
    assert midnight == [datetime(2026, 5, 31, 22, tzinfo=UTC), datetime(2026, 6, 21, 22, tzinfo=UTC)]
    assert [one["lead_days"] for one in found["overloads"]] == [22.0, 44.0]
    assert (found["precision"]["value"], found["recall"]["value"]) == (1.0, 1.0)
    assert found["recall"]["median_lead_days"] == 33.0
    assert found["alarms"] == [
        {"owner": "head-of-engineering", "week": "2026-W19", "singly": 1, "grouped": 0},
        {"owner": "head-of-implementation", "week": "2026-W19", "singly": 1, "grouped": 0},
        {"owner": "head-of-implementation", "week": "2026-W20", "singly": 1, "grouped": 0},
    ]
    html = page(PLAN, told.replay)
    assert html.count('<g class="episode">') == 3
    assert "release-slipping on core-release: fired 2026-05-08, came true 6.3 weeks later" in html


# -- made-up frames


def seen(*frames: Frame, **changes: Any) -> Hindsight:
    watcher = Watcher(plan(trigger(**changes)), "p@1")
    for frame in frames:
        watcher.see(frame)
    return watcher.hindsight()


def at_week(weeks: int, *positions: Any, **changes: Any) -> Frame:
    """The complete frame of a Monday so many weeks after ``MONDAY``."""
    now = MONDAY + timedelta(weeks=weeks)
    week = add_weeks(WEEK, weeks)
    return Frame(now=now, week=week, plan="p@1", complete=True, upto={}, positions=list(positions), **changes)


def told_in(weeks: int, overload: float, headroom: float) -> list[Any]:
    """Positions of weeks 0 … 5; that in week ``weeks`` is as said, the others are calm."""
    calm = {"headroom": 20.0}
    return [
        position(week, overload if week == weeks else 0.05, **(calm if week != weeks else {"headroom": headroom}))
        for week in range(6)
    ]


@pytest.mark.parametrize(
    ("frames", "outcome", "lead", "recall", "precision"),
    [
        pytest.param([at_week(0, *told_in(2, 0.9, -5.0)), at_week(2, *told_in(2, 0.9, -5.0)), at_week(3)],
                     "came-true", timedelta(weeks=2), 1.0, 1.0, id="it comes two weeks later"),
        pytest.param([at_week(0, *told_in(2, 0.9, -5.0)), at_week(2, *told_in(2, 0.9, 5.0)), at_week(3)],
                     "did-not", None, None, 0.0, id="its week comes without it"),
        pytest.param([at_week(0, *told_in(2, 0.9, -5.0)), at_week(1, *told_in(2, 0.9, -5.0))],
                     "undecided", None, None, None, id="its week has not come"),
        pytest.param([at_week(0, *told_in(0, 0.9, -5.0)), at_week(1)],
                     "came-true", timedelta(0), 0.0, 1.0, id="it was there already"),
    ],
)  # fmt: skip
def test_an_episode_is_judged_by_what_its_weeks_turned_out_to_be(
    frames: list[Frame], outcome: str, lead: timedelta | None, recall: float | None, precision: float | None
) -> None:
    found = seen(*frames)
    (one,) = found.episodes
    assert (one.outcome, one.lead) == (outcome, lead)
    assert (found.recall, found.score.precision) == (recall, precision)


def test_an_overload_that_nobody_announced_counts_against_recall_alone() -> None:
    found = seen(at_week(0, *told_in(1, 0.05, -5.0)), at_week(1, *told_in(1, 0.05, -5.0)), at_week(2))
    assert [(one.of, one.first, one.warned) for one in found.overloads] == [("implementation", "2026-W15", None)]
    assert (found.recall, found.score.precision, found.episodes) == (0.0, None, [])


@pytest.mark.parametrize(("slip", "outcome"), [(3.0, "came-true"), (0.0, "did-not")])
def test_a_work_item_is_late_when_its_due_week_has_gone_by(slip: float, outcome: str) -> None:
    late = {"watch": "work", "where": {}, "when": "slip_weeks > 2", "clear": "slip_weeks <= 1"}
    before, after = [slipping(3.0)], [slipping(slip)]
    found = seen(at_week(0, work=before), at_week(4, work=after), at_week(5, work=after), **late)
    assert [one.outcome for one in found.episodes] == [outcome]
    assert [(one.kind, one.lead) for one in found.overloads] == [("work", timedelta(weeks=5))][: slip > 0]
    assert [one.outcome for one in seen(at_week(0, work=before), **late).episodes] == ["undecided"]


def test_what_announces_no_overload_is_not_judged() -> None:
    silent = {"watch": "report", "where": {}, "when": "report_age > 2", "clear": None}
    ages = {"implementation": 500_000.0}
    found = seen(at_week(0, report_ages=ages), at_week(1, report_ages={"implementation": 1.0}), **silent)
    (one,) = found.episodes
    assert [kind for kind, _ in one.moves] == ["firing", "resolved"]
    assert (one.outcome, found.score.precision, one.resolved) == ("not-judged", None, MONDAY + timedelta(weeks=1))


def test_a_breach_that_does_not_last_leaves_the_episode_before_it_resolved() -> None:
    overs = [0.9, 0.9, 0.05, 0.9, 0.05]
    found = seen(*(at_week(week, *told_in(5, over, -5.0)) for week, over in enumerate(overs)), for_="7d")
    (one,) = found.episodes
    assert one.moves == [("firing", MONDAY + timedelta(weeks=1)), ("resolved", MONDAY + timedelta(weeks=2))]
    assert one.resolved == MONDAY + timedelta(weeks=2)


def test_a_trigger_in_shadow_is_judged_and_alarms_nobody() -> None:
    frames = [at_week(0, *told_in(2, 0.9, -5.0)), at_week(2, *told_in(2, 0.9, -5.0)), at_week(3)]
    found = seen(*frames, shadow=True)
    assert [(one.shadow, one.outcome, [k for k, _ in one.moves]) for one in found.episodes] == [
        (True, "came-true", ["firing"])
    ]
    assert found.alarms == {}
    assert seen(*frames).alarms == {("ana", WEEK): (1, 0)}


# -- live says the same


class Live:
    """The shards that run live, flushed when told; between them lies nothing."""

    def __init__(self) -> None:
        rules = compile_rules(NAME, SMALL)
        in_force = PlanInForce(NAME, SMALL)
        # Nothing of what is told now waits for its pace.
        self.fold, self.project = FoldShard(0), ProjectShard(lambda: in_force, seconds=count(step=10.0).__next__)
        self.triggers = TriggersShard(lambda name: rules)
        self.fold.restored({DEALS: 0})
        self.project.restored({CELLS: 0, REPORTS: 0, DECISIONS: 0, POSITIONS: 0, SIGNALS: 0})
        self.triggers.restored({FRAMES: 0, EPISODES: 0})
        self.deals: dict[str, deal.Deal] = {}
        self.frames: list[Frame] = []
        self.told: list[recalibration.Recalibration] = []
        self._offsets: dict[Topic, count[int]] = {}

    def take(self, raw: bytes) -> None:
        said = cloudevents.read(cloudevents.structured(raw), MONDAY)
        if isinstance(said, DealChange):
            merged = merge(self.deals.get(said.deal_id), said).deal
            if merged is not None:
                self.deals[merged.id] = merged
                self.hand(DEALS, [(merged.id.encode(), deal.encode(merged))], self.fold)
        elif isinstance(said, report.Report):
            self.hand(REPORTS, [(report.record_key(said), report.encode(said))], self.project)
        else:
            self.hand(SIGNALS, [(said.id.encode(), signal.encode(said))], self.project)

    def look(self, now: datetime) -> None:
        self.hand(CELLS, of(CELLS, self.fold.flush(now)), self.project)
        values = of(FRAMES, self.project.flush(now))
        self.frames += [decode_frame(value or b"") for _, value in values]
        self.hand(FRAMES, values, self.triggers)
        self.told += [recalibration.decode(v or b"") for _, v in of(RECALIBRATIONS, self.triggers.flush(now))]

    def hand(self, topic: Topic, pairs: Sequence[tuple[bytes | None, bytes | None]], shard: Shard) -> None:
        offsets = self._offsets.setdefault(topic, count())
        records = [Written(next(offsets), key, value) for key, value in pairs]
        if records:
            shard.apply(Batch(topic, 0, records, records[-1].offset + 1))


def of(topic: Topic, outgoing: Sequence[Outgoing]) -> list[tuple[bytes | None, bytes | None]]:
    return [(one.key, one.value) for one in outgoing if one.topic == topic]


NAME = "p@1"
SMALL = plan(
    trigger(when="utilisation > 0.6", clear="utilisation < 0.5"),
    trigger(trigger="late", watch="work", where={}, when="slip_weeks > 0", clear=None),
    trigger(trigger="silent", watch="report", where={}, when="report_age > 2", clear="report_age < 1"),
    timezone="UTC",
    stages={"open": {"class": "open", "probability": 0.5}, "won": {"class": "won"}},
)

DAY = date(2026, 3, 30)


@st.composite
def histories(draw: st.DrawFn) -> list[bytes]:
    """Some days of deals that change, reports and signals, in the order of time."""
    made = []
    hours = draw(st.lists(st.integers(0, 24 * 12), min_size=1, max_size=25))
    for number, hour in enumerate(sorted(hours)):
        kind = draw(st.sampled_from(["deal", "deal", "deal", "report", "signal"]))
        body: dict[str, Any]
        if kind == "deal":
            body = {"stage": draw(st.sampled_from(["open", "won"])), "lines": [
                {"product": "enterprise", "quantity": draw(st.integers(1, 9)) / 3, "amount": 100.0}
            ], "close": (DAY + timedelta(days=draw(st.integers(0, 30)))).isoformat()}  # fmt: skip
            name, subject = "deal.changed", f"D-{draw(st.integers(0, 4))}"
        elif kind == "report":
            body = {
                "kind": "capacity",
                "pool": "implementation",
                "week": "2026-W16",
                "amount": draw(st.integers(50, 90)),
            }
            name, subject = "capacity.reported", "R"
        else:
            body, name, subject = {"kind": "tickets", "value": 3.0}, "signal.observed", "S"
        at = datetime(2026, 3, 30, 1, tzinfo=UTC) + timedelta(hours=hour)
        made.append(msgspec.json.encode({
            "specversion": "1.0", "id": str(number), "source": "crm", "type": f"com.headroom.{name}",
            "subject": subject, "time": at, "data": body,
        }))  # fmt: skip
    return made


@settings(max_examples=40, deadline=None)
@given(histories())
def test_back_test_and_live_make_the_same_frames_and_tell_the_same(events: list[bytes]) -> None:
    frames: list[Frame] = []
    told: list[tuple[str, str, datetime]] = []
    replayer = Replayer(SMALL, also=frames.append)
    for raw in events:
        replayer.take(raw)
    found = replayer.end()
    for one in found.hindsight.episodes:
        told += [(one.trigger, kind, at) for kind, at in one.moves]

    live = Live()
    moments = [cloudevents.structured(raw).time or MONDAY for raw in events]
    midnight = moments[0].replace(hour=0) + timedelta(days=1)
    for raw, moment in zip(events, moments, strict=True):
        while midnight <= moment:
            live.look(midnight)
            midnight += timedelta(days=1)
        live.take(raw)
    live.look(moments[-1])
    assert frames == live.frames
    assert sorted(told) == sorted((one.trigger, one.kind, one.at) for one in live.told)


def test_a_day_of_very_many_events_is_judged_like_any_other() -> None:
    """The projection takes them for a load, of which triggers wait for the end; live a frame follows within seconds."""
    events = [
        msgspec.json.encode({
            "specversion": "1.0", "id": str(n), "source": "crm", "type": "com.headroom.deal.changed",
            "subject": f"D-{n}", "time": MONDAY + timedelta(days=n // 1500, seconds=n),
            "data": {"stage": "won", "close": "2026-04-10", "lines": [{"product": "enterprise", "quantity": 0.01}]},
        })
        for n in range(4500)
    ]  # fmt: skip
    frames: list[Frame] = []
    replayer = Replayer(SMALL, also=frames.append)
    for raw in events:
        replayer.take(raw)
    found = replayer.end()
    assert any(frame.loading for frame in frames)
    assert not frames[-1].loading
    assert "overcommitted" in {one.trigger for one in found.hindsight.episodes}
    assert found.hindsight == replay(SMALL, events).hindsight


def test_reading_ahead_in_other_processes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_read, "CHUNK", 50)
    of_day = [raw for raw in EVENTS if b'"2026-0' in raw]
    untimed = {"specversion": "1.0", "id": "x", "source": "ops", "type": "com.headroom.signal.observed"}
    more = [b"{not json}", msgspec.json.encode(untimed | {"subject": "S", "data": {"kind": "tickets"}}), b'{"a": 1}']
    events = of_day[:160] + more + of_day[160:330]
    ahead = replay_read.Ahead(2)
    try:
        other = replay(PLAN, events, first=STORY.ends, ahead=ahead)
    finally:
        ahead.close()
    one = replay(PLAN, events, first=STORY.ends)
    assert (one.unusable, len(one.rejected)) == (2, 2)
    assert other == one
