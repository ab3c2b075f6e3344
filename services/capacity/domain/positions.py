"""A pool's rows of the capacity table: the bands of demand against capacity, how likely it is too little, and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import starmap
from typing import Final

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

_NOTHING: Final = 1e-9


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
    weeks = axis.weeks[shown]
    total = pool.base + pool.of_deals
    columns = _columns(pool, total)
    can, said = pool.capacity.counts, pool.capacity.reported
    columns["utilisation"] = total / np.where(can > _NOTHING, can, 1.0)
    columns["reported"] = np.nan_to_num(said)
    rounded = figures(np.array([column[shown] for column in columns.values()]))
    found: dict[str, Sequence[object]] = dict(zip(columns, rounded.tolist(), strict=True))
    some, reported = (found["capacity"], (~np.isnan(said[shown])).tolist())
    found["utilisation"] = [use if there else None for use, there in zip(found["utilisation"], some, strict=True)]
    found["reported"] = [amount if there else None for amount, there in zip(found["reported"], reported, strict=True)]
    found["pool"], found["week"], found["unit"] = [pool.name] * len(weeks), weeks, [pool.unit] * len(weeks)
    found["top"], found["others"] = pool.askers.each_week(range(*axis.shown), total)
    # By place: naming two dozen fields fifty thousand times took a tenth of a projection.
    return list(starmap(Position, zip(*(found[name] for name in Position.__struct_fields__), strict=True)))


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
