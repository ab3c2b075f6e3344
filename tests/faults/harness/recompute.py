"""What ought to be on the topics, computed from what came in by plain sorting and adding up.

Nothing here comes from the services or from their schemas: JSON in, JSON and numbers out. What the plan asks for is
taken from the harness's own figures for it.
"""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid5

from tests.faults.harness import plan
from tests.faults.harness.log import Seen
from tests.faults.harness.system import AS_OF

NOTHING_SAID: dict[str, Any] = {
    "stage": None, "close": None, "lines": [], "segment": "", "custom": False, "probability": None, "currency": None,
    "deleted": False,
}  # fmt: skip
"""The fields of a deal that the load speaks of, and what they are while nobody has."""


@dataclass
class Inbox:
    """The events that came in, folded by: the newest moment wins, field by field."""

    ids: set[str] = field(default_factory=set)
    poison: set[str] = field(default_factory=set)
    """Where the poison lies: ``topic/partition/offset``."""
    signals: set[str] = field(default_factory=set)
    _said: dict[str, dict[str, tuple[datetime, Any]]] = field(default_factory=lambda: defaultdict(dict))
    _reports: dict[tuple[str, str, str], tuple[datetime, dict[str, Any]]] = field(default_factory=dict)

    def take(self, records: Iterable[Seen]) -> None:
        """Fold records of ``inbox.v1`` in."""
        for record in records:
            if record.headers["headroom_source"] == b"hubspot":
                self.poison.add(f"inbox.v1/{record.partition}/{record.offset}")
                continue
            event = record.json
            self.ids.add(event["id"])
            at, data = datetime.fromisoformat(event["time"]), event["data"]
            if event["type"].endswith("deal.changed"):
                self._change(f"{event['source']}/{event['subject']}", at, data)
            elif event["type"].endswith("capacity.reported"):
                place = data["pool"], data["week"], event["subject"]
                if place not in self._reports or self._reports[place][0] < at:
                    self._reports[place] = (at, data)
            else:
                self.signals.add(f"{event['source']}/{event['id']}")

    def _change(self, deal: str, at: datetime, data: Mapping[str, Any]) -> None:
        known = self._said[deal]
        for name, value in data.items():
            if name not in known or known[name][0] < at:
                known[name] = (at, value)

    def deals(self) -> dict[str, dict[str, Any]]:
        """Every deal with every field the load speaks of."""
        return {deal: {name: _said(known, name) for name in NOTHING_SAID} for deal, known in self._said.items()}

    def reports(self) -> dict[tuple[str, str, str], dict[str, Any]]:
        """The newest report of each object about each pool and week."""
        return {place: data for place, (_, data) in self._reports.items()}

    def reported(self) -> dict[tuple[str, str], float]:
        """The capacity that counts by pool and week, where a report says one: the newest that is not withdrawn."""
        standing = [(at, place, data) for place, (at, data) in self._reports.items() if not data["withdrawn"]]
        return {(pool, week): data["amount"] for _, (pool, week, _), data in sorted(standing, key=lambda one: one[0])}


@dataclass
class Decisions:
    """The answers of the owners, each once however often it came, and what they add to capacity."""

    ids: set[str] = field(default_factory=set)
    _effects: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def take(self, records: Iterable[Seen]) -> None:
        """Take records of ``decisions.v1`` in."""
        for record in records:
            said = record.json
            if said["id"] not in self.ids and said["kind"] == "decided":
                self._effects[said["recalibration"]] = said["effects"]
            self.ids.add(said["id"])

    def added(self, now: datetime) -> dict[tuple[str, str], float]:
        """What counts at a moment, by pool and week: what has not lapsed."""
        added: dict[tuple[str, str], float] = defaultdict(float)
        for effects in self._effects.values():
            for effect in effects:
                if now <= datetime.fromisoformat(effect["confirm_by"]):
                    for week in effect["weeks"]:
                        added[effect["pool"], week] += effect["amount"]
        return added


def _said(known: Mapping[str, tuple[datetime, Any]], name: str) -> Any:
    value = known[name][1] if name in known else None
    return NOTHING_SAID[name] if value is None else value


def as_said(deal: Mapping[str, Any]) -> dict[str, Any]:
    """The same fields of a deal as it stands on ``deals.v1``."""
    return {name: deal.get(name, nothing) for name, nothing in NOTHING_SAID.items()}


