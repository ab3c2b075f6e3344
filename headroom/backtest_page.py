"""A back-test as one HTML page that needs nothing else: a heat map of the last projection, and lines over the days."""

from collections.abc import Sequence
from datetime import date
from html import escape
from typing import Final

from headroom.replay import Replay
from shared.schemas.plan import Plan
from shared.schemas.position import Position

_CELL: Final = 16
_LEFT: Final = 170
_WIDE: Final = 860
_HIGH: Final = 150
_COLOURS: Final = ("#1f6f8b", "#c8553d", "#6a994e", "#8e6c8a", "#b08900", "#444444")

_HEAD: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<style>
body {{ font: 14px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1100px; padding: 0 1rem; color: #222 }}
h2 {{ margin-top: 2rem }} svg {{ max-width: 100%; height: auto }} text {{ font-size: 11px; fill: #444 }}
.note {{ color: #666 }}
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
    parts.append("<h2>Worst P(overload) of the weeks ahead</h2>" + _lines(days, pools, 1.0, "%"))
    late = {pool: [_of(day.pools, "pool", pool, "late") for day in found.days] for pool in plan.pools}
    parts.append("<h2>Worst P(late)</h2>" + _lines(days, late, 1.0, "%"))
    if plan.work:
        slips = {work: [_of(day.work, "work", work, "slip_weeks") for day in found.days] for work in plan.work}
        most = max((value for values in slips.values() for value in values), default=0.0)
        parts.append("<h2>Slip of work items in weeks</h2>" + _lines(days, slips, max(most, 1.0), ""))
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


def _lines(days: Sequence[date], series: dict[str, list[float]], most: float, unit: str) -> str:
    if len(days) < 2:
        return "<p class=note>Fewer than two days were projected.</p>"
    step = (_WIDE - 60) / (len(days) - 1)
    drawn = [f'<svg viewBox="0 0 {_WIDE} {_HIGH + 40}" role="img">']
    for share in (0.0, 0.5, 1.0):
        y = _HIGH - share * (_HIGH - 10)
        label = f"{share * most:.0%}" if unit == "%" else f"{share * most:g}"
        drawn.append(f'<path d="M50 {y:.1f}H{_WIDE - 10}" stroke="#ddd"/><text x="0" y="{y + 4:.1f}">{label}</text>')
    for number, (name, values) in enumerate(series.items()):
        heights = [_HIGH - min(value / most, 1.0) * (_HIGH - 10) for value in values]
        points = " ".join(f"{50 + at * step:.1f},{height:.1f}" for at, height in enumerate(heights))
        line = f'points="{points}" fill="none" stroke="{_COLOURS[number % len(_COLOURS)]}"'
        drawn.append(f"<polyline {line}><title>{escape(name)}</title></polyline>")
    marked = sorted({0, len(days) // 2, len(days) - 1})
    drawn += [f'<text x="{30 + at * step:.1f}" y="{_HIGH + 16}">{days[at]}</text>' for at in marked]
    named = ", ".join(
        f'<span style="color:{_COLOURS[number % len(_COLOURS)]}">{escape(name)}</span>'
        for number, name in enumerate(series)
    )
    return "".join(drawn) + f"</svg><p>{named}</p>"
