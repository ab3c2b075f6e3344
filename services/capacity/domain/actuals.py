"""What was reported of single deals: when their delivery began, and what is left to do. It replaces their curves.

A start moves a line's effort so that the first of it, on whatever pool that is, falls on the week of the start; said of
one pool, only there. What is left on a pool is what the deal asks of it from the report's week on: by what its curve
still has in these weeks, or, when the curve is over, by the curve begun anew. Several lines share it in proportion.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis, local_day
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.tethers import Asking
from shared.schemas.plan import Plan
from shared.schemas.report import Report
from shared.schemas.week import week_of

Floats = npt.NDArray[np.float64]

EVERYWHERE: Final = ""
"""Instead of a pool: the start was said of the deal as a whole."""

_LATEST: Final = 7_258_118_400_000
"""A stamp after the year 2199 (in ms) is taken to be of then."""
_FARTHEST: Final = 1040
"""Weeks from the axis: whatever was said of a time farther away was said of then."""


@dataclass
class Actual:
    """Of one deal: the week in which delivery began by pool, and by pool the effort left from a week on."""

    starts: dict[str, str] = field(default_factory=dict)
    left: dict[str, tuple[str, float]] = field(default_factory=dict)

    def start_on(self, pool: str) -> tuple[str, bool] | None:
        """The week of the start and whether it is of this pool alone; None when nobody said."""
        if pool in self.starts:
            return self.starts[pool], True
        return (self.starts[EVERYWHERE], False) if EVERYWHERE in self.starts else None

    def is_about(self, pool: str) -> bool:
        """Whether it replaces what the deal asks of ``pool``."""
        return pool in self.left or self.start_on(pool) is not None


def actuals_of(reports: Iterable[Report], plan: Plan) -> dict[str, Actual]:
    """By deal, from the ``reports`` that count, oldest first: of what is said twice the last word stays."""
    found: dict[str, Actual] = {}
    for report in reports:
        if report.deal is None:
            continue
        if report.kind == "delivery-start" and report.day is not None:
            found.setdefault(report.deal, Actual()).starts[report.pool or EVERYWHERE] = week_of(report.day)
        elif report.kind == "remaining-effort" and report.pool is not None and report.amount is not None:
            said = datetime.fromtimestamp(min(max(report.stamp.time, 0), _LATEST) / 1000, UTC)
            week = report.week or week_of(local_day(plan, said))
            found.setdefault(report.deal, Actual()).left[report.pool] = (week, max(report.amount, 0.0))
    return found


class Named(NamedTuple):
    """A line known by name as its cell has it: it closes at ``place``, and some pool is first asked ``first`` weeks
    after; ``kernel`` is on the pool in question."""

    deal: str
    asking: Asking
    kernel: Kernel
    won: bool
    units: float
    probability: float
    place: int
    first: int


class Apart(NamedTuple):
    """What such a line asks instead of a pool if it is won, by week of the axis."""

    deal: str
    asking: Asking
    won: bool
    probability: float
    effort_cv: float
    asked: Floats


def apart(pool: str, lines: Sequence[Named], actual: Actual, axis: Axis) -> list[Apart]:
    """What the lines of one deal ask of ``pool`` now that ``actual`` is known."""
    start, left = actual.start_on(pool), actual.left.get(pool)
    begins = [_begin(line, start, axis) for line in lines]
    efforts = [line.units * line.kernel.effort for line in lines]
    if left is None:
        curves = list(zip(begins, efforts, strict=True))
    else:
        curves = _with_left(begins, efforts, _place(left[0], axis), left[1])
    return [
        Apart(line.deal, line.asking, line.won, line.probability, line.kernel.effort_cv, _on_axis(*curve, axis.count))
        for line, curve in zip(lines, curves, strict=True)
    ]


def efforts(pool: str, lines: Sequence[Named], actual: Actual, axis: Axis) -> tuple[float, float] | None:
    """The effort of one deal on ``pool``: by its curves, and as reported.

    Reported is what the curves had done before, and what was said to be left; None when nothing was said of that.
    """
    if pool not in actual.left:
        return None
    week, amount = actual.left[pool]
    start = actual.start_on(pool)
    curves = [line.units * line.kernel.effort for line in lines]
    reported = _with_left([_begin(line, start, axis) for line in lines], curves, _place(week, axis), amount)
    return sum(float(curve.sum()) for curve in curves), sum(float(curve.sum()) for _, curve in reported)


def _place(week: str, axis: Axis) -> int:
    return min(max(axis.place(week), -_FARTHEST), _FARTHEST)


def _begin(line: Named, start: tuple[str, bool] | None, axis: Axis) -> int:
    """Where the line's effort, including weeks of none before it, begins."""
    if start is None:
        return line.place
    week, of_pool = start
    own = int(np.flatnonzero(line.kernel.effort)[0])
    return _place(week, axis) - (own if of_pool else line.first)


def _with_left(begins: list[int], efforts: list[Floats], since: int, amount: float) -> list[tuple[int, Floats]]:
    """Curves, each by its first place and what it asks from there on: from ``since`` on ``amount`` together."""
    cut = [min(max(since - begin, 0), len(effort)) for begin, effort in zip(begins, efforts, strict=True)]
    then = [effort[done:] for effort, done in zip(efforts, cut, strict=True)]
    total = sum(float(rest.sum()) for rest in then)
    over = total <= 0
    if over:
        then = [np.trim_zeros(effort, "f") for effort in efforts]
        total = sum(float(rest.sum()) for rest in then)
    if total <= 0:
        then, total = [np.ones(1) for _ in efforts], float(len(efforts))
    curves = []
    for begin, effort, done, rest in zip(begins, efforts, cut, then, strict=True):
        at = since if over else max(since, begin)
        gap = np.zeros(max(at - begin - done, 0))
        curves.append((begin, np.concatenate((effort[:done], gap, rest * (amount / total)))))
    return curves


def _on_axis(begin: int, effort: Floats, count: int) -> Floats:
    asked = np.zeros(count)
    first, last = max(begin, 0), min(begin + len(effort), count)
    if last > first:
        asked[first:last] = effort[first - begin : last - begin]
    return asked
