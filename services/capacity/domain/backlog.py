"""Work that is not done in its week does not vanish: it waits for the next, on expected demand."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def backlog_of(demand: Floats, capacity: Floats, reported: dict[int, float]) -> Floats:
    """The undone work at the end of each week: B(w) = max(0, B(w-1) + D(w) - C(w)).

    What was ``reported`` for the start of a week stands instead of what was computed up to there.
    """
    waiting = 0.0
    undone = np.zeros(len(demand))
    for week, (asked, can) in enumerate(zip(demand.tolist(), capacity.tolist(), strict=True)):
        undone[week] = waiting = max(0.0, reported.get(week, waiting) + asked - can)
    return undone


def delay_of(backlog: Floats, capacity: Floats) -> Floats:
    """How many of the following weeks' whole capacity the backlog takes: when what comes last in that week is done.

    Beyond the last week its capacity goes on; without any capacity it is the least it can be, the weeks that are left.
    """
    done = np.concatenate(([0.0], np.cumsum(capacity)))
    last = float(capacity[-1])
    count = len(capacity)
    delay = np.zeros(count)
    for week in np.flatnonzero(backlog > 1e-9).tolist():
        target = done[week + 1] + backlog[week]
        place = int(np.searchsorted(done, target - 1e-9))
        if place <= count:
            whole = place - week - 2
            delay[week] = whole + (target - done[place - 1]) / (done[place] - done[place - 1])
        else:
            delay[week] = count - week - 1 + ((target - done[-1]) / last if last > 1e-9 else 0.0)
    return delay
