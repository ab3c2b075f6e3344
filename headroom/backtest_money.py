"""What a back-test says of forecasts: margin by quarter, how it came about, and when discounts were seen to drift."""

from collections.abc import Iterator
from datetime import date

from rich.console import Console
from rich.markup import escape

from headroom.replay import Replay
from headroom.replay_forecasts import ForecastDay
from headroom.tables import print_table
from services.capacity.domain.drift import ALARM
from shared.schemas.forecast import EVERYTHING, Forecast
from shared.schemas.plan import Plan


def show(console: Console, plan: Plan, found: Replay) -> None:
    """A table of the quarters, and of the segments in which discounts drifted; nothing where nothing was forecast."""
    quarters = [one for one in found.forecasts if one.segment == EVERYTHING and (one.lines or one.target)]
    if quarters:
        money = [f"{name} ({plan.currency})" for name in ("bookings", "overload", "at risk")]
        rows = [
            (
                one.period, f"{one.bookings:,.0f}", _of_target(one), _percent(one.margin_share),
                _percent(one.target.margin if one.target else None), f"{one.overload_cost:,.0f}",
                f"{one.revenue_at_risk:,.0f}",
            )
            for one in quarters
        ]  # fmt: skip
        print_table(console, ("quarter", money[0], "of target", "margin", "target", *money[1:]), rows)
    drifting = list(_drifting(found))
    if drifting:
        seen_on = []
        for period, segment, day, seen in drifting:
            drift, cusum = _percent(seen.discount_drift), f"{seen.discount_cusum or 0.0:.1f}"
            seen_on.append((period, escape(segment or "(none)"), str(day), drift, cusum))
        print_table(console, ("discounts drift in", "segment", "first seen on", "by", "CUSUM"), seen_on)


def margins(found: Replay) -> dict[str, list[float]]:
    """By quarter, the share of margin on each day; 0 where there is none yet."""
    return _series(found, EVERYTHING, "margin_share")


def drifts(found: Replay) -> dict[str, list[float]]:
    """By quarter and segment, the drift of discounts on each day, no less than 0; those in which it was ever seen."""
    segments = sorted({one.segment for day in found.days for one in day.forecasts})
    series = {
        f"{period} {segment or '(none)'}": values
        for segment in segments
        for period, values in _series(found, segment, "discount_drift").items()
    }
    return {name: values for name, values in series.items() if any(values)}


def _series(found: Replay, segment: str, what: str) -> dict[str, list[float]]:
    periods = sorted({one.period for day in found.days for one in day.forecasts if one.segment == segment})
    by_day = [{one.period: one for one in day.forecasts if one.segment == segment} for day in found.days]
    return {period: [max(getattr(known.get(period), what, None) or 0.0, 0.0) for known in by_day] for period in periods}


def _drifting(found: Replay) -> Iterator[tuple[str, str, date, ForecastDay]]:
    """The first day on which each quarter and segment was above the alarm."""
    seen: set[tuple[str, str]] = set()
    for day in found.days:
        for one in day.forecasts:
            key = one.period, one.segment
            if (one.discount_cusum or 0.0) > ALARM and key not in seen:
                seen.add(key)
                yield one.period, one.segment, day.day, one


def _of_target(one: Forecast) -> str:
    return f"{one.bookings / one.target.bookings:.0%}" if one.target is not None and one.target.bookings else ""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
