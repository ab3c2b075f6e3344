"""Revenue at risk from late deliveries and releases, and net revenue retention from signals."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from shared.schemas.forecast import EVERYTHING
from shared.schemas.plan import RevenueAtRisk
from shared.schemas.signal import Signal

Floats = npt.NDArray[np.float64]

STANDING: Final = "arr"
"""Kind of signal: the yearly revenue of all customers (of ``segment``) at a moment."""
CHANGES: Final = {"expansion-arr": 1.0, "contraction-arr": -1.0, "churned-arr": -1.0}
"""Kinds of signals: yearly revenue that was added by customers, given up by some who stay, and lost with others."""

WINDOW: Final = timedelta(weeks=12)
"""How far retention looks back: less than signals are kept, so that a restart gives the same figure."""


def lost_share(delay_weeks: Floats, assumed: RevenueAtRisk) -> Floats:
    """min(1, κ · max(0, delay - grace)) of the yearly revenue."""
    return np.asarray(np.minimum(1.0, assumed.kappa * np.maximum(0.0, delay_weeks - assumed.grace_weeks)))


@dataclass(slots=True)
class _Of:
    standing: dict[date, float] = field(default_factory=dict)
    changes: dict[date, float] = field(default_factory=lambda: defaultdict(float))


class Retention:
    """Net revenue retention = (start + expansion - contraction - churn) / start over the last twelve weeks."""

    def __init__(self) -> None:
        self._of: dict[str, _Of] = defaultdict(_Of)
        self._last = date.min

    def put(self, signal: Signal) -> None:
        """Take in one signal that was not seen before; those of other kinds change nothing."""
        day = signal.time.astimezone(UTC).date()
        of = self._of[signal.segment or ""] if signal.kind == STANDING or signal.kind in CHANGES else None
        if of is None:
            return
        if signal.kind == STANDING:
            of.standing[day] = signal.value
        else:
            of.changes[day] += CHANGES[signal.kind] * signal.value
        if day > self._last:
            self._last = day
            self._forget()

    def on(self, day: date) -> dict[str, float]:
        """By segment, and of everything; left out where no signal says how it stood at the start.

        Everything is what signals without a segment say, or all segments together where there are none such.
        """
        found = {segment: shares for segment, of in self._of.items() if (shares := _shares(of, day)) is not None}
        whole = found.pop("", None)
        rates = {segment: end / start for segment, (start, end) in found.items()}
        together = whole or (sum(start for start, _ in found.values()), sum(end for _, end in found.values()))
        return rates | ({EVERYTHING: together[1] / together[0]} if together[0] > 0 else {})

    def _forget(self) -> None:
        """Let go of what the window does not reach any more."""
        oldest = self._last - WINDOW
        for of in self._of.values():
            for kept in (of.standing, of.changes):
                for day in [day for day in kept if day < oldest]:
                    del kept[day]


def _shares(of: _Of, day: date) -> tuple[float, float] | None:
    """Revenue at the start, and what became of it by ``day``."""
    first = min((known for known in of.standing if day - WINDOW <= known <= day), default=None)
    if first is None or of.standing[first] <= 0:
        return None
    start = of.standing[first]
    return start, start + sum(change for on, change in of.changes.items() if first < on <= day)
