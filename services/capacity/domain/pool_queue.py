"""Which pools come first when more have changed than one frame is to bear.

On a busy system every frame would otherwise wait for all of the pools that changed meanwhile, and the one that was
tipped with them. What moved most goes first; what waits gains with every frame, so that nothing waits for ever.
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from services.capacity.domain.capacity import PoolCapacity
from services.capacity.domain.demand import Demand

Floats = npt.NDArray[np.float64]

_PATIENCE = 0.05
"""Share of a week's capacity: waiting for one frame counts as much as having moved by so much."""


class PoolQueue:
    """The pools that wait to be projected."""

    def __init__(self, at_once: int | None) -> None:
        self._at_once = at_once
        self._moved: dict[str, float] = {}
        self._told: dict[str, Floats] = {}

    def __bool__(self) -> bool:
        return bool(self._moved)

    def clear(self) -> None:
        """Nothing waits any more."""
        self._moved.clear()

    def told(self, name: str, demand: Demand, capacity: PoolCapacity) -> None:
        """The pool was projected as it stands now."""
        self._moved.pop(name, None)
        if self._at_once is not None:
            self._told[name] = _headroom(name, demand, capacity)

    def take(self, changed: Iterable[str], demand: Demand, capacities: Mapping[str, PoolCapacity]) -> set[str]:
        """The pools to be projected now; the others wait for the next frame. All were told under this plan and day."""
        changed = set(changed)
        if self._at_once is None or len(changed | self._moved.keys()) <= self._at_once:
            taken = changed | self._moved.keys()
            self._moved.clear()
            return taken
        for name in changed:
            self._moved[name] = max(self._moved.get(name, 0.0), self._since(name, demand, capacities[name]))
        first = sorted(self._moved, key=lambda name: (-self._moved[name], name))[: self._at_once]
        for name in first:
            del self._moved[name]
        for name in self._moved:
            self._moved[name] += _PATIENCE
        return set(first)

    def _since(self, name: str, demand: Demand, capacity: PoolCapacity) -> float:
        """How far the pool's headroom moved since it was projected, as a share of a week's capacity."""
        moved = np.abs(_headroom(name, demand, capacity) - self._told[name])
        return float((moved / np.maximum(capacity.counts, 1.0)).max(initial=0.0))


def _headroom(name: str, demand: Demand, capacity: PoolCapacity) -> Floats:
    asked = demand.on(name)
    return capacity.counts - asked.booked - asked.expected
