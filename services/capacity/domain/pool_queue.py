"""Which pools come first when more have changed than one frame is to bear.

On a busy system every frame would otherwise wait for all of the pools that changed meanwhile, and the one that was
tipped with them. What moved most goes first, and while something moved far, little else goes with it, so that the next
frame is soon there. What waits gains with every turn, so that nothing waits for ever.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.capacity import PoolCapacity
from services.capacity.domain.demand import Demand

Floats = npt.NDArray[np.float64]

_FAR: Final = 0.05
"""Share of a week's capacity: who moved by so much is not to be kept waiting by those who moved less."""
_PATIENCE: Final = 0.05
"""Share of a week's capacity: waiting for one turn counts as much as having moved by so much."""
_BESIDE: Final = 6
"""One in so many of a frame's pools may have moved little, while others move far."""
_LONG: Final = 40
"""Turns: when a pool has waited for so many, half of a frame's places are open to those that moved little."""


class PoolQueue:
    """The pools that wait to be projected."""

    def __init__(self, at_once: int | None) -> None:
        self._at_once = at_once
        self._moved: dict[str, float] = {}
        self._waited: dict[str, int] = {}
        self._told: dict[str, tuple[PoolCapacity, Floats]] = {}
        self._far_since = False
        """Whether something moved far since those that moved little had a turn."""

    def __bool__(self) -> bool:
        return bool(self._moved)

    def clear(self) -> None:
        """Nothing waits any more."""
        self._moved.clear()
        self._waited.clear()
        self._far_since = False

    def told(self, name: str, demand: Demand, capacity: PoolCapacity) -> None:
        """The pool was projected as it stands now."""
        self._leave(name)
        if self._at_once is not None:
            self._told[name] = capacity, _headroom(name, demand, capacity)
            demand.settled(name)

    def see(self, changed: Iterable[str], demand: Demand, capacities: Mapping[str, PoolCapacity]) -> None:
        """These pools changed. All were told under this plan and day."""
        for name in changed:
            moved = self._since(name, demand, capacities[name]) if self._at_once is not None else 0.0
            self._moved[name] = max(self._moved.get(name, 0.0), moved)

    @property
    def urgent(self) -> bool:
        """Whether a pool that waits moved far."""
        return any(moved >= _FAR for moved in self._moved.values())

    def take(self, *, others: bool = True) -> set[str]:
        """The pools to be projected now; what is left waits for the next frame.

        ``others``: whether it is the turn of those that moved little, too.
        """
        far = {name for name, moved in self._moved.items() if moved >= _FAR}
        self._far_since |= bool(far)
        taken = self._first(far, self._at_once, others) if self._at_once is not None else set(self._moved)
        for name in taken:
            self._leave(name)
        for name in self._moved if others else self._moved.keys() & far:
            self._waited[name] = self._waited.get(name, 0) + 1
        self._far_since &= not others
        return taken

    def _first(self, far: set[str], most: int, turn: bool) -> set[str]:
        beside = 2 if max(self._waited.values(), default=0) >= _LONG else _BESIDE
        others = (max(most // beside, 1) if self._far_since else most) if turn else 0
        taken: set[str] = set()
        for name in sorted(self._moved, key=lambda name: (-self._claim(name), name)):
            if len(taken) == most:
                break
            if name in far or others:
                taken.add(name)
                others -= name not in far
        return taken

    def _claim(self, name: str) -> float:
        return self._moved[name] + _PATIENCE * self._waited.get(name, 0)

    def _leave(self, name: str) -> None:
        self._moved.pop(name, None)
        self._waited.pop(name, None)

    def _since(self, name: str, demand: Demand, capacity: PoolCapacity) -> float:
        """How far the pool's headroom moved since it was projected, as a share of a week's capacity.

        Where that is little in any case, no more than how little.
        """
        before, headroom = self._told[name]
        can = np.maximum(capacity.counts, 1.0)
        if before is capacity and (at_most := demand.moved(name) / float(can.min(initial=np.inf))) < _FAR:
            return at_most
        return float((np.abs(_headroom(name, demand, capacity) - headroom) / can).max(initial=0.0))


def _headroom(name: str, demand: Demand, capacity: PoolCapacity) -> Floats:
    asked = demand.on(name)
    return capacity.counts - asked.booked - asked.expected
