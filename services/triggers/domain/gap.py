"""How much is missing: demand against capacity, in one week and over several."""

from collections.abc import Iterable

import msgspec

from shared.schemas.plan import Plan
from shared.schemas.position import Position


def demand(position: Position) -> float:
    """Expected demand of a position: base + booked + expected, in the pool's unit."""
    return position.base + position.booked + position.expected


def need(position: Position) -> float:
    """What is safe to be able to do: the demand not exceeded in four of five cases, at least the expected."""
    return max(demand(position), position.p80)


def missing(position: Position) -> float:
    """How far ``need`` lies above capacity, in the pool's unit; never below zero."""
    return max(0.0, need(position) - position.capacity)


def with_planned(position: Position) -> Position:
    """The position as it would stand with what is planned in the pipeline: expected, and part of P(overload)."""
    return msgspec.structs.replace(
        position,
        expected=position.expected + position.planned,
        p80=position.p80 + position.planned,
        overload=position.overload_planned,
        headroom=position.headroom - position.planned,
    )


def without_decided(position: Position) -> Position:
    """The position with the capacity it would have had nothing been decided; its chances are not known then."""
    return msgspec.structs.replace(position, capacity=position.capacity - position.decided)


def missing_together(plan: Plan, pool: str, positions: Iterable[Position]) -> float:
    """What is missing over several weeks of one pool.

    Weeks of work add up. A stock's or a budget's positions count everything since the beginning, so there the worst
    week is what is missing.
    """
    gaps = [missing(position) for position in positions]
    kept = plan.pools[pool].kind in ("stock", "budget") if pool in plan.pools else False
    return max(gaps, default=0.0) if kept else sum(gaps)
