"""A back-test as one HTML page that needs nothing else: a heat map of the last projection, lines over the days with
the episodes as bars, and what came true.
"""

from collections.abc import Sequence
from datetime import date, datetime
from html import escape
from typing import Final
from zoneinfo import ZoneInfo

from headroom.backtest_calibration import section
from headroom.backtest_episodes import outcome
from headroom.backtest_money import drifts, margins
from headroom.hindsight import Hindsight, Told
from headroom.replay import Replay
from shared.schemas.plan import Plan
from shared.schemas.position import Position

_CELL: Final = 16
_LEFT: Final = 170
_WIDE: Final = 860
_HIGH: Final = 150
_ROW: Final = 14
_LINE_BEGINS: Final = 50
_COLOURS: Final = ("#1f6f8b", "#c8553d", "#6a994e", "#8e6c8a", "#b08900", "#444444")

_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }}
h2 {{ margin-top: 2rem }} svg {{ max-width: 100%; height: auto }} text {{ font-size: 11px; fill: #444 }}
.note {{ color: #666 }} td, th {{ text-align: left; padding-right: 1.5rem }}
</style></head><body>
<h1>{title}</h1>
"""


def page(plan: Plan, found: Replay) -> str:
    """The page."""
    parts = [_HEAD.format(title=escape(f"Back-test of {plan.plan}"))]
    days = [day.day for day in found.days]
    span = f" from {days[0]} to {days[-1]}" if days else ""
    parts.append(f"<p>{found.events:,} events{span}; {found.unusable:,} could not be used.</p>")
    parts.append("<h2>Utilisation by pool and week, as last projected</h2>" + _heat(plan, found.positions))
    pools = {pool: ([_of(day.pools, "pool", pool, "overload") for day in found.days]) for pool in plan.pools}
    told, zone = found.hindsight.episodes, ZoneInfo(plan.timezone)
    bars = _Bars(days, zone, [one for one in told if one.watch != "work"])
    parts.append("<h2>Worst P(overload) of the weeks ahead</h2>" + _lines(days, pools, 1.0, "%", bars))
    late = {pool: [_of(day.pools, "pool", pool, "late") for day in found.days] for pool in plan.pools}
    parts.append("<h2>Worst P(late)</h2>" + _lines(days, late, 1.0, "%"))
    if plan.work:
        slips = {work: [_of(day.work, "work", work, "slip_weeks") for day in found.days] for work in plan.work}
        most = max((value for values in slips.values() for value in values), default=0.0)
        parts.append(
            "<h2>Slip of work items in weeks</h2>"
            + _lines(days, slips, max(most, 1.0), "", _Bars(days, zone, [one for one in told if one.watch == "work"]))
        )
    shares = margins(found)
    if any(any(values) for values in shares.values()):
        parts.append("<h2>Margin as a share of bookings, by quarter</h2>" + _lines(days, shares, 1.0, "%"))
    if moved := drifts(found):
        most = max(value for values in moved.values() for value in values)
        parts.append("<h2>Drift of discounts, by quarter and segment</h2>" + _lines(days, moved, max(most, 0.1), "%"))
    parts.append("<h2>Episodes, and what came true</h2>" + _judged(found.hindsight, zone))
    parts.append(section(found.calibration))
    return "".join(parts) + "</body></html>\n"


def _of(rows: Sequence[object], by: str, name: str, what: str) -> float:
    return next((float(getattr(row, what)) for row in rows if getattr(row, by) == name), 0.0)


def _heat(plan: Plan, positions: Sequence[Position]) -> str:
    weeks = sorted({row.week for row in positions})
    if not weeks:
        return "<p class=note>Nothing was projected.</p>"
    at = {(row.pool, row.week): row for row in positions}
    height = _CELL * len(plan.pools) + 30
    drawn = [f'<svg viewBox="0 0 {_LEFT + _CELL * len(weeks)} {height}" role="img" aria-label="Utilisation">']
    for y, pool in enumerate(plan.pools):
        drawn.append(f'<text x="0" y="{y * _CELL + 12}">{escape(pool)}</text>')
        for x, week in enumerate(weeks):
            row = at.get((pool, week))
            if row is not None:
                drawn.append(_square(row, _LEFT + x * _CELL, y * _CELL))
    under = _CELL * len(plan.pools) + 16
    drawn += [f'<text x="{_LEFT + x * _CELL}" y="{under}">{weeks[x][5:]}</text>' for x in range(0, len(weeks), 4)]
    return "".join(drawn) + "</svg><p class=note>Pale: idle; dark red: asked for twice what the pool can do.</p>"


def _square(row: Position, x: int, y: int) -> str:
    use = row.utilisation
    said = f"{use:.0%}" if use is not None else "no capacity"
    title = escape(f"{row.pool} {row.week}: {said}, P(overload) {row.overload:.0%}, P(late) {row.late:.0%}")
    colour = _colour(use if use is not None else 2.0)
    side = _CELL - 1
    return f'<rect x="{x}" y="{y}" width="{side}" height="{side}" fill="{colour}"><title>{title}</title></rect>'


def _colour(use: float) -> str:
    """From pale blue (idle) over yellow (full) to dark red (asked for twice as much)."""
    use = min(max(use, 0.0), 2.0)
    low, high, part = ((232, 241, 245), (247, 201, 72), use) if use <= 1 else ((247, 201, 72), (150, 20, 30), use - 1)
    return "#" + "".join(f"{round(a + (b - a) * part):02x}" for a, b in zip(low, high, strict=True))


class _Bars:
    """Episodes as bars beneath a chart over ``days``: dark while firing, pale while mitigated, one row for each."""

    def __init__(self, days: Sequence[date], zone: ZoneInfo, episodes: Sequence[Told]) -> None:
        self._days, self._zone = days, zone
        self._episodes = episodes if len(days) > 1 else []
        self.height = len(self._episodes) * _ROW

    def drawn(self, top: int) -> str:
        """The bars from ``top`` on; the name of each lies beside it, what came of it in its title."""
        return "".join(self._bar(one, top + row * _ROW) for row, one in enumerate(self._episodes))

    def _bar(self, one: Told, y: int) -> str:
        ends = [*(at for _, at in one.moves[1:]), None]
        title = escape(f"{one.trigger} on {one.scope}: fired {one.fired:%Y-%m-%d}, {outcome(one)}. {one.summary}")
        drawn = [f'<g class="episode"><title>{title}</title>']
        for (kind, at), end in zip(one.moves, ends, strict=True):
            if kind == "resolved":
                break
            begin, until = self._x(at), self._x(end) if end is not None else float(_WIDE - 10)
            opacity = 0.35 if kind == "mitigated" else 0.9
            size = f'width="{max(until - begin, 2.0):.1f}" height="{_ROW - 4}"'
            drawn.append(f'<rect x="{begin:.1f}" y="{y}" {size} fill="#c8553d" fill-opacity="{opacity}"/>')
        name = escape(f"{one.trigger} · {one.scope}")
        begin = self._x(one.fired)
        drawn.append(f'<text x="{begin - 4:.1f}" y="{y + 9}" text-anchor="end">{name}</text>')
        return "".join(drawn) + "</g>"

    def _x(self, at: datetime) -> float:
        """Where a moment lies on the axis of days, which has a place for each projection."""
        day = at.astimezone(self._zone).date()
        place = next((place for place, shown in enumerate(self._days) if shown >= day), len(self._days) - 1)
        return _LINE_BEGINS + place * (_WIDE - 60) / (len(self._days) - 1)


def _judged(found: Hindsight, zone: ZoneInfo) -> str:
    score, recall = found.score, found.recall
    said = [f"{len(found.episodes):,} episodes"]
    if score.precision is not None:
        said.append(f"precision {score.precision:.0%} ({score.came_true} came true, {score.did_not} did not)")
    if recall is not None:
        said.append(f"recall {recall:.0%} of {len(found.overloads):,} overloads")
    rows = "".join(
        f"<tr><td>{escape(one.of)}</td><td>{one.first} – {one.last}</td><td>{one.at.astimezone(zone):%Y-%m-%d}</td>"
        f"<td>{'never' if one.warned is None else f'{one.warned.astimezone(zone):%Y-%m-%d}'}</td>"
        f"<td>{'' if one.lead is None else f'{one.lead.days / 7:.1f} weeks'}</td></tr>"
        for one in found.overloads
    )
    head = "<tr><th>overload of</th><th>weeks</th><th>since</th><th>announced</th><th>lead</th></tr>"
    table = f"<table>{head}{rows}</table>" if rows else "<p class=note>Nothing was overloaded when it came.</p>"
    return f"<p>{'; '.join(said)}.</p>{table}"


def _lines(
    days: Sequence[date], series: dict[str, list[float]], most: float, unit: str, bars: _Bars | None = None
) -> str:
    if len(days) < 2:
        return "<p class=note>Fewer than two days were projected.</p>"
    step = (_WIDE - 60) / (len(days) - 1)
    beneath = _HIGH + 26
    height = beneath + 14 + (bars.height if bars else 0)
    drawn = [f'<svg viewBox="0 0 {_WIDE} {height}" role="img">', bars.drawn(beneath) if bars else ""]
    for share in (0.0, 0.5, 1.0):
        y = _HIGH - share * (_HIGH - 10)
        label = f"{share * most:.0%}" if unit == "%" else f"{share * most:g}"
        drawn.append(
            f'<path d="M{_LINE_BEGINS} {y:.1f}H{_WIDE - 10}" stroke="#ddd"/><text x="0" y="{y + 4:.1f}">{label}</text>'
        )
    for number, (name, values) in enumerate(series.items()):
        heights = [_HIGH - min(value / most, 1.0) * (_HIGH - 10) for value in values]
        points = " ".join(f"{_LINE_BEGINS + at * step:.1f},{height:.1f}" for at, height in enumerate(heights))
        line = f'points="{points}" fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}"'
        drawn.append(f"<polyline {line}><title>{escape(name)}</title></polyline>")
    marked = sorted({0, len(days) // 2, len(days) - 1})
    drawn += [f'<text x="{30 + at * step:.1f}" y="{_HIGH + 16}">{days[at]}</text>' for at in marked]
    named = ", ".join(
        f'<span style="color:{_COLOURS[number % len(_COLOURS)]}">{escape(name)}</span>'
        for number, name in enumerate(series)
    )
    return "".join(drawn) + f"</svg><p>{named}</p>"
