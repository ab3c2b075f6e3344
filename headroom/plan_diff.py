"""What changes from one plan to another: part by part in words, and which positions move by how much on paper."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from headroom.plan_paper import OnPaper, on_paper, spans
from headroom.tables import print_table
from shared.numbers import exact, more, number
from shared.schemas.plan import Plan

_MOVES = 1e-6


@dataclass(frozen=True)
class Change:
    """One thing that is different: ``part`` of the plan, where in it, what was there and what is there now.

    ``was`` None: it was added; ``now`` None: it was removed.
    """

    part: str
    path: str
    was: Any
    now: Any

    @property
    def words(self) -> str:
        """As a person says it."""
        if self.was is None:
            return f"{self.path} added: {_brief(self.now)}"
        if self.now is None:
            return f"{self.path} removed; it was {_brief(self.was)}"
        return f"{self.path} from {_brief(self.was)} to {_brief(self.now)}"


@dataclass(frozen=True)
class Moved:
    """A pool whose positions differ on paper, in its unit: over these weeks together, and where most."""

    pool: str
    unit: str
    weeks: list[str]
    capacity: float
    demand: float
    worst_week: str
    headroom_was: float
    headroom_now: float


@dataclass(frozen=True)
class Difference:
    """Two plans side by side."""

    changes: list[Change]
    moved: list[Moved]
    was: OnPaper
    now: OnPaper

    def told(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "same": not self.changes,
            "changes": [
                {"part": one.part, "path": one.path, "was": one.was, "now": one.now, "words": one.words}
                for one in self.changes
            ],
            "positions": [vars(one) for one in self.moved],
            "feasible": {"was": self.was.feasible, "now": self.now.feasible},
        }


def difference(was: Plan, now: Plan) -> Difference:
    """From ``was`` to ``now``; on paper both begin on the earlier of their days."""
    days = [on_paper(plan).as_of for plan in (was, now)]
    papers = [on_paper(plan, min(days)) for plan in (was, now)]
    return Difference(list(_changes(was, now)), list(_moved(was, now, *papers)), papers[0], papers[1])


def _changes(was: Plan, now: Plan) -> Iterator[Change]:
    before, after = (_content(plan) for plan in (was, now))
    for part in dict.fromkeys((*before, *after)):
        for path, one, other in _different((), before.get(part), after.get(part)):
            yield Change(part, ".".join(path) or part, one, other)


def _content(plan: Plan) -> dict[str, Any]:
    content = plan.model_dump(mode="json", by_alias=True, exclude={"version"}, exclude_defaults=True)
    content["triggers"] = {trigger["trigger"]: trigger for trigger in content.get("triggers", [])}
    return content


def _different(path: tuple[str, ...], was: Any, now: Any) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    if was == now:
        return
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*was, *now)):
            yield from _different((*path, str(key)), was.get(key), now.get(key))
    else:
        yield path, was, now


def _moved(was: Plan, now: Plan, before: OnPaper, after: OnPaper) -> Iterator[Moved]:
    for pool in dict.fromkeys((*was.pools, *now.pools)):
        rows: list[tuple[str, float, float, float, float]] = []
        for week in sorted({week for name, week in (*before.positions, *after.positions) if name == pool}):
            can, asked = _at(before, pool, week)
            could, wanted = _at(after, pool, week)
            if abs(could - can) > _MOVES or abs(wanted - asked) > _MOVES:
                rows.append((week, could - can, wanted - asked, can - asked, could - wanted))
        if rows:
            unit = (now.pools.get(pool) or was.pools[pool]).unit
            worst = max(rows, key=lambda row: (abs(row[4] - row[3]), row[0]))
            running = (now.pools.get(pool) or was.pools[pool]).kind in ("stock", "budget")
            # The figures of a stock or a budget are running totals: the last one holds all that came before.
            added = rows[-1:] if running else rows
            capacity, demand = sum(row[1] for row in added), sum(row[2] for row in added)
            yield Moved(pool, unit, [row[0] for row in rows], capacity, demand, worst[0], worst[3], worst[4])


def _at(paper: OnPaper, pool: str, week: str) -> tuple[float, float]:
    position = paper.positions.get((pool, week))
    return (position.capacity, position.base + position.planned) if position is not None else (0.0, 0.0)


def _brief(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_brief(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_brief, value)) + "]"
    return exact(value) if isinstance(value, float) else str(value)


def show(console: Console, found: Difference) -> None:
    """The difference, for people."""
    if not found.changes:
        console.print("Nothing changes.")
        return
    part = ""
    for change in found.changes:
        if change.part != part:
            part = change.part
            console.print(f"[bold]{escape(part)}[/bold]")
        console.print(f"  {escape(change.words)}", soft_wrap=True)
    if not found.moved:
        console.print("On paper no position moves.")
        return
    console.print(f"On paper, from {found.now.as_of} on, these positions move:")
    rows = []
    for one in found.moved:
        amounts = [more(change, one.unit) if change else "same" for change in (one.capacity, one.demand)]
        then = f"from {number(one.headroom_was)} to {number(one.headroom_now)} {one.unit}"
        rows.append([escape(cell) for cell in (one.pool, spans(one.weeks), *amounts, one.worst_week, then)])
    print_table(console, ("pool", "weeks", "capacity", "demand", "most in", "headroom then"), rows)
    if found.was.feasible != found.now.feasible:
        console.print("It becomes feasible." if found.now.feasible else "It is no longer feasible.")
