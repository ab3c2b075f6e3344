"""A pool's rows of the capacity table: the bands of demand against capacity, how likely it is too little, and why."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.capacity.domain.attribution import Askers
from services.capacity.domain.axis import Axis
from services.capacity.domain.backlog import backlog_of, delay_of
from services.capacity.domain.capacity import PoolCapacity
from services.capacity.domain.exact_tail import Tail
from services.capacity.domain.groups import PoolDemand
from services.capacity.domain.lateness import Waiting
from services.capacity.domain.rounding import figures
from shared.schemas.position import Position

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PoolState:
    """All that is known of one pool, by week of the axis; ``base`` is work that no deal explains.

    ``cumulative``: a stock or a budget, whose demand and capacity are running totals. ``tail`` is of the weeks shown.
    """

    name: str
    unit: str
    cumulative: bool
    capacity: PoolCapacity
    base: Floats
    demand: PoolDemand
    planned: Floats
    askers: Askers
    tail: Tail
    waiting: Waiting | None = None
    """On whole paths; None: not computed."""

    @property
    def of_deals(self) -> Floats:
        """Booked and expected demand."""
        return self.demand.booked + self.demand.expected


def positions_of(pool: PoolState, axis: Axis) -> list[Position]:
    """The pool's positions in the weeks shown."""
    shown = slice(*axis.shown)
    total = pool.base + pool.of_deals
    top = pool.askers.each_week(range(*axis.shown), total)
    columns = _columns(pool, total)
    rows = figures(np.array([column[shown] for column in columns.values()])).T.tolist()
    can = pool.capacity.counts[shown]
    some = figures(can) > 0
    utilised = figures(total[shown] / np.where(some, can, 1.0)).tolist()
    reported = figures(np.nan_to_num(pool.capacity.reported[shown])).tolist()
    said = (~np.isnan(pool.capacity.reported[shown])).tolist()
    return [
        Position(
            pool=pool.name,
            week=axis.weeks[axis.shown[0] + number],
            unit=pool.unit,
            reported=reported[number] if said[number] else None,
            utilisation=utilised[number] if there else None,
            top=top[number][0],
            others=top[number][1],
            **dict(zip(columns, rows[number], strict=True)),
        )
        for number, there in enumerate(some.tolist())
    ]


def _columns(pool: PoolState, total: Floats) -> dict[str, Floats]:
    """The figures of a position by its fields, each by week of the axis."""
    demand, can = pool.demand, pool.capacity.counts
    p50, p80, p95 = (pool.base + band for band in pool.tail.bands)
    if pool.cumulative:
        # A running total has no backlog of its own: what is missing is missing in each later week.
        backlog = delay = np.zeros(len(can))
    else:
        backlog = backlog_of(total, can, pool.capacity.backlog)
        delay = delay_of(backlog, can)
    nothing = np.zeros(len(can))
    waiting = pool.waiting or Waiting(nothing, nothing, nothing)
    return {
        "capacity": can,
        "by_plan": pool.capacity.by_plan,
        "decided": pool.capacity.decided,
        "base": pool.base,
        "booked": demand.booked,
        "expected": demand.expected,
        "planned": pool.planned,
        "exposure": demand.exposure,
        "p50": p50,
        "p80": p80,
        "p95": p95,
        "overload": pool.tail.overload,
        "overload_planned": pool.tail.overload_planned,
        "headroom": can - total,
        "backlog": backlog,
        "delay_weeks": delay,
        "backlog_mean": waiting.mean,
        "backlog_p80": waiting.p80,
        "late": waiting.late,
    }
