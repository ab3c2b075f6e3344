"""The sums of all cells as rows of numbers, and how single lines add to them.

Contributions are taken out again when a deal changes, so rounding would gather. Each row therefore also counts what has
passed through it: when the rounding of all that could reach the tenth digit of what is left, the row asks to be summed
anew from its lines (``worn``). That bounds the error whatever comes and goes, at a constant cost per change.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.contribution import NO_RATE, OF_STAGE

Floats = npt.NDArray[np.float64]
Slots = npt.NDArray[np.intp]

OWN: Final = slice(0, 14)
STAGE: Final = slice(14, 19)
LISTED: Final = slice(19, 29)
_SUMS: Final = 29
"""Columns in the order of the fields of ``OwnSums``, ``StageSums`` and ``ListSums``; then what has passed."""

_COUNTS: Final = [0, 14, 19, 23]
_BOUND: Final = _SUMS + np.array(
    [0, 0, 0, 0, 1, 2, 3, 2, 3, 3, 1, 4, 4, 4, 0, 1, 2, 3, 4, 0, 4, 4, 4, 0, 4, 4, 4, 4, 4]
)
"""Which of the passed weights bounds a sum: lines, q, q², q³ or money."""
_COLUMNS: Final = _SUMS + 5
_TOLERANCE: Final = 1e-10
_EPSILON: Final = float(np.finfo(np.float64).eps)


def _terms(lines: Floats, signs: Floats) -> Floats:
    """What each line (q, p, net, list, arr) with its sign adds to each column."""
    terms = np.empty((_COLUMNS, len(lines)))
    q, p, net, listed, arr = lines.T
    own = np.where(p != OF_STAGE, signs, 0.0)
    there = np.isfinite(listed)
    has_list = np.where(there, signs, 0.0)
    no_rate = np.where(listed == NO_RATE, signs, 0.0)
    listed = np.where(there, listed, 0.0)
    bare = signs - own
    q2 = q * q
    q3 = q2 * q
    pn = own * p
    p2 = pn * p
    p3 = p2 * p
    size = np.abs(q)
    columns: list[Floats] = [own, pn, p2, p3, pn * q, pn * q2, pn * q3, p2 * q2, p2 * q3, p3 * q3, own * q]
    columns += [pn * net, pn * listed, own * net]
    columns += [bare, bare * q, bare * q2, bare * q3, bare * net]
    columns += [has_list, listed * signs, has_list * net, arr * signs, no_rate]
    own_net = np.where(there, own * net, 0.0)
    columns += [own * listed, own_net, own * arr, own_net * p, pn * arr]
    columns += [np.ones_like(q), size, q2, size * q2, np.abs(net) + np.abs(listed) + np.abs(arr)]
    for number, column in enumerate(columns):
        terms[number] = column
    return terms


class Sums:
    """Sums by slot; a slot is a cell's place, given out by the caller from 0 up."""

    def __init__(self) -> None:
        self._rows = np.zeros((64, _COLUMNS))

    def change(self, slots: Slots, lines: Floats, signs: Floats) -> Slots:
        """Add lines (sign 1) to slots, or take them out again (sign -1); answers the slots touched, each once."""
        order = np.argsort(slots, kind="stable")
        slots = slots[order]
        first = np.flatnonzero(np.diff(slots, prepend=-1))
        touched = slots[first]
        self._reach(int(touched[-1]) + 1)
        self._rows[touched] += np.add.reduceat(_terms(lines[order], signs[order]), first, axis=1).T
        return touched

    def worn(self, slots: Slots) -> Slots:
        """Those of ``slots`` whose sums rounding may have reached."""
        rows = self._rows[slots]
        # n additions are off by at most n · ε · all that passed; the numbers of lines are exact.
        error = _EPSILON * rows[:, [_SUMS]] * rows[:, _BOUND]
        sums = np.abs(rows[:, :_SUMS])
        bad = (error > _TOLERANCE * sums) & (sums > 0)
        bad[:, _COUNTS] = False
        return slots[bad.any(axis=1)]

    def renew(self, slots: Slots, lines: Floats, first: Slots) -> None:
        """Sum ``slots`` anew from all their lines; those of slot i begin at row ``first[i]`` and are at least one."""
        self._rows[slots] = np.add.reduceat(_terms(lines, np.ones(len(lines))), first, axis=1).T

    def clear(self, slots: Slots) -> None:
        """Slots that have no line left sum to exactly nothing."""
        self._rows[slots] = 0.0

    def counts(self, slots: Slots) -> Slots:
        """How many lines each of ``slots`` has."""
        counts: Slots = (self._rows[slots, 0] + self._rows[slots, 14]).astype(np.intp)
        return counts

    def rows(self, slots: Slots) -> list[list[float]]:
        """The sums of each of ``slots``, as plain numbers."""
        rows: list[list[float]] = self._rows[slots, :_SUMS].tolist()
        return rows

    def _reach(self, size: int) -> None:
        have = len(self._rows)
        if size > have:
            self._rows = np.pad(self._rows, ((0, max(size, 2 * have) - have), (0, 0)))
