"""How the demo looks: a live picture on a terminal, lines elsewhere. Numbers come from ``Facts`` alone.

Colours only repeat what the numbers say: an overloaded week also carries a ``!``, so nothing is lost under NO_COLOR.
"""

from collections import deque
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from headroom.demo.facts import Facts, bookings, discount, plan_week, used, used_with_work
from headroom.demo.summary import Alarm, Revenue, Summary, in_weeks
from shared.schemas.position import WorkState
from shared.schemas.recalibration import Recalibration
from shared.schemas.week import add_weeks

BARS = "▁▂▃▄▅▆▇█"
LAST_WORDS = 5
WEEKS_BACK = 2
NAME_WIDTH = 16
CELL_WIDTH = 5
STYLES = {"firing": "bold red", "updated": "red", "reopened": "bold red", "mitigated": "yellow", "resolved": "green"}
HEAT = ((0.7, "on dark_green"), (0.9, "on green4"), (1.0, "on dark_orange3"))


class Screen:
    """Shows the facts: redrawn a few times a second on a terminal, as one line a week and per event elsewhere."""

    def __init__(self, console: Console, *, live: bool) -> None:
        self.console = console
        self._live: Live | None = None
        self._wanted = live
        self._words: deque[Text] = deque(maxlen=LAST_WORDS)
        self._week = ""

    def __enter__(self) -> Self:
        if self._wanted:
            self._live = Live(console=self.console, refresh_per_second=8, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, words: str, style: str = "") -> None:
        """Tell of an event."""
        if self._live is None:
            self.console.print(Text(f"  {words}", style=style), soft_wrap=True)
        else:
            self._words.append(Text(words, style=style))

    def tell(self, recalibration: Recalibration, *, first: bool) -> None:
        """Tell of a message that was delivered; where nothing stays on the screen, of all that it says."""
        style = STYLES[recalibration.kind]
        head = f"{recalibration.at:%d %b} webhook, signature verified: {recalibration.trigger} {recalibration.kind}"
        self.say(head + (" — the first alarm" if first and recalibration.kind == "firing" else ""), style)
        if self._live is None:
            words = alarm_words(recalibration) if recalibration.kind == "firing" else [recalibration.summary]
            for line_of_it in words:
                self.say(line_of_it, style)

    def show(self, facts: Facts) -> None:
        """Show how things stand."""
        if self._live is not None:
            self._live.update(picture(facts, self._words, self.console.width), refresh=True)
        elif facts.week != self._week and facts.positions:
            self._week = facts.week
            self.console.print(line(facts), soft_wrap=True)


def picture(facts: Facts, words: Iterable[Text], width: int) -> RenderableType:
    """Everything at once, for a terminal ``width`` characters wide."""
    parts: list[RenderableType] = [bookings_bar(facts), Text(""), heat_map(facts, width - 4), Text("")]
    parts += [slip_line(facts, name) for name in facts.work if _is_current(facts, name)]
    parts += [Text(""), *(asked(facts, recalibration) for recalibration in facts.recalibrations.values()), *words]
    title = f"The margin–volume trap · {facts.today:%a %d %b %Y} · {facts.week}"
    return Panel(Group(*parts), title=title, title_align="left", width=width)


def line(facts: Facts) -> str:
    """How things stand in one line."""
    parts = [f"{facts.today} {facts.week}"]
    seen = bookings(facts.plan, facts.deals, facts.today)
    if seen is not None:
        parts.append(f"bookings {seen.won / seen.target:.0%} of {seen.period} ({'green' if seen.green else 'red'})")
    for pool in facts.plan.pools:
        ahead = [p.utilisation or 0.0 for p in facts.positions.values() if p.pool == pool and p.week >= facts.week]
        parts.append(f"{pool} {max(ahead, default=0.0):.0%}" + _with_work_ahead(facts, pool))
    parts += [f"{name} slips {state.slip_weeks:g}" for name, state in facts.work.items() if _is_current(facts, name)]
    return "  ".join(parts)


