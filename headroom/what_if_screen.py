"""The answer to a what-if for people: tables of before and after, what is worse in red and what is better in green."""

from typing import Any

from rich.console import Console
from rich.markup import escape

from headroom.tables import print_table, screen
from shared.numbers import number

_WORSE, _BETTER = "red", "green"


def show(answer: dict[str, Any], console: Console | None = None) -> None:
    """Print what an overlay changes."""
    out = console or screen()
    name = f"[bold]{escape(answer['what_if'])}[/bold]: " if answer.get("what_if") else ""
    plan = f"plan {answer['plan']}" + (" with changes" if answer["plan_changed"] else "")
    out.print(f"{name}{escape(plan)}, as of {escape(answer['as_of'])}", highlight=False)
    for place, lines in enumerate(answer["deal_lines"], 1):
        note = " — nothing is meant by it" if lines == 0 else ""
        out.print(f"change {place} of deals: {number(lines)} deal lines{note}", highlight=False)
    if not answer["positions_changed"] and not answer["work"] and not answer["forecasts"]:
        out.print("No position, no work item and no forecast would be different.")
    if answer["pools"]:
        _pools(out, answer["pools"])
    if answer["positions"]:
        _positions(out, answer["positions"])
    more = answer["positions_changed"] - len(answer["positions"])
    if more > 0:
        out.print(f"{more:,} further weeks change less; --rows names more, --json all.", highlight=False)
    if answer["work"]:
        _work(out, answer["work"])
    if answer["forecasts"]:
        _forecasts(out, answer["forecasts"], answer.get("currency", ""))
    if "milestones" in answer:
        out.print("Milestones change too: --json has them before and after.", highlight=False)


def _pools(out: Console, pools: list[dict[str, Any]]) -> None:
    found = []
    for row in pools:
        now, then = row["before"] or {}, row["after"] or {}
        found.append((
            escape(row["pool"]),
            _share(now.get("overload"), then.get("overload")),
            _text(now.get("worst_week"), then.get("worst_week")),
            _text(now.get("first_overloaded") or "never", then.get("first_overloaded") or "never"),
            _change(now.get("overloaded_weeks"), then.get("overloaded_weeks"), number, more_is=_WORSE),
            _share(now.get("late"), then.get("late")),
        ))  # fmt: skip
    columns = ("pool", "worst P(overload)", "in", "likely overloaded from", "weeks", "P(late)")
    print_table(out, columns, found, "Pools")


def _positions(out: Console, rows: list[dict[str, Any]]) -> None:
    found = []
    for row in rows:
        now, then = row["before"] or {}, row["after"] or {}
        found.append((
            escape(f"{row['pool']} {row['week']}" + (f" ({row['unit']})" if row.get("unit") else "")),
            _change(now.get("capacity"), then.get("capacity"), number, more_is=_BETTER),
            _change(now.get("booked"), then.get("booked"), number),
            _change(now.get("expected"), then.get("expected"), number),
            _share(now.get("utilisation"), then.get("utilisation")),
            _share(now.get("overload"), then.get("overload")),
            _share(now.get("late"), then.get("late")),
        ))  # fmt: skip
    columns = ("pool and week", "capacity", "booked", "expected", "utilisation", "P(overload)", "P(late)")
    print_table(out, columns, found, "Weeks")


def _work(out: Console, rows: list[dict[str, Any]]) -> None:
    found = []
    for row in rows:
        now, then = row["before"] or {}, row["after"] or {}
        found.append((
            escape(row["work"]),
            (then or now)["due"],
            _text(now.get("finish") or "beyond", then.get("finish") or "beyond"),
            _change(now.get("slip_weeks"), then.get("slip_weeks"), number, more_is=_WORSE),
            _change(now.get("slip_mean"), then.get("slip_mean"), lambda weeks: f"{weeks:.1f}", more_is=_WORSE),
            _share(now.get("late"), then.get("late")),
        ))  # fmt: skip
    columns = ("work item", "due", "done", "weeks late", "on average", "P(late)")
    print_table(out, columns, found, "Work items")


def _forecasts(out: Console, rows: list[dict[str, Any]], currency: str) -> None:
    found = []
    for row in rows:
        now, then = row["before"] or {}, row["after"] or {}
        segment = {"*": "all", "": "none"}.get(row["segment"], row["segment"])
        found.append((
            row["period"],
            escape(segment),
            _change(now.get("bookings"), then.get("bookings"), _money, more_is=_BETTER),
            _change(now.get("margin"), then.get("margin"), _money, more_is=_BETTER),
            _change(now.get("margin_share"), then.get("margin_share"), "{:.1%}".format, more_is=_BETTER),
            _change(now.get("discount"), then.get("discount"), "{:.1%}".format, more_is=_WORSE),
            _change(now.get("revenue_at_risk"), then.get("revenue_at_risk"), _money, more_is=_WORSE),
        ))  # fmt: skip
    columns = ("period", "segment", "bookings", "margin", "share", "discount", "revenue at risk")
    print_table(out, columns, found, "Forecasts" + (f", money in {currency}" if currency else ""))


def _share(now: float | None, then: float | None) -> str:
    return _change(now, then, lambda share: f"{share:.0%}", more_is=_WORSE)


def _change(now: float | None, then: float | None, said: Any, more_is: str | None = None) -> str:
    """``before → after``, or the one figure where both look the same."""
    one, other = ("–" if value is None else said(value) for value in (now, then))
    if one == other:
        return str(one)
    if more_is is None or now is None or then is None:
        return f"{one} → {other}"
    colour = more_is if then > now else {_WORSE: _BETTER, _BETTER: _WORSE}[more_is]
    return f"{one} → [{colour}]{other}[/{colour}]"


def _text(now: str | None, then: str | None) -> str:
    one, other = now or "–", then or "–"
    return escape(one if one == other else f"{one} → {other}")


def _money(value: float) -> str:
    return f"{value:,.0f}"
