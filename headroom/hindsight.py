"""What the triggers would have said of recorded frames, and what came of it: episodes, overloads, lead time, precision.

An overload is a run of weeks in which a pool was asked for more than it can do when those weeks came; that of a work
item is its due week gone by without it. An episode announces the overloads of its pool in the weeks it names, or that
its work item will be late. Others (on reports, signals, deals, milestones) announce neither and are not judged.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from statistics import median
from typing import Final, Literal
from zoneinfo import ZoneInfo

from services.triggers.domain.evaluation import Change, Evaluation
from services.triggers.domain.rules import compile_rules
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.week import add_weeks, week_of

Outcome = Literal["came-true", "did-not", "undecided", "not-judged"]
"""Of what an episode announced; ``undecided`` while its weeks lie beyond the last event."""

ASKING: Final = ("firing", "reopened")
"""The transitions that ask somebody for something."""


@dataclass
class Told:
    """One episode, from firing on. ``moves`` are its transitions with their moments, firing first."""

    trigger: str
    scope: str
    watch: str
    pool: str | None
    number: int
    severity: str
    shadow: bool
    fired: datetime
    owners: list[str] = field(default_factory=list)
    grouped: bool = False
    weeks: list[str] = field(default_factory=list)
    moves: list[tuple[str, datetime]] = field(default_factory=list)
    summary: str = ""
    outcome: Outcome = "not-judged"
    lead: timedelta | None = None
    """From firing to the first overload announced that came true; not above zero: it was there already."""

    @property
    def resolved(self) -> datetime | None:
        kind, at = self.moves[-1]
        return at if kind == "resolved" else None


@dataclass
class Overload:
    """What came true: of a pool in weeks ``first`` to ``last``, or of a work item due in week ``first``."""

    of: str
    kind: Literal["pool", "work"]
    first: str
    last: str
    at: datetime
    warned: datetime | None = None
    """The first firing of an episode that announced it, if that was before it came true."""
    by: str | None = None

    @property
    def lead(self) -> timedelta | None:
        return None if self.warned is None else self.at - self.warned


@dataclass
class Score:
    """Episodes by what came of them, of one trigger or of all. Shadow ones count: they are tried to be judged."""

    came_true: int = 0
    did_not: int = 0
    undecided: int = 0
    not_judged: int = 0

    @property
    def precision(self) -> float | None:
        """Of the episodes that can be judged, the part that was followed by what it announced."""
        judged = self.came_true + self.did_not
        return self.came_true / judged if judged else None


@dataclass
class Hindsight:
    """Everything the triggers said, and what came of it. ``alarms`` count (singly, grouped) by owner and ISO week."""

    episodes: list[Told] = field(default_factory=list)
    overloads: list[Overload] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)
    alarms: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)

    @property
    def score(self) -> Score:
        scores = self.scores.values()
        return Score(*(sum(getattr(s, n) for s in scores) for n in ("came_true", "did_not", "undecided", "not_judged")))

    @property
    def recall(self) -> float | None:
        """Of all overloads, the part that an episode had announced before."""
        return sum(o.warned is not None for o in self.overloads) / len(self.overloads) if self.overloads else None

    @property
    def lead(self) -> timedelta | None:
        """The median lead time of the overloads that were announced."""
        leads = [one.lead for one in self.overloads if one.lead is not None]
        return median(leads) if leads else None  # type: ignore[type-var]  # durations can be halved


class Watcher:
    """Sees frames in their order, through the code that evaluates them live."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan, self._zone = plan, ZoneInfo(plan.timezone)
        self._book = book = compile_rules(name, plan)
        self._evaluation = Evaluation(lambda _: book)
        self._offsets = count()
        self._told: dict[tuple[str, str, int], Told] = {}
        self._alarms: Counter[tuple[str, str, bool]] = Counter()
        self._overloaded: dict[tuple[str, str], datetime] = {}
        self._late: dict[str, tuple[str, datetime]] = {}
        self._done: set[str] = set()

    def see(self, frame: Frame) -> None:
        """Evaluate a frame, and note what came true in it."""
        for change in self._evaluation.evaluate(frame, next(self._offsets)):
            self._note(change, frame.now)
        self._note_overloads(frame)

    def hindsight(self) -> Hindsight:
        """All of it, judged by what is known now."""
        overloads = sorted([*self._pools(), *self._work()], key=lambda one: (one.at, one.of))
        told = sorted(self._told.values(), key=lambda one: (one.fired, self._book.place((one.trigger, one.scope))))
        scores: dict[str, Score] = {name: Score() for name in self._book.rules}
        for one in told:
            self._judge(one, overloads)
            counted = one.outcome.replace("-", "_")
            setattr(scores[one.trigger], counted, getattr(scores[one.trigger], counted) + 1)
        alarms = {
            (owner, week): (self._alarms[owner, week, False], self._alarms[owner, week, True])
            for owner, week, _ in sorted(self._alarms)
        }
        return Hindsight(told, overloads, scores, alarms)

    def _note(self, change: Change, now: datetime) -> None:
        row, said = change.episode, change.told
        if row.phase == "pending":
            return  # it still has the number of the episode before
        key = row.trigger, row.scope, row.number
        if key not in self._told:
            if row.phase != "firing":
                return
            rule = self._book.rules[row.trigger]
            self._told[key] = Told(
                row.trigger, row.scope, rule.trigger.watch, rule.pool_of(row.scope), row.number, row.severity,
                row.shadow, row.fired or now,
            )  # fmt: skip
        one = self._told[key]
        one.weeks, one.severity = row.weeks, row.severity
        kind = said.kind if said is not None else _silently(one, row.phase)
        if kind is None:
            return
        one.moves.append((kind, now))
        if said is not None:
            one.summary = said.summary if kind != "resolved" else one.summary
            self._count(one, [person.id for person in said.owners], kind, now, grouped=said.grouped)

    def _count(self, one: Told, owners: list[str], kind: str, now: datetime, *, grouped: bool) -> None:
        one.owners, one.grouped = owners or one.owners, grouped
        if kind in ASKING:
            week = week_of(now.astimezone(self._zone).date())
            self._alarms.update((owner, week, grouped) for owner in owners)

    def _note_overloads(self, frame: Frame) -> None:
        """Only what the weeks turned out to be when they came: the present one, and due weeks that are over."""
        table, week, now = self._evaluation.table, frame.week, frame.now
        for pool, weeks in table.positions.items():
            present = weeks.get(week)
            if present is not None and present.headroom < 0:
                self._overloaded.setdefault((pool, week), now)
            else:
                self._overloaded.pop((pool, week), None)
        for name, item in table.work.items():
            if week > item.due and name not in self._done:
                self._done.add(name)
                if item.slip_weeks > 0:
                    self._late[name] = item.due, now

    def _pools(self) -> list[Overload]:
        runs: dict[str, Overload] = {}
        found = []
        for (pool, week), at in sorted(self._overloaded.items()):
            run = runs.get(pool)
            if run is not None and add_weeks(run.last, 1) == week:
                run.last = week
            else:
                runs[pool] = run = Overload(pool, "pool", week, week, at)
                found.append(run)
        return found

    def _work(self) -> Iterable[Overload]:
        return (Overload(name, "work", due, due, at) for name, (due, at) in self._late.items())

    def _judge(self, one: Told, overloads: list[Overload]) -> None:
        if one.watch not in ("position", "pool", "work") or (one.watch != "work" and not one.weeks):
            return
        true = [overload for overload in overloads if _announced(one, overload)]
        for overload in true:
            if one.fired < overload.at and (overload.warned is None or one.fired < overload.warned):
                overload.warned, overload.by = one.fired, one.trigger
        if true:
            one.outcome, one.lead = "came-true", min(overload.at for overload in true) - one.fired
        else:
            one.outcome = "undecided" if self._to_come(one) else "did-not"

    def _to_come(self, one: Told) -> bool:
        """Whether a week it announced, or the due week, is not over yet."""
        if one.watch == "work":
            return one.scope not in self._done
        return one.weeks[-1] >= self._evaluation.table.week


def _announced(one: Told, overload: Overload) -> bool:
    if overload.kind == "work":
        return one.watch == "work" and one.scope == overload.of
    weeks = any(overload.first <= week <= overload.last for week in one.weeks)
    return one.watch != "work" and one.pool == overload.of and weeks


def _silently(one: Told, phase: str) -> str | None:
    """What moved in an episode that is told to nobody."""
    last = one.moves[-1][0] if one.moves else None
    if phase == "firing":
        return "firing" if last is None else "reopened" if last == "mitigated" else None
    moved = "resolved" if phase == "clear" else phase
    return moved if moved != last else None
