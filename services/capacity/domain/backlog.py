"""Work that is not done in its week does not vanish: it waits for the next, on expected demand."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

_NOTHING = 1e-9


def backlog_of(demand: Floats, capacity: Floats, reported: dict[int, float]) -> Floats:
    """The undone work at the end of each week: B(w) = max(0, B(w-1) + D(w) - C(w)).

    What was ``reported`` for the start of a week stands instead of what was computed up to there.
    """
    if not reported and (demand <= capacity).all():
        return np.zeros(len(demand))
    waiting, undone = 0.0, []
    for week, more in enumerate((demand - capacity).tolist()):
        waiting = reported.get(week, waiting) + more
        if waiting < 0.0:
            waiting = 0.0
        undone.append(waiting)
    return np.array(undone)


def delay_of(backlog: Floats, capacity: Floats) -> Floats:
    """How many of the following weeks' whole capacity the backlog takes: when what comes last in that week is done.

    Beyond the last week its capacity goes on; without any capacity it is the least it can be, the weeks that are left.
    """
    delay = np.zeros(len(capacity))
    weeks = np.flatnonzero(backlog > _NOTHING)
    if not len(weeks):
        return delay
    done = np.concatenate(([0.0], np.cumsum(capacity)))
    last = float(capacity[-1])
    target = done[weeks + 1] + backlog[weeks]
    place = np.searchsorted(done, target - _NOTHING)
    inside = np.minimum(place, len(capacity))
    before = done[inside - 1]
    within = inside - weeks - 2 + (target - before) / np.maximum(done[inside] - before, _NOTHING)
    beyond = len(capacity) - weeks - 1 + ((target - done[-1]) / last if last > _NOTHING else 0.0)
    delay[weeks] = np.where(place <= len(capacity), within, beyond)
    return delay