def hours_asked(deals: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Booked and expected hours by pool and week."""
    asked: dict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for deal in deals:
        if deal["deleted"] or deal["close"] is None:
            continue
        for line in deal["lines"]:
            units = 1.0 if line.get("quantity") is None else line["quantity"]
            for pool, hours, weeks in plan.NEEDS[line["product"]]:
                for late in range(weeks):
                    place = pool, _week(date.fromisoformat(deal["close"]) + timedelta(weeks=late))
                    booked, expected = asked[place]
                    share = units * hours / weeks
                    if deal["stage"] == "won":
                        asked[place] = booked + share, expected
                    elif deal["stage"] != "lost":
                        asked[place] = booked, expected + share * _chance(deal, line)
    return asked


def money(deals: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], tuple[float, float]]:
    """What is closed and what is expected, by quarter and segment and (``*``) of all segments."""
    sums: dict[tuple[str, str], tuple[float, float]] = defaultdict(lambda: (0.0, 0.0))
    for deal in deals:
        # A stage that nobody has said, or that the plan does not know, asks for hours and is worth nothing yet.
        if deal["deleted"] or deal["close"] is None or deal["stage"] not in plan.STAGES.keys() - {"lost"}:
            continue
        day = date.fromisoformat(deal["close"])
        for segment in (deal["segment"], "*"):
            key = f"{day.year}-Q{(day.month + 2) // 3}", segment
            for line in deal["lines"]:
                closed, expected = sums[key]
                amount = line.get("amount") or 0.0
                if deal["stage"] == "won":
                    sums[key] = closed + amount, expected
                else:
                    sums[key] = closed, expected + amount * _chance(deal, line)
    return sums


def _chance(deal: Mapping[str, Any], line: Mapping[str, Any]) -> float:
    """A line's own probability, else its deal's, else its stage's, which is none while nobody has said a stage."""
    for said in (line.get("probability"), deal["probability"]):
        if said is not None:
            return float(said)
    return plan.STAGES.get(deal["stage"], 0.0)


def _week(day: date) -> str:
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


@dataclass
class Table:
    """Frames added up: the positions and forecasts as a reader of frames has them."""

    rows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    forecasts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    whole: bool = False
    week: str = ""
    now: datetime = AS_OF

    def take(self, frame: Mapping[str, Any]) -> None:
        """Add one frame; a complete one begins anew."""
        if frame["complete"]:
            self.rows, self.forecasts, self.whole = {}, {}, True
        self.week, self.now = frame["week"], datetime.fromisoformat(frame["now"])
        for pool, week in frame.get("gone", []):
            self.rows.pop((pool, week), None)
        for row in frame.get("positions", []):
            self.rows[row["pool"], row["week"]] = row
        for row in frame.get("forecasts") or []:
            self.forecasts[row["period"], row["segment"]] = row

    def ahead(self, pool: str) -> list[dict[str, Any]]:
        """A pool's rows that the trigger watches, in order."""
        weeks = sorted(week for name, week in self.rows if name == pool and week >= self.week)
        return [self.rows[pool, week] for week in weeks[: plan.WATCHED]]


NAMESPACE = UUID("6f1b6f0a-6f0c-5d0e-9c53-3c1d7a0b8e11")


@dataclass
class Episode:
    """One pool's episode, as far as the trigger of the fault plan can bring it."""

    number: int = 0
    transition: int = 0
    phase: Literal["clear", "firing", "mitigated"] = "clear"
    weeks: list[str] = field(default_factory=list)
    worst: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """A transition that owners must learn of."""

    event_id: str
    kind: str
    scope: str
    frame: int


class Evaluation:
    """The trigger judged once over all frames in order: fires above one bound, is over below another, no waiting."""

    def __init__(self) -> None:
        self.table = Table()
        self.episodes: dict[str, Episode] = defaultdict(Episode)
        self.told: list[Told] = []

    def take(self, offset: int, frame: Mapping[str, Any]) -> None:
        """Judge one frame."""
        if not (self.table.whole or frame["complete"]):
            return
        self.table.take(frame)
        if frame.get("loading"):
            return
        for pool in plan.PER_WEEK:
            kind = self._step(self.episodes[pool], self.table.ahead(pool))
            if kind:
                episode = self.episodes[pool]
                name = json.dumps([plan.TRIGGER, pool, episode.number, episode.transition])
                self.told.append(Told(str(uuid5(NAMESPACE, name)), kind, pool, offset))

    def _step(self, episode: Episode, ahead: list[dict[str, Any]]) -> str | None:
        """What has become of an episode, if its owners must learn of it."""
        over = [row for row in ahead if row["utilisation"] > plan.FIRES_ABOVE]
        if episode.phase == "clear":
            return self._fire(episode, over) if over else None
        ours = [row for row in ahead if row in over or row["week"] in episode.weeks]
        below = all(row["utilisation"] < plan.CLEARS_BELOW for row in ahead if row["week"] in episode.weeks)
        helped = any(row.get("decided") for row in ours)
        if not over and below:
            return self._settle(episode, helped)
        if episode.phase == "firing":
            return self._worsen(episode, over, ours)
        return self._reopen(episode, over, ours) if over or not helped else None

    def _fire(self, episode: Episode, over: list[dict[str, Any]]) -> str:
        episode.number, episode.transition, episode.phase = episode.number + 1, 1, "firing"
        episode.weeks = [row["week"] for row in over]
        episode.worst = sum(map(_missing, over))
        return "firing"

    def _settle(self, episode: Episode, helped: bool) -> str | None:
        """Over for good, or only as long as what was decided helps."""
        phase: Literal["clear", "mitigated"] = "mitigated" if helped else "clear"
        if episode.phase == phase:
            return None
        episode.phase = phase
        episode.transition += 1
        return "mitigated" if helped else "resolved"

    def _worsen(self, episode: Episode, over: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str | None:
        """Told when it reaches further or is clearly bigger."""
        before = episode.weeks
        episode.weeks = sorted({*before, *(row["week"] for row in over)})
        missing = sum(map(_missing, ours))
        noise = 0.05 * max((row["capacity"] for row in ours), default=0.0)
        grown = missing >= 1.2 * episode.worst and missing - episode.worst >= noise and missing > episode.worst
        if (episode.weeks[0], episode.weeks[-1]) == (before[0], before[-1]) and not grown:
            return None
        episode.worst = max(episode.worst, missing)
        episode.transition += 1
        return "updated"

    def _reopen(self, episode: Episode, over: list[dict[str, Any]], ours: list[dict[str, Any]]) -> str:
        episode.weeks = sorted({*episode.weeks, *(row["week"] for row in over)})
        episode.worst = sum(map(_missing, ours))
        episode.phase = "firing"
        episode.transition += 1
        return "reopened"


def _missing(row: Mapping[str, Any]) -> float:
    demand = row.get("base", 0.0) + row.get("booked", 0.0) + row.get("expected", 0.0)
    return max(0.0, max(demand, row.get("p80", 0.0)) - row["capacity"])
