"""The largest uncertain deals of a pool, each as one: its lines are won together, and close together."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.lines import Lines

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

_LOOKED_AT: Final = 2048
"""Uncertain lines of a pool that are looked at, those that ask most; the others are of the crowd."""


@dataclass(frozen=True)
class Members:
    """Deals by name, with what they ask: ``asked`` by deal, lateness and week, won with ``probability``.

    ``pushes`` are the chances of each lateness; ``effort`` numbers the deal's coefficient of variation in ``cvs``. A
    deal whose lines have chances of their own is several. ``lines`` are those that were looked at, ``of`` says whose.
    """

    deals: list[str]
    asked: Floats
    pushes: Floats
    probability: Floats
    effort: Places
    cvs: tuple[float, ...]
    lines: Lines
    line: Places
    of: Places

    @property
    def count(self) -> int:
        """Weeks."""
        return int(self.asked.shape[2])

    @cached_property
    def first(self) -> Floats:
        """E[asked | won] by deal and week."""
        return np.asarray(np.einsum("mk,mkw->mw", self.pushes, self.asked))

    @cached_property
    def second(self) -> Floats:
        """E[asked² | won] by deal and week, uncertain effort included."""
        return np.asarray(np.einsum("mk,mkw->mw", self.pushes, self._squares) * (1 + self._cv**2))

    @cached_property
    def third(self) -> Floats:
        """E[asked³ | won] by deal and week, uncertain effort included."""
        return np.asarray(np.einsum("mk,mkw->mw", self.pushes, self._squares * self.asked) * (1 + self._cv**2) ** 3)

    @cached_property
    def _squares(self) -> Floats:
        return self.asked * self.asked

    @cached_property
    def alike(self) -> tuple[Places, Floats]:
        """A member of each win probability there is, and for each of these which members have it (1, else 0)."""
        p, first, of = np.unique(self.probability, return_index=True, return_inverse=True)
        return first, (of == np.arange(len(p))[:, None]).astype(np.float64)

    @cached_property
    def variance(self) -> Floats:
        """Of what a deal asks, by deal and week."""
        p = self.probability[:, None]
        return np.asarray(np.maximum(p * self.second - (p * self.first) ** 2, 0.0))

    @cached_property
    def most(self) -> Floats:
        """About the most that a deal asks, by deal and week."""
        return np.asarray(self.asked.max(axis=1, initial=0.0) * (1 + 3 * self._cv))

    def take_out(self, moments: Floats) -> None:
        """Take all lines of these deals out of mean, variance and third moment by group and week.

        Groups hold each line as one by itself, and so it is taken out.
        """
        lines, line, groups, shapes = self.lines, self.line, len(moments), len(self.lines.shapes.asked)
        u, p, spread = lines.units[line], lines.probability[line], 1 + lines.cv[line] ** 2
        mean, second, third = p * u, p * u**2 * spread, p * u**3 * spread**3
        at = lines.group[line] * shapes + lines.shape[line]

        def asks(weight: Floats, effort: Floats) -> Floats:
            """Over all lines, by group and week; ``effort`` is by shape and week."""
            by_shape = np.asarray(np.bincount(at, weight, groups * shapes), np.float64)
            return np.asarray(by_shape.reshape(groups, shapes) @ effort)

        g, g2, g3 = (lines.shapes.power(n) for n in (1, 2, 3))
        moments[:, 0] -= asks(mean, g)
        moments[:, 1] -= asks(second, g2) - asks(mean**2, g**2)
        moments[:, 2] -= asks(third, g3) - 3 * asks(mean * second, g * g2) + 2 * asks(mean**3, g**3)

    @property
    def _cv(self) -> Floats:
        return np.array(self.cvs)[self.effort][:, None]


def members_of(lines: Lines, certain: bool = False) -> Members:
    """The uncertain deals among ``lines``; with ``certain`` the others as well."""
    line = np.flatnonzero((lines.units * lines.probability > 0) | lines.uncertain if certain else lines.uncertain)
    if len(line) > _LOOKED_AT:
        line = np.sort(line[np.argsort(-lines.effort[line], kind="stable")[:_LOOKED_AT]])
    deal, place, p = lines.deal[line], lines.place[line], lines.probability[line]
    order = np.lexsort((p, place, deal))
    line, deal, place, p = line[order], deal[order], place[order], p[order]
    new = (np.diff(deal, prepend=-1) != 0) | (np.diff(place, prepend=-1) != 0) | (np.diff(p, prepend=-1.0) != 0)
    first = np.flatnonzero(new)
    asked = lines.units[line, None, None] * lines.shapes.asked[lines.shape[line]]
    if len(first) < len(line):
        asked = np.add.reduceat(asked, first, axis=0)
    cv = lines.cv[line[first]]
    cvs = np.unique(cv) if len(cv) else np.zeros(1)
    return Members(
        deals=[lines.deals[number] for number in deal[first].tolist()],
        asked=asked,
        pushes=lines.shapes.pushes[lines.shape[line[first]]],
        probability=p[first],
        effort=np.searchsorted(cvs, cv),
        cvs=tuple(cvs.tolist()),
        lines=lines,
        line=line,
        of=np.cumsum(new) - 1,
    )
