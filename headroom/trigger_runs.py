"""Runs tests of triggers through the code that evaluates frames in production, and says where it differs.

A test becomes the frames that a projection would have published: one whenever something is new, one at least every
hour, a complete one first and at every turn of the week.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from headroom.trigger_files import Expected, ExpectedEpisode, Input, Positions, TriggerTest, TriggerTests, WorkItem
from services.capacity.domain.signals import Signals
from services.triggers.domain.evaluation import Evaluation
from services.triggers.domain.rules import compile_rules
from shared.schemas.episode import Episode
from shared.schemas.forecast import Forecast
from shared.schemas.frame import BookingState, EffortState, Frame, ListedDeal, MilestoneState
from shared.schemas.plan import Plan
from shared.schemas.plan_values import format_duration
from shared.schemas.position import Position, WorkState
from shared.schemas.recalibration import Recalibration
from shared.schemas.signal import Signal
from shared.schemas.week import add_weeks, week_of

HEARTBEAT = timedelta(hours=1)
NAME = "plan@test"


@dataclass(frozen=True)
class Difference:
    """Where the triggers differ from what is expected; lines are for people and in the order of what they say."""

    at: str
    trigger: str
    expected: list[str]
    found: list[str]


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    test: str
    differences: list[Difference] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"test": self.test, "ok": self.ok, "differences": [asdict(one) for one in self.differences]}


def run(tests: TriggerTests, plan: Plan) -> list[Outcome]:
    """The outcome of each test, in order."""
    return [_run(test, plan) for test in tests.tests]


def _run(test: TriggerTest, plan: Plan) -> Outcome:
    book = compile_rules(NAME, plan)
    evaluation = Evaluation(lambda _: book)
    told: list[Recalibration] = []
    expected = sorted(test.expect, key=lambda one: one.at)
    differences: list[Difference] = []
    for offset, (at, frame) in enumerate(_frames(test, plan)):
        told += [change.told for change in evaluation.evaluate(frame, offset) if change.told is not None]
        while expected and expected[0].at <= at:
            differences += _episodes(expected.pop(0), list(evaluation.active()))
    if test.told is not None:
        differences += _told(test, told)
    return Outcome(test.test, differences)


def _frames(test: TriggerTest, plan: Plan) -> Iterator[tuple[timedelta, Frame]]:
    """Each frame with its time since the start."""
    inputs: dict[timedelta, list[Input]] = {}
    for given in test.inputs:
        inputs.setdefault(given.at, []).append(given)
    last = max([*inputs, *(one.at for one in test.expect), *(one.at for one in test.told or ())])
    moments = {timedelta(), *inputs, *(one.at for one in test.expect)}
    moments |= {number * HEARTBEAT for number in range(int(last / HEARTBEAT) + 1)}
    stage = _Stage(test.start, plan, silent={pool for given in test.inputs for pool in given.reported})
    for at in sorted(moments):
        yield at, stage.frame(at, inputs.get(at, []))


class _Stage:
    """Everything said so far, as the projection would know it."""

    def __init__(self, start: datetime, plan: Plan, silent: set[str]) -> None:
        self._start, self._plan, self._zone, self._silent = start, plan, ZoneInfo(plan.timezone), silent
        self._week = ""
        self._positions: dict[tuple[str, str], Position] = {}
        self._work: dict[str, WorkState] = {}
        self._reported: dict[str, datetime] = {}
        self._listed: list[ListedDeal] = []
        self._signals, self._received = Signals(), 0
        self._bookings: list[BookingState] = []
        self._milestones: dict[str, MilestoneState] = {}
        self._efforts: dict[str, EffortState] = {}
        self._forecasts: dict[tuple[str, str], Forecast] = {}
        self._loading = False

    def frame(self, at: timedelta, inputs: list[Input]) -> Frame:
        now = self._start + at
        for given in inputs:
            self._take(given, now)
        week = week_of(now.astimezone(self._zone).date())
        complete, self._week = week != self._week, week
        changed = [position for given in inputs for said in given.positions for position in self._made(said)]
        known = [position for position in self._positions.values() if position.week >= week]
        return Frame(
            now=now,
            week=week,
            plan=NAME,
            complete=complete,
            upto={},
            positions=known if complete else changed,
            work=list(self._work.values()) if complete else [self._work[one.work] for i in inputs for one in i.work],
            report_ages={pool: self._age(pool, now) for pool in self._plan.pools},
            listed=self._listed,
            signals=self._signals.states(now.date()),
            bookings=self._bookings,
            milestones=list(self._milestones.values()),
            efforts=list(self._efforts.values()),
            forecasts=list(self._forecasts.values()),
            loading=self._loading,
        )

    def _take(self, given: Input, now: datetime) -> None:
        for said in given.positions:
            self._positions.update({(position.pool, position.week): position for position in self._made(said)})
        for item in given.work:
            self._work[item.work] = self._slipping(item)
        self._reported.update(dict.fromkeys(given.reported, now))
        for signal in given.signals:
            self._received += 1
            self._signals.put(Signal(id=str(self._received), source="test", time=now, **signal.model_dump()))
        if given.listed is not None:
            self._listed = [one.listed() for one in given.listed]
        if given.bookings is not None:
            self._bookings = [one.state() for one in given.bookings]
        self._milestones.update({one.milestone: one.state(self._plan) for one in given.milestones})
        self._efforts.update({pool: EffortState(pool, 1.0, drift, 1) for pool, drift in given.effort_drift.items()})
        self._forecasts.update({(one.period, one.segment): one.state(self._plan) for one in given.forecasts})
        if given.loading is not None:
            self._loading = given.loading

    def _made(self, said: Positions) -> list[Position]:
        capacity = 100.0 if said.capacity is None else said.capacity
        demand = said.base + said.booked + said.expected
        if said.utilisation is not None and not demand:
            demand = said.utilisation * capacity
        utilisation = said.utilisation if said.utilisation is not None else demand / capacity if capacity else None
        return [
            Position(
                pool=said.pool,
                week=week,
                unit=self._plan.pools[said.pool].unit,
                capacity=capacity,
                by_plan=capacity - said.decided,
                reported=said.reported,
                decided=said.decided,
                base=said.base,
                booked=said.booked,
                expected=demand - said.base - said.booked,
                planned=said.planned,
                exposure=said.exposure,
                p50=demand,
                p80=demand if said.p80 is None else said.p80,
                p95=max(demand, said.p80 or 0.0),
                utilisation=utilisation,
                overload=said.overload,
                overload_planned=said.overload if said.overload_planned is None else said.overload_planned,
                headroom=capacity - demand,
                backlog=said.backlog,
                delay_weeks=said.delay_weeks,
                backlog_mean=said.backlog_mean,
                backlog_p80=said.backlog_p80,
                late=said.late,
            )
            for week in said.weeks
        ]

    def _slipping(self, said: WorkItem) -> WorkState:
        item, slip = self._plan.work[said.work], said.slip_weeks
        return WorkState(
            work=said.work,
            pool=item.pool,
            effort=item.effort,
            due=item.due,
            finish=add_weeks(item.due, round(slip)),
            slip_weeks=slip,
            without_deals=said.without_deals,
            slip_mean=slip if said.slip_mean is None else said.slip_mean,
            slip_p80=slip if said.slip_p80 is None else said.slip_p80,
            late=float(slip > 0) if said.late is None else said.late,
        )

    def _age(self, pool: str, now: datetime) -> float | None:
        last = self._reported.get(pool) if pool in self._silent else now
        return None if last is None else (now - last).total_seconds()


def _episodes(expected: Expected, active: list[Episode]) -> list[Difference]:
    found = {episode.scope: episode for episode in active if episode.trigger == expected.trigger}
    wanted = {episode.scope: episode for episode in expected.episodes}
    same = found.keys() == wanted.keys() and all(_agrees(wanted[scope], found[scope]) for scope in wanted)
    if same:
        return []
    asked = {name for one in expected.episodes for name in one.model_fields_set}
    lines = [_line(one, one.model_fields_set) for one in expected.episodes]
    others = [_line(found[scope], asked | {"scope", "phase"}) for scope in sorted(found)]
    return [Difference(format_duration(expected.at), expected.trigger, lines, others)]


def _agrees(wanted: ExpectedEpisode, found: Episode) -> bool:
    said = wanted.model_fields_set - {"scope"}
    return all(getattr(wanted, name) == getattr(found, name) for name in said if getattr(wanted, name) is not None)


def _line(episode: ExpectedEpisode | Episode, names: set[str]) -> str:
    said = [episode.scope, episode.phase]
    if "severity" in names and episode.severity is not None:
        said.append(episode.severity)
    if "weeks" in names and episode.weeks:
        said.append(episode.weeks[0] if len(episode.weeks) == 1 else f"{episode.weeks[0]}..{episode.weeks[-1]}")
    said += [name if getattr(episode, name) else f"not {name}" for name in ("shadow", "grouped") if name in names]
    return ", ".join(said)


def _told(test: TriggerTest, told: list[Recalibration]) -> list[Difference]:
    """Everything told in the whole test against what is expected to be, in order."""
    wanted = test.told or []
    asked = {name for one in wanted for name in one.model_fields_set}
    expected = [
        _telling(format_duration(one.at), one.trigger, one.scope, one.kind, _more(one.grouped, one.owners, asked))
        for one in wanted
    ]
    found = [
        _telling(
            format_duration(one.at - test.start), one.trigger, one.scope, one.kind,
            _more(one.grouped, [person.id for person in one.owners], asked),
        )
        for one in told
    ]  # fmt: skip
    return [] if expected == found else [Difference("whole test", "told", expected, found)]


def _more(grouped: bool | None, owners: list[str] | None, asked: set[str]) -> list[str]:
    more = ["grouped" if grouped else "singly"] if "grouped" in asked else []
    return more + ([f"to {', '.join(owners or [])}"] if "owners" in asked else [])


def _telling(at: str, trigger: str, scope: str, kind: str, more: list[str]) -> str:
    return ", ".join([f"{at}: {trigger} on {scope} {kind}", *more])
