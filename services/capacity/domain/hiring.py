"""What recruiters owe: the people that other pools are missing, times the hours that filling one opening takes.

A pool is missing people where its expected demand exceeds its capacity; somebody who fills the largest gap so far is
there in all weeks after. Each opening asks its hours evenly over the hire's lead time before the week in which it is
first missed, from the present week on at the earliest. What only planned demand makes missing is planned.

Recruiters who are missing themselves are hired by those whose names come after theirs, so that all is settled in one
round.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from shared.schemas.plan import Plan
from shared.schemas.plan_pools import Hire, Hiring, WorkPool
from shared.schemas.position import Position

Floats = npt.NDArray[np.float64]


class Openings(NamedTuple):
    """Hours of a hiring pool by week: for people missed by expected demand, and by what is planned besides."""

    base: Floats
    planned: Floats

    def same_as(self, other: "Openings | None") -> bool:
        """Whether nothing differs."""
        return other is not None and all(map(np.array_equal, self, other))


def in_order(plan: Plan) -> list[str]:
    """The plan's pools, those that hire for others last, and by name: a published plan keeps no order."""
    hirers = hirers_of(plan)
    return [*(name for name in plan.pools if name not in hirers), *hirers]


def hirers_of(plan: Plan) -> list[str]:
    """The pools that hire for others, by name."""
    return sorted(name for name in plan.pools if _hiring(plan, name) is not None)


def openings_of(name: str, plan: Plan, axis: Axis, positions: Mapping[tuple[str, str], Position]) -> Openings | None:
    """What pool ``name`` owes for the gaps in the ``positions`` of others; None when it does not hire."""
    hiring = _hiring(plan, name)
    if hiring is None:
        return None
    expected, planned = np.zeros(axis.count), np.zeros(axis.count)
    order = in_order(plan)
    settled = set(order[: order.index(name)])
    for other in hiring.pools or plan.pools:
        hire = getattr(plan.pools[other], "hire", None)
        if other not in settled or not isinstance(hire, Hire) or not max(hire.ramp) > 0:
            continue
        gaps = np.zeros((2, axis.count))
        for place in range(axis.now, axis.count):
            position = positions.get((other, axis.weeks[place]))
            if position is not None:
                gap = position.base + position.booked + position.expected - position.capacity
                gaps[:, place] = gap, gap + position.planned
        people = np.maximum(gaps, 0.0) / (hire.hours * max(hire.ramp))
        expected += _hours(people[0], hire.lead_weeks, hiring.recruiter_hours, axis)
        planned += _hours(people[1], hire.lead_weeks, hiring.recruiter_hours, axis)
    return Openings(expected, np.maximum(planned - expected, 0.0))


def _hours(people: Floats, lead: int, each: float, axis: Axis) -> Floats:
    """The hours for ``people`` missing by week."""
    more = np.diff(np.maximum.accumulate(people), prepend=0.0)
    found = np.zeros(axis.count)
    for week in np.flatnonzero(more > 0).tolist():
        last = max(week, axis.now + 1)
        first = min(max(week - max(lead, 1), axis.now), last - 1)
        if lead == 0:
            first, last = week, week + 1
        found[first:last] += more[week] * each / (last - first)
    return found


def _hiring(plan: Plan, name: str) -> Hiring | None:
    pool = plan.pools[name]
    return pool.hiring if isinstance(pool, WorkPool) else None
