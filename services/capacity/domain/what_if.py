"""What an overlay changes: positions, work items and everything else that frames tell, before and after."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from services.capacity.domain.overlay import Laid
from services.capacity.domain.projector import Projector
from services.capacity.domain.rounding import figure
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState

LIKELY: Final = 0.5
"""A week is called overloaded when demand exceeds capacity more likely than not."""

TOLD: Final = ("milestones", "bookings", "listed_counts")
"""Parts of a frame that are compared as wholes."""

Rows = Mapping[tuple[str, str], Position]
Forecasts = Mapping[tuple[str, str], Forecast]


def told_by(frame: Frame | None) -> dict[str, Any]:
    """The parts of a frame that replace former ones, as far as it says them."""
    return {name: value for name in TOLD if (value := getattr(frame, name, None)) is not None}


def compared(before: Projector, told: Mapping[str, Any], laid: Laid, limit: int) -> dict[str, Any]:
    """The answer, ready to be encoded. ``told`` are parts of frames as they stand; at most ``limit`` positions.

    Where more have changed, those are named whose overload, then utilisation, changes most.
    """
    then, now = laid.projector.positions, before.positions
    # What was not computed anew is the very same object, which is quicker to see than what it says.
    changed = [key for key in {**now, **then} if now.get(key) is not then.get(key) and now.get(key) != then.get(key)]
    named = sorted(changed, key=lambda key: _weight(now.get(key), then.get(key)))[:limit]
    order = {pool: number for number, pool in enumerate(laid.in_force.plan.pools)}
    named.sort(key=lambda key: (order.get(key[0], len(order)), key))
    works = [name for name in {**before.work, **laid.projector.work}
             if before.work.get(name) != laid.projector.work.get(name)]  # fmt: skip
    return {
        "pools": _pools(now, then, sorted({pool for pool, _ in changed}, key=lambda p: (order.get(p, len(order)), p))),
        "positions": [_position(key, now.get(key), then.get(key)) for key in named],
        "positions_changed": len(changed),
        "work": [_work(name, before.work.get(name), laid.projector.work.get(name)) for name in works],
        "forecasts": _forecasts(before.told.forecasts, laid.projector.told.forecasts),
        **_parts(told, {**told, **told_by(laid.frame)}),
    }


def described(laid: Laid, plan: Plan) -> dict[str, Any]:
    """What the overlay was taken to mean: the plan it holds the book against, and how many deal lines were changed."""
    changed, lines = laid.in_force.plan is not plan, [figure(float(n)) for n in laid.lines]
    return {"plan_changed": changed, "deal_lines": lines, "currency": laid.in_force.plan.currency}


def _weight(now: Position | None, then: Position | None) -> tuple[float, float]:
    if now is None or then is None:
        return (-2.0, 0.0)
    return -abs(then.overload - now.overload), -abs((then.utilisation or 0.0) - (now.utilisation or 0.0))


def _position(key: tuple[str, str], now: Position | None, then: Position | None) -> dict[str, Any]:
    either = then or now
    assert either is not None
    said = {"pool": key[0], "week": key[1], "unit": either.unit}
    return {**said, "before": _whole(now), "after": _whole(then), "difference": difference(now, then)}


def _work(name: str, now: WorkState | None, then: WorkState | None) -> dict[str, Any]:
    return {"work": name, "before": _whole(now), "after": _whole(then), "difference": difference(now, then)}


def _forecasts(now: Forecasts, then: Forecasts) -> list[dict[str, Any]]:
    """Of each period and segment, as it would be re-forecast: its bridge and changes speak against what stands."""
    found = []
    for key in sorted({**now, **then}):
        one, other = now.get(key), then.get(key)
        if difference(one, other) or one is None or other is None:
            said = {"period": key[0], "segment": key[1], "before": _whole(one), "after": _whole(other)}
            found.append(said | {"difference": difference(one, other)})
    return found


def difference(now: msgspec.Struct | None, then: msgspec.Struct | None) -> dict[str, float]:
    """After less before, of every number that is not the same; nothing when one of them is not there."""
    if now is None or then is None:
        return {}
    found = {}
    for name in now.__struct_fields__:
        if name.endswith("_change"):
            continue  # it speaks of another time before
        one, other = getattr(now, name), getattr(then, name)
        if isinstance(one, float) and isinstance(other, float) and one != other:
            found[name] = figure(other - one)
    return found


def _pools(now: Rows, then: Rows, pools: list[str]) -> list[dict[str, Any]]:
    """Of each pool that changes: its worst week, its first overloaded week, and how late it gets."""
    before, after = _by_pool(now, set(pools)), _by_pool(then, set(pools))
    return [{"pool": pool, "before": _summary(before[pool]), "after": _summary(after[pool])} for pool in pools]


def _by_pool(rows: Rows, pools: set[str]) -> dict[str, list[Position]]:
    found: dict[str, list[Position]] = defaultdict(list)
    for pool, week in sorted(key for key in rows if key[0] in pools):
        found[pool].append(rows[pool, week])
    return found


def _summary(rows: list[Position]) -> dict[str, Any] | None:
    if not rows:
        return None
    worst = max(rows, key=lambda row: row.overload)
    return {
        "worst_week": worst.week,
        "overload": worst.overload,
        "first_overloaded": next((row.week for row in rows if row.overload > LIKELY), None),
        "overloaded_weeks": sum(row.overload > LIKELY for row in rows),
        "late": max(row.late for row in rows),
        "backlog_mean": max(row.backlog_mean for row in rows),
        "demand": figure(sum(row.base + row.booked + row.expected for row in rows)),
        "capacity": figure(sum(row.capacity for row in rows)),
    }


def _parts(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """The other parts of frames, each before and after where it is not the same."""
    return {
        name: {"before": _plain(now.get(name)), "after": _plain(then.get(name))}
        for name in TOLD
        if now.get(name) != then.get(name)
    }


def _plain(value: Any) -> Any:
    return [_whole(item) for item in value] if isinstance(value, list) else value


def _whole(item: msgspec.Struct | None) -> dict[str, Any] | None:
    """All fields, those at their default too."""
    return None if item is None else {name: getattr(item, name) for name in item.__struct_fields__}
