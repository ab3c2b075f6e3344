"""Discount drift: how far open quotes have moved from what was quoted in the same week of earlier periods.

Quotes are taken in the order of their close, the later the newer, so the answer hangs on the book alone and a restart
changes nothing. Each is held against the mean discount of the quotes that closed (won or lost) in that week of earlier
periods or the weeks beside it. An EWMA follows the difference; a CUSUM, max(0, S + (x - μ)/σ - k), tells a real move
from noise: above ``ALARM`` it is one. A move from 8 % to 22 % is told within five quotes.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

WEEKS: Final = 14
"""Weeks of a period, a begun one at either end counted."""
EWMA: Final = 0.3
"""Weight of the newest quote."""
SLACK: Final = 0.75
"""k of the CUSUM, in standard deviations: half of the shift that is to be found soonest."""
ALARM: Final = 5.0
"""The CUSUM from which on a drift is no noise."""

_ENOUGH: Final = 5
"""Quotes that a mean must rest on."""
_LEAST_DEVIATION: Final = 0.02
"""Two points of discount: quotes that were all the same would make every other one an alarm."""


class Quotes(NamedTuple):
    """Quotes that close in one week each, in any order: ``week`` of their period from 0, how many, their discount."""

    week: Floats
    number: Floats
    discount: Floats

    def among(self, chosen: npt.NDArray[np.bool_]) -> "Quotes":
        """Some of them."""
        return Quotes(self.week[chosen], self.number[chosen], self.discount[chosen])


class Usual(NamedTuple):
    """What is usual by week of a period: the mean discount, and the standard deviation of one quote."""

    mean: Floats
    deviation: float


class Against(NamedTuple):
    """Quotes in the order of their close, with what was usual for each."""

    order: Floats
    number: Floats
    discount: Floats
    usual: Floats
    deviation: Floats


class Drift(NamedTuple):
    """``before``: what was usual for these quotes; ``drift`` in shares; ``cusum`` in standard deviations of a quote."""

    before: float
    drift: float
    cusum: float


def usual_of(own: Quotes, everybodys: Quotes) -> Usual | None:
    """From a segment's own closed quotes, else from all; None when there are too few even of those."""
    rest = next((each for each in (own, everybodys) if each.number.sum() >= _ENOUGH), None)
    if rest is None:
        return None
    whole = float((rest.number * rest.discount).sum() / rest.number.sum())
    at = np.clip(rest.week, 0, WEEKS - 1).astype(np.intp)
    count = _around(np.bincount(at, rest.number, WEEKS).astype(np.float64))
    total = _around(np.bincount(at, rest.number * rest.discount, WEEKS).astype(np.float64))
    mean = np.where(count >= _ENOUGH, total / np.maximum(count, 1.0), whole)
    deviation = 0.0
    if len(rest.number) > 1:
        # The mean of n quotes varies by σ²/n.
        deviation = float(np.sqrt((rest.number * (rest.discount - mean[at]) ** 2).sum() / (len(rest.number) - 1)))
    return Usual(mean, max(deviation, _LEAST_DEVIATION))


def _around(by_week: Floats) -> Floats:
    """Each week with the one before and the one after."""
    padded = np.pad(by_week, 1)
    found: Floats = padded[:-2] + padded[1:-1] + padded[2:]
    return found


def against(quotes: Quotes, order: Floats, usual: Usual) -> Against:
    """Open ``quotes`` with what is usual; ``order`` says when they close."""
    at = np.clip(quotes.week, 0, WEEKS - 1).astype(np.intp)
    deviation = np.full(len(order), usual.deviation)
    return Against(order, quotes.number, quotes.discount, usual.mean[at], deviation)


def drift_of(parts: Sequence[Against]) -> Drift | None:
    """The drift of all ``parts`` together; None without quotes. ``drift`` is that where the CUSUM is highest."""
    if not sum(len(part.order) for part in parts):
        return None
    order, count, discount, usual, deviation = (np.concatenate(column) for column in zip(*parts, strict=True))
    in_order = np.argsort(order, kind="stable")
    away, n = (discount - usual)[in_order], count[in_order]
    # A cell's n quotes of one discount are n steps of the same size.
    walk = np.cumsum(n * (away / deviation[in_order] - SLACK))
    cusum = walk - np.minimum(np.minimum.accumulate(walk), 0.0)
    highest = float(cusum.max())
    at = len(cusum) - 1 - int(np.argmax(cusum[::-1]))
    before = float((count * usual).sum() / count.sum())
    return Drift(before, _ewma(away[: at + 1], n[: at + 1]), highest)


def _ewma(values: Floats, count: Floats) -> float:
    """Where an EWMA that began at nothing ends, each value coming ``count`` times."""
    keeps = (1 - EWMA) ** count
    later = np.append(np.cumprod(keeps[::-1])[::-1][1:], 1.0)
    return float((values * (1 - keeps) * later).sum())


def break_even(drift: float, before: float, cost_share: float) -> float | None:
    """How much more volume makes up for a drift: d/(m - d), of what is sold; None when none does, or nothing drifted.

    ``cost_share`` is cost / list value; d is the drift and m the contribution, both as shares of the former price.
    """
    if drift <= 0:
        return None
    left = 1 - before - cost_share - drift
    return drift / left if left > 1e-9 else None
