"""When the plan's work items are done: they get what deals leave of their pool, or come before deals.

An item after deals is done in the first week by whose end Σ max(0, C - demand of higher priority) since its start is
its effort. Demand of higher priority that was not done in its week waits and goes on taking capacity, so that effort
pulled by deals is never lost on the way. Items of one pool are worked on by due date.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.backlog import backlog_of
from shared.schemas.plan import Plan, Work

Floats = npt.NDArray[np.float64]

_ENOUGH = 1 - 1e-7


class Finish(NamedTuple):
    """From which week to which an item is worked on; ``last`` is None when it is not done within the axis."""

    first: int
    last: int | None


def items_on(plan: Plan, pool: str, priority: str) -> list[tuple[str, Work]]:
    """The work items of a pool in the order in which they are worked on."""
    items = [(name, work) for name, work in plan.work.items() if work.pool == pool and work.priority == priority]
    return sorted(items, key=lambda item: (item[1].due, item[1].start, item[0]))


def finish_all(items: Iterable[tuple[str, Work]], axis: Axis, available: Floats) -> tuple[dict[str, Finish], Floats]:
    """When each item is done with what is ``available`` by week, and what all of them take of it."""
    left = np.maximum(available, 0.0)
    found: dict[str, Finish] = {}
    for name, work in items:
        first = min(max(axis.place(work.start), 0), axis.count)
        usable = left.copy()
        usable[:first] = 0.0
        done = np.cumsum(usable)
        enough = np.flatnonzero(done >= work.effort * _ENOUGH)
        taken = np.diff(np.minimum(done, work.effort), prepend=0.0)
        left -= taken
        # Nothing to do is done when it begins.
        last = max(int(enough[0]), first) if len(enough) and first < axis.count else None
        found[name] = Finish(first, last)
    return found, np.maximum(available, 0.0) - left


def left_by(demand: Floats, capacity: Floats, reported: dict[int, float]) -> Floats:
    """What is left of a pool by week once demand and what of it was not done before have taken theirs."""
    waiting = np.concatenate(([0.0], backlog_of(demand, capacity, reported)[:-1]))
    for week, amount in reported.items():
        waiting[week] = amount
    return np.maximum(capacity - demand - waiting, 0.0)


def slip_of(work: Work, finish: Finish, axis: Axis) -> int:
    """Weeks from due to done, none when in time; not done within the axis: the least it can be."""
    done = finish.last if finish.last is not None else axis.count
    return max(done - axis.place(work.due), 0)
