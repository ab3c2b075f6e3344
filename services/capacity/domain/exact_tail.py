"""P(demand > capacity) and the bands of demand, exact for the largest deals of each week.

Up to ``LARGEST`` deals of a week are what they are: not won, or won and closing 0, 1, 2 … weeks late, with their
uncertain effort. Everything else is a crowd known by three moments. Deals rise and fall together by the copula. Weeks
in which the deals are too small, or the capacity too far away for it to make a difference of a thousandth, are left to
the moments of all.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.bands import SHARES
from services.capacity.domain.copula import all_of, few, given
from services.capacity.domain.crowd import unnamed_of, with_deals
from services.capacity.domain.exact_weeks import POINTS, Weeks, unlikely
from services.capacity.domain.groups import PoolDemand, PoolGroup
from services.capacity.domain.members import Members
from services.capacity.domain.overload import exceeds, quantiles
from services.capacity.domain.planned import PlannedDemand
from services.capacity.domain.remembered import Remembered

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

LARGEST: Final = 64
"""Deals of a week taken as they are; the others go into the crowd."""

_NEGLIGIBLE: Final = 2e-4
"""Of a week's variance: a deal with less is one of the crowd."""
_MANY: Final = 12
_BLURRED: Final = 0.2
_SMALL: Final = 0.05
"""Where there are many deals and effort is so uncertain (its cv), those below this share of a week's variance sum to
something as smooth as a gamma."""
_NEVER: Final = 1e-6
"""Where too much is less likely, no path has a backlog."""
_SEVERAL: Final = 8
_MOST_SUMS: Final = 20


class Tail(NamedTuple):
    """P(demand of deals > limit), its quantiles at ``SHARES``, and the first with what is planned; by week.

    ``never``: in no week, and in none of the situations in which deals rise and fall together, is there too much.
    """

    overload: Floats
    bands: Sequence[Floats]
    overload_planned: Floats
    never: bool = False


def from_moments(limit: Floats, demand: PoolDemand, planned: PlannedDemand | None = None) -> Tail:
    """The answer by moments alone, as if no deal were large and all independent."""
    mean = demand.booked + demand.expected
    overload = exceeds(limit, mean, demand.variance, demand.third)
    bands = quantiles(SHARES, mean, demand.variance, demand.third)
    if planned is None:
        return Tail(overload, bands, overload)
    more = exceeds(limit, mean + planned.mean, demand.variance + planned.variance, demand.third + planned.third)
    return Tail(overload, bands, np.maximum(overload, more))


def tail_of(
    limit: Floats, demand: PoolDemand, groups: Sequence[PoolGroup], members: Members, rho: float,
    planned: PlannedDemand | None = None, since: int = 0, remembered: Remembered | None = None,
) -> Tail:  # fmt: skip
    """The answer for every week of ``limit``, the amount by week above which there is too much.

    Weeks before ``since`` are looked at for ``never`` only; their answers are nothing. What is ``remembered`` is not
    computed again.
    """
    chosen, points = _largest(members, demand.variance)
    situations = few(rho)
    z = np.concatenate((situations, all_of(rho)))
    chances = given(members.probability, rho, z)
    crowd = with_deals(unnamed_of(groups, members, z, rho), members, ~chosen, chances)
    crowd, total = crowd.rounded(), with_deals(crowd, members, chosen, chances).rounded()
    planned = planned or PlannedDemand(*np.zeros((3, len(limit))))
    pool = Weeks(members, chosen, points, chances[: len(situations)], limit, demand.variance, planned, crowd, total)
    never = unlikely(limit - total.mean[-1], total.variance[-1], pool.size, _NEVER)
    weeks = np.arange(since, len(limit))
    found = np.zeros((2 + len(SHARES), len(limit)))
    answers = (remembered or Remembered()).answers(pool.keys(weeks), lambda new: pool.answers(weeks[new]))
    found[:, weeks] = answers.T
    return Tail(found[0], list(found[2:]), found[1], bool(never.all()))


def _largest(members: Members, variance: Floats) -> tuple[Flags, Places]:
    """Which deals are taken as they are, by deal and week; and the points that the grid of each week has."""
    own = members.variance
    chosen = own > _NEGLIGIBLE * variance
    count = chosen.sum(axis=0)
    uncertain = (np.array(members.cvs) >= _BLURRED)[members.effort][:, None]
    spread = (chosen <= uncertain).all(axis=0)
    chosen &= ~(uncertain & (own < _SMALL * variance) & (count > _MANY))
    crowded = np.flatnonzero(chosen.sum(axis=0) > LARGEST)
    if len(crowded):
        order = np.argpartition(-own[:, crowded] * chosen[:, crowded], LARGEST, axis=0)[:LARGEST]
        among = np.zeros((len(own), len(crowded)), bool)
        np.put_along_axis(among, order, True, axis=0)
        chosen[:, crowded] &= among
    points = np.where(count <= _MOST_SUMS, POINTS * 4, POINTS * 2)
    return chosen, np.where(spread, np.where(count <= _SEVERAL, POINTS * 2, POINTS), points)
