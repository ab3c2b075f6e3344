"""What the triggers would have said, for people and for machines: episodes, lead times, precision, alarms."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.markup import escape

from headroom.hindsight import Hindsight, Overload, Score, Told
from headroom.tables import print_table

_WEEK = timedelta(weeks=1)
_DAY = timedelta(days=1)
_WHOLE = ("its life", "since", "announced")
"""Columns of moments, which are not broken over lines."""
SHOWN = 40
"""Episodes and weeks of alarms shown at most; JSON has all."""


def as_json(found: Hindsight) -> dict[str, Any]:
    """All of it. Moments are UTC, lead times in days."""
    score = found.score
    return {
        "episodes": [_episode(one) for one in found.episodes],
        "overloads": [_overload(one) for one in found.overloads],
        "precision": _score(score),
        "precision_by_trigger": {name: _score(one) for name, one in found.scores.items()},
        "recall": {
            "announced": sum(one.warned is not None for one in found.overloads),
            "all": len(found.overloads),
            "value": found.recall,
            "median_lead_days": _days(found.lead),
        },
        "alarms": [
            {"owner": owner, "week": week, "singly": singly, "grouped": grouped}
            for (owner, week), (singly, grouped) in found.alarms.items()
        ],
    }


def _episode(one: Told) -> dict[str, Any]:
    return {
        "trigger": one.trigger,
        "scope": one.scope,
        "watch": one.watch,
        "pool": one.pool,
        "number": one.number,
        "severity": one.severity,
        "shadow": one.shadow,
        "grouped": one.grouped,
        "owners": one.owners,
        "fired": one.fired,
        "resolved": one.resolved,
        "moves": [{"kind": kind, "at": at} for kind, at in one.moves],
        "weeks": one.weeks,
        "summary": one.summary,
        "outcome": one.outcome,
        "lead_days": _days(one.lead),
    }


def _overload(one: Overload) -> dict[str, Any]:
    return {
        "of": one.of,
        "kind": one.kind,
        "first_week": one.first,
        "last_week": one.last,
        "at": one.at,
        "announced": one.warned,
        "by": one.by,
        "lead_days": _days(one.lead),
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "came_true": score.came_true,
        "did_not": score.did_not,
        "undecided": score.undecided,
        "not_judged": score.not_judged,
        "value": score.precision,
    }


def _days(lead: timedelta | None) -> float | None:
    return None if lead is None else round(lead / _DAY, 2)


def show(console: Console, found: Hindsight, timezone: str) -> None:
    """The tables."""
    zone = ZoneInfo(timezone)
    if not found.episodes:
        console.print("No trigger would have fired.")
    else:
        _episodes(console, found, zone)
    if found.overloads:
        _overloads(console, found, zone)
    console.print("; ".join(_sentences(found)) + ".")
    if found.alarms:
        _alarms(console, found)


def _episodes(console: Console, found: Hindsight, zone: ZoneInfo) -> None:
    rows = []
    for one in found.episodes[:SHOWN]:
        life = [f"{kind} {_at(at, zone)}" for kind, at in one.moves if kind != "updated"]
        marks = [name for name, is_so in (("shadow", one.shadow), ("grouped", one.grouped)) if is_so]
        what = escape(one.trigger) + (f" ({', '.join(marks)})" if marks else "") + "\n" + escape(one.scope)
        rows.append((what, "\n".join(life), _span(one.weeks), outcome(one)))
    columns = ("trigger, on what", "its life", "weeks", "what it announced")
    print_table(console, columns, rows, f"Episodes, times in {zone}", _WHOLE, _more(len(found.episodes)))


def _more(number: int) -> str:
    return f"{number - SHOWN:,} more; --json has all" if number > SHOWN else ""


def _span(weeks: list[str]) -> str:
    return "" if not weeks else weeks[0] if len(weeks) == 1 else f"{weeks[0]} – {weeks[-1]}"


def outcome(one: Told) -> str:
    """What came of what an episode announced, in words."""
    if one.outcome == "came-true" and one.lead is not None:
        return f"came true {_weeks(one.lead)} later" if one.lead > timedelta() else "was there already"
    return {"did-not": "did not come", "undecided": "not over yet"}.get(one.outcome, "nothing to judge it by")


def _overloads(console: Console, found: Hindsight, zone: ZoneInfo) -> None:
    rows = []
    for one in found.overloads:
        weeks = one.first if one.first == one.last else f"{one.first} – {one.last}"
        rows.append(
            (
                escape(one.of),
                f"due {weeks}" if one.kind == "work" else weeks,
                _at(one.at, zone),
                _at(one.warned, zone) if one.warned else "never",
                escape(one.by or ""),
                _weeks(one.lead) if one.lead is not None else "",
            )
        )
    columns = ("overload of", "weeks", "since", "announced", "by", "lead")
    print_table(console, columns, rows, f"What came true, times in {zone}", _WHOLE)


def _sentences(found: Hindsight) -> Iterator[str]:
    score = found.score
    judged = score.came_true + score.did_not
    if score.precision is not None:
        yield f"precision {score.precision:.0%} ({score.came_true} of {judged} episodes came true)"
    else:
        yield "precision: no episode can be judged"
    if found.recall is not None:
        announced = sum(one.warned is not None for one in found.overloads)
        yield f"recall {found.recall:.0%} ({announced} of {len(found.overloads)} overloads were announced)"
    if found.lead is not None:
        yield f"median lead {_weeks(found.lead)}"
    if score.undecided:
        yield f"{score.undecided} not over yet"


def _alarms(console: Console, found: Hindsight) -> None:
    first = list(found.alarms.items())[:SHOWN]
    rows = [(escape(owner), week, str(singly), str(grouped)) for (owner, week), (singly, grouped) in first]
    columns = ("owner", "week", "asked singly", "grouped")
    print_table(console, columns, rows, "Alarms per owner and week", more=_more(len(found.alarms)))


def _at(moment: datetime, zone: ZoneInfo) -> str:
    local = moment.astimezone(zone)
    return f"{local:%Y-%m-%d}" if (local.hour, local.minute) == (0, 0) else f"{local:%Y-%m-%d %H:%M}"


def _weeks(lead: timedelta) -> str:
    return f"{lead / _WEEK:.1f} weeks"
