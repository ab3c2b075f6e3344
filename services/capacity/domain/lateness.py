"""What waits, how likely it is late, and how far work items slip: a pool on whole paths.

``demand`` is by week and scenario throughout; capacity is one for all.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.rounding import figure
from shared.schemas.plan import Work

Floats = npt.NDArray[np.float64]

_SAME: Final = 1e-7
"""Relative: undone work of so little is none."""
_ENOUGH: Final = 1 - 1e-7
_HIGH: Final = 0.8


class Waiting(NamedTuple):
    """By week: the mean and the 80 % quantile of the backlog at its end, and P(it takes longer than allowed)."""

    mean: Floats
    p80: Floats
    late: Floats


class Slip(NamedTuple):
    """Of a work item in weeks: mean, 80 % quantile, and the probability of any."""

    mean: float
    p80: float
    late: float


def undone(demand: Floats, capacity: Floats, reported: dict[int, float]) -> Floats:
    """B(w) = max(0, B(w-1) + D(w) - C(w)) on every path (Lindley); what was reported for a week's start stands."""
    found = np.empty_like(demand)
    waiting = np.zeros(demand.shape[1])
    for week, can in enumerate(capacity.tolist()):
        if week in reported:
            waiting = np.full(demand.shape[1], reported[week])
        waiting = np.maximum(waiting + (demand[week] - can), 0.0, out=found[week])
    return found


def waiting_of(backlog: Floats, capacity: Floats, allowed: int) -> Waiting:
    """``allowed``: for so many weeks what is left of a week may wait before it is late."""
    done = np.concatenate(([0.0], np.cumsum(capacity), np.sum(capacity) + capacity[-1] * np.arange(1, allowed + 1)))
    soon = done[1 + allowed : 1 + allowed + len(capacity)] - done[1 : 1 + len(capacity)]
    scale = np.maximum(capacity, 1.0)
    late = backlog > (soon + _SAME * scale)[:, None]
    mean = backlog.mean(axis=1)
    p80 = np.zeros(len(capacity))
    at = int(np.ceil(_HIGH * backlog.shape[1])) - 1
    # Where it is nothing so often, it is nothing.
    some = np.flatnonzero(np.count_nonzero(backlog, axis=1) >= backlog.shape[1] - at)
    p80[some] = np.partition(backlog[some], at, axis=1)[:, at]
    return Waiting(mean, p80, late.mean(axis=1))


def slips_of(
    items: Iterable[tuple[str, Work]], axis: Axis, demand: Floats, backlog: Floats, capacity: Floats,
    reported: dict[int, float],
) -> dict[str, Slip]:  # fmt: skip
    """How late the items after deals are, in their order: they get what demand and what waited of it leave."""
    before = np.concatenate((np.zeros((1, demand.shape[1])), backlog[:-1]))
    for week, amount in reported.items():
        before[week] = amount
    left = np.maximum(capacity[:, None] - demand - before, 0.0)
    found: dict[str, Slip] = {}
    for name, work in items:
        first = min(max(axis.place(work.start), 0), axis.count)
        done = np.cumsum(left[first:], axis=0)
        last = first + (done < work.effort * _ENOUGH).sum(axis=0)
        slip = np.maximum(last - axis.place(work.due), 0)
        left[first:] -= np.diff(np.minimum(done, work.effort), axis=0, prepend=0.0)
        found[name] = slip_of_paths(slip)
    return found


def slip_of_paths(slip: npt.NDArray[np.intp]) -> Slip:
    """The distribution of a slip by scenario."""
    at = int(np.ceil(_HIGH * len(slip))) - 1
    return Slip(figure(float(slip.mean())), float(np.partition(slip, at)[at]), figure(float((slip > 0).mean())))
