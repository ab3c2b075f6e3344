"""The calibration of a back-test, for people and for machines: reliability by decile, Brier score, by weeks ahead."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from headroom.calibration import EVENTS, Reliability, pooled, rows
from headroom.tables import print_table

_SIDE = 200
_LEFT = 40


def as_json(found: Sequence[Reliability]) -> list[dict[str, Any]]:
    """One object for each event and horizon in weeks; horizon 0 is all of them together."""
    return [_object(one) for event in EVENTS for one in [pooled(found, event), *_of(found, event)]]


def _of(found: Sequence[Reliability], event: str) -> list[Reliability]:
    return [one for one in found if one.event == event]


def _object(one: Reliability) -> dict[str, Any]:
    return {
        "event": one.event,
        "weeks_ahead": one.horizon,
        "forecasts": one.count,
        "base_rate": one.base_rate,
        "brier": one.brier,
        "skill": one.skill,
        "deciles": [
            {"forecast": name, "count": count, "mean_forecast": predicted, "came_true": came}
            for name, count, predicted, came in rows(one)
        ],
    }


def show(console: Console, found: Sequence[Reliability]) -> None:
    """Two tables: the scores, and the reliability of all horizons together. Nothing where no week is over."""
    if not any(one.count for one in found):
        return
    columns = ("weeks ahead", "forecasts", "came true", "Brier", "skill")
    scores = [
        (
            one.event, str(one.horizon), f"{one.count:,}", _part(one.base_rate), _score(one.brier), _score(one.skill)
        )
        for one in found
        if one.count
    ]  # fmt: skip
    title = "Calibration: was what was called likely what came?"
    print_table(console, ("forecast of", *columns), scores, title, right=columns)
    of_deciles = ("forecast", "how many", "on average", "came true")
    deciles = [
        (event, name, f"{count:,}", _part(predicted), _part(came))
        for event in EVENTS
        for name, count, predicted, came in rows(pooled(found, event))
    ]
    print_table(console, ("forecast of", *of_deciles), deciles, right=of_deciles)


def _part(value: float | None) -> str:
    return "–" if value is None else f"{value:.1%}"


def _score(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def section(found: Sequence[Reliability]) -> str:
    """The reliability diagrams side by side as HTML; empty where no week is over."""
    drawn = [_diagram(pooled(found, event)) for event in EVENTS]
    if not any(drawn):
        return ""
    note = "Right of the line: came true less often than forecast. A larger dot stands for more forecasts."
    title = "<h2>Calibration: was what was called likely what came?</h2>"
    return title + "".join(drawn) + f"<p class=note>{note}</p>"


def _diagram(one: Reliability) -> str:
    if not one.count:
        return ""
    width, height = _SIDE + _LEFT + 10, _SIDE + 40
    parts = [
        f'<svg viewBox="0 0 {width} {height}" style="width:32%" role="img" aria-label="Reliability of {one.event}">'
    ]
    parts.append(f'<rect x="{_LEFT}" y="10" width="{_SIDE}" height="{_SIDE}" fill="none" stroke="#ccc"/>')
    parts.append(f'<line x1="{_LEFT}" y1="{_SIDE + 10}" x2="{_LEFT + _SIDE}" y2="10" stroke="#999"/>')
    for name, count, predicted, came in rows(one):
        x, y = _LEFT + predicted * _SIDE, 10 + (1 - came) * _SIDE
        radius = 3 + 9 * (count / one.count) ** 0.5
        title = f"{name}: {count:,} forecasts, {predicted:.1%} on average, {came:.1%} came true"
        parts.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#1f6f8b" fill-opacity="0.7">'
            f"<title>{title}</title></circle>"
        )
    said = f"{one.event}: Brier {_score(one.brier)}, skill {_score(one.skill)}"
    parts.append(f'<text x="{_LEFT}" y="{_SIDE + 30}">{said}</text>')
    return "".join(parts) + "</svg>"