def bookings_bar(facts: Facts, cells: int = 40) -> Text:
    """Won and expected bookings of the quarter against its target, and the discount on open quotes."""
    seen = bookings(facts.plan, facts.deals, facts.today)
    if seen is None:
        return Text("Bookings: the plan has no target for this quarter")
    scale = cells / max(seen.target, seen.won + seen.expected)
    won, expected = round(seen.won * scale), round(seen.expected * scale)
    colour = "green" if seen.green else "red"
    text = Text(f"Bookings {seen.period}  ".ljust(NAME_WIDTH + 2))
    text.append("█" * won, colour).append("▒" * min(expected, cells - won), colour)
    text.append("·" * max(0, cells - won - expected), "dim")
    text.append(f"  {_money(seen.won)} won + {_money(seen.expected)} expected of {_money(seen.target)}, ")
    text.append(f"{_money(seen.due)} due: {'GREEN' if seen.green else 'RED'}", f"bold {colour}")
    given = discount(facts.open_deals())
    if given is not None:
        text.append(f"\n{'Discount':<{NAME_WIDTH + 2}}{given:.1%} on open quotes")
    return text


def heat_map(facts: Facts, width: int) -> Table:
    """Utilisation on expected demand, pools × weeks; below a pool with work under way, what both ask of it together."""
    count = max(4, (width - NAME_WIDTH - 2) // (CELL_WIDTH + 1))
    known = sorted({week for _, week in facts.positions})
    first = max(known[0], add_weeks(facts.week, -WEEKS_BACK)) if known else facts.week
    weeks = [week for week in known if week >= first][:count]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_edge=False)
    table.add_column("Utilisation", width=NAME_WIDTH, no_wrap=True)
    for week in weeks:
        style = "bold reverse" if week == facts.week else "dim"
        table.add_column(Text(week[-3:], style=style), width=CELL_WIDTH, justify="right", no_wrap=True)
    for pool in facts.plan.pools:
        table.add_row(pool, *(_cell(used(facts, pool, week)) for week in weeks))
        if named := _work_of(facts, pool):
            also = f" + {named[0] if len(named) == 1 else 'work'}"
            table.add_row(Text(also, style="italic"), *(_cell(used_with_work(facts, pool, week)) for week in weeks))
    return table


def _cell(share: float | None) -> Text:
    if share is None:
        return Text("–", style="dim")
    style = next((style for limit, style in HEAT if share <= limit), "bold white on red3")
    mark = "!" if round(share, 4) > 1.0 else " "
    return Text(f"{share:4.0%}{mark}"[:CELL_WIDTH], style=style)


def _work_of(facts: Facts, pool: str) -> list[str]:
    """The work items that the pool owes now or soon."""
    return [name for name in facts.work if facts.plan.work[name].pool == pool and _is_current(facts, name)]


def _with_work_ahead(facts: Facts, pool: str) -> str:
    named = _work_of(facts, pool)
    ahead = [used_with_work(facts, pool, week) for at, week in facts.positions if at == pool and week >= facts.week]
    shares = [share for share in ahead if share is not None]
    return f" ({max(shares):.0%} with {', '.join(named)})" if named and shares else ""


def slip_line(facts: Facts, name: str) -> Text:
    """When a work item is due and done, and how its slip has moved."""
    state, work = facts.work[name], facts.plan.work[name]
    text = Text(f"{name:<{NAME_WIDTH + 1}} due {state.due}, ")
    text.append(f"done {state.finish}" if state.finish else "not done within the plan's horizon")
    if state.finish:
        text.append(f" (week {plan_week(work.start, state.finish)} of it)")
    style = "bold red" if state.slip_weeks > 2 else "yellow" if state.slip_weeks > 0 else "green"
    text.append(f"  slips {in_weeks(state.slip_weeks)}", style)
    return text.append("  " + sparkline([slip for _, slip in facts.slips.get(name, [])]), style)


def sparkline(values: list[float], most: int = 30) -> str:
    """The last values as bars of a height between nothing and the largest."""
    shown = values[-most:]
    top = max(shown, default=0.0)
    return "".join(BARS[round(value / top * (len(BARS) - 1))] if top > 0 else BARS[0] for value in shown)


def asked(facts: Facts, recalibration: Recalibration) -> Panel:
    """One recalibration as it stands: what, because of which deals, who is asked by when, and what they answered."""
    style = STYLES[recalibration.kind]
    decision = next((d for d in facts.decisions if d.recalibration.id == recalibration.id), None)
    parts = [Text(recalibration.summary, style)]
    fired = next((r for r in facts.firings if r.id == recalibration.id), recalibration)
    parts += [Text(words) for words in alarm_words(fired)[1:]]
    if decision is not None:
        parts.append(Text(f"Decided {decision.at:%d %b}: {decision.why}", "bold green"))
    title = (
        f"{recalibration.trigger}: {recalibration.kind}, {recalibration.severity}, since {recalibration.fired:%d %b}"
    )
    return Panel(Group(*parts), title=title, title_align="left", border_style=style)


