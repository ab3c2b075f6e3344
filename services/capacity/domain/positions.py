"""A pool's rows of the capacity table: the bands of demand against capacity, how likely it is too little, and why."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.capacity.domain import lumps
from services.capacity.domain.attribution import Askers
from services.capacity.domain.axis import Axis
from services.capacity.domain.backlog import backlog_of, delay_of
from services.capacity.domain.capacity import PoolCapacity
from services.capacity.domain.demand import PoolDemand
from services.capacity.domain.overload import exceeds, quantiles
from services.capacity.domain.rounding import figure
from shared.schemas.position import Position

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PoolState:
    """All that is known of one pool, by week of the axis; ``base`` is work that no deal explains.

    ``cumulative``: a stock or a budget, whose demand and capacity are running totals.
    """

    name: str
    unit: str
    cumulative: bool
    capacity: PoolCapacity
    base: Floats
    demand: PoolDemand
    askers: Askers

    @property
    def of_deals(self) -> Floats:
        """Booked and expected demand."""
        return self.demand.booked + self.demand.expected


def positions_of(pool: PoolState, axis: Axis) -> list[Position]:
    """The pool's positions in the weeks shown."""
    demand, can = pool.demand, pool.capacity.counts
    mean = pool.of_deals
    total = pool.base + mean
    overload = _overload(pool, can, range(*axis.shown))
    bands = quantiles((0.5, 0.8, 0.95), mean, demand.variance, demand.third)
    if pool.cumulative:
        # A running total has no backlog of its own: what is missing is missing in each later week.
        backlog = delay = np.zeros(axis.count)
    else:
        backlog = backlog_of(total, can, pool.capacity.backlog)
        delay = delay_of(backlog, can)
    positions = []
    for week in range(*axis.shown):
        top, others = pool.askers.top(slice(week, week + 1), float(total[week]))
        reported = float(pool.capacity.reported[week])
        positions.append(
            Position(
                pool=pool.name,
                week=axis.weeks[week],
                unit=pool.unit,
                capacity=figure(can[week]),
                planned=figure(pool.capacity.planned[week]),
                reported=None if np.isnan(reported) else figure(reported),
                decided=figure(pool.capacity.decided[week]),
                base=figure(pool.base[week]),
                booked=figure(demand.booked[week]),
                expected=figure(demand.expected[week]),
                exposure=figure(demand.exposure[week]),
                p50=figure(pool.base[week] + bands[0][week]),
                p80=figure(pool.base[week] + bands[1][week]),
                p95=figure(pool.base[week] + bands[2][week]),
                utilisation=figure(total[week] / can[week]) if can[week] > 0 else None,
                overload=figure(overload[week]),
                headroom=figure(can[week] - total[week]),
                backlog=figure(backlog[week]),
                delay_weeks=figure(delay[week]),
                top=top,
                others=others,
            )
        )
    return positions


def _overload(pool: PoolState, can: Floats, weeks: range) -> Floats:
    """P(base + booked + open > capacity) by week; exact for the largest deals wherever that can make a difference."""
    demand, mean = pool.demand, pool.of_deals
    limit = can - pool.base
    overload = exceeds(limit, mean, demand.variance, demand.third)
    if pool.cumulative:
        return overload
    most = demand.booked + demand.exposure
    for week in weeks:
        here = float(limit[week]), float(mean[week]), float(demand.variance[week])
        spread = 4 * float(np.sqrt(demand.variance[week]))
        if lumps.worth_it(*here, float(most[week]) + spread):
            overload[week] = _with_lumps(pool, week, limit[week])
    return overload


def _with_lumps(pool: PoolState, week: int, limit: float) -> float:
    deals, lines = pool.askers.lumps(week)
    moments = [float(pool.of_deals[week]), float(pool.demand.variance[week]), float(pool.demand.third[week])]
    variance = moments[1]
    for lump in lines:
        moments = [whole - part for whole, part in zip(moments, lumps.moments_of(lump), strict=True)]
    if moments[1] <= 1e-9 * variance:
        # All of the variance is the lumps'; what differences leave of it is rounding.
        moments[1] = moments[2] = 0.0
    return lumps.exceeds_with(float(limit), deals, (moments[0], moments[1], moments[2]))