def alarm_words(recalibration: Recalibration) -> list[str]:
    """A recalibration as its owner reads it: what, who, by when, why."""
    owners = ", ".join(person.name or person.id for person in recalibration.owners)
    words = [f"{recalibration.severity.upper()}  {recalibration.summary}"]
    if recalibration.decide_by is not None:
        words.append(f"{owners} is asked to decide by {recalibration.decide_by:%d %b}")
    if recalibration.cause:
        open_deals = sum(1 for deal in recalibration.cause if deal.probability < 1)
        named = ", ".join(f"{deal.deal} ({deal.effort:,.0f} {recalibration.unit})" for deal in recalibration.cause[:4])
        words.append(f"because of {named} …; {open_deals} of the {len(recalibration.cause)} named were open then")
    return words


def print_summary(summary: Summary, console: Console) -> None:
    """The end, as a table for people."""
    table = Table(
        title=f"What came of {summary.plan}", title_justify="left", box=None, show_header=False, pad_edge=False
    )
    table.add_column(style="bold", width=20, no_wrap=True)
    table.add_column(overflow="fold")
    for what, words in summary_rows(summary):
        table.add_row(what, words)
    console.print(table)
    for claim in summary.claims:
        console.print(f"  {'✔' if claim.holds else '✘'} {claim.claim}", style="green" if claim.holds else "bold red")


def summary_rows(summary: Summary) -> list[tuple[str, str]]:
    """The end in words, by what they are about."""
    rows = [
        (
            quarter.period,
            f"bookings {_money(quarter.bookings)} of {_money(quarter.target)}, "
            f"{'green throughout' if quarter.green_throughout else 'not always green'}; "
            f"average discount {quarter.discount or 0:.0%}; {quarter.alarms} alarms",
        )
        for quarter in summary.quarters
    ]
    if (alarm := summary.alarm) is not None:
        rows.append(("First alarm", f"{alarm.fired:%d %b %Y}: {alarm.text}"))
        asked = f"{', '.join(alarm.owners)}, to decide by {alarm.decide_by:%d %b}" if alarm.decide_by else "nobody"
        rows.append(("Asked", asked))
        rows.append(("Deals then", f"{alarm.open_deals} of the deals that cause it open, {alarm.won_deals} won"))
        rows.append(("Weeks of warning", _warning(alarm, summary.release.due)))
    release, revenue = summary.release, summary.revenue
    rows.append(("Without decision", _fate(release.without, release.week_without, revenue.at_risk_without, revenue)))
    if release.decided is not None:
        rows.append(
            ("Decision", f"{release.decided:%d %b}: {release.held_deals} deals' custom configuration held back")
        )
        rows.append(("With it", _fate(release.with_decision, release.week_with, revenue.at_risk_with, revenue)))
    sent = summary.deliveries
    rows.append(("Webhooks", f"{sent.verified} delivered, every signature verified; {sent.refused} refused"))
    return rows


def _warning(alarm: Alarm, due: str) -> str:
    parts = [f"{alarm.weeks_before_due:.1f} before {due}, in which the release is due"]
    if alarm.weeks_before_overload is not None:
        parts.append(f"{alarm.weeks_before_overload:.1f} before the first overload ({alarm.overload})")
    if alarm.weeks_before_last_responsible is not None:
        parts.append(f"{alarm.weeks_before_last_responsible:.1f} before the last responsible moment")
    return "; ".join(parts)


def _fate(state: WorkState | None, week: int | None, at_risk: float, revenue: Revenue) -> str:
    if state is None:
        return "nothing is known"
    share = at_risk / revenue.yearly if revenue.yearly else 0.0
    done = f"done in {state.finish}, week {week} of it" if state.finish else "not done within the plan's horizon"
    lost = f"{_money(at_risk)} of yearly revenue at risk ({share:.0%})"
    return f"{state.work} slips {in_weeks(state.slip_weeks)}, {done}; {lost}"


def _is_current(facts: Facts, name: str) -> bool:
    """Whether a work item is under way, is about to be, or slips."""
    work = facts.plan.work[name]
    soon = add_weeks(facts.week, 4)
    return work.start <= soon and (facts.week <= work.due or facts.work[name].slip_weeks > 0)


def _money(amount: float) -> str:
    if amount == 0:
        return "nothing"
    return f"{amount / 1e6:.2f} M" if amount >= 1e6 else f"{amount / 1e3:.0f} k"
