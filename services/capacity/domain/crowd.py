"""Mean, variance and third moment of what deals ask of a pool, in situations in which they rise and fall together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.capacity.domain.copula import given
from services.capacity.domain.groups import PoolGroup
from services.capacity.domain.members import Members
from services.capacity.domain.moments import MEAN, THIRD, VARIANCE
from services.capacity.domain.overload import fitted
from services.capacity.domain.planned import PlannedDemand

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Moments:
    """Mean, variance and third moment by situation and week."""

    mean: Floats
    variance: Floats
    third: Floats

    def at(self, weeks: Places) -> "Moments":
        return Moments(self.mean[:, weeks], self.variance[:, weeks], self.third[:, weeks])

    def plus(self, planned: PlannedDemand, weeks: Places | slice = slice(None)) -> "Moments":
        more = planned.mean[weeks], planned.variance[weeks], planned.third[weeks]
        return Moments(self.mean + more[0], self.variance + more[1], self.third + more[2])

    def first(self, count: int) -> "Moments":
        return Moments(self.mean[:count], self.variance[:count], self.third[:count])

    def exceeds(self, limit: Floats, more: Floats | float = 0.0) -> Floats:
        """P(more than each limit of a week), ``more`` variance being added: shape (situations, weeks, limits)."""
        by_limit = self.mean[..., None], self.variance[..., None] + more, self.third[..., None]
        return fitted(*np.broadcast_arrays(*by_limit)).exceeds(limit)

    def rounded(self) -> "Moments":
        """To eleven digits: sums that differ by the order in which they were taken are the same."""
        return Moments(*(rounded(each) for each in (self.mean, self.variance, self.third)))


def unnamed_of(groups: Sequence[PoolGroup], members: Members, z: Floats, rho: float) -> Moments:
    """What is won, and the open lines that no member stands for, in each situation."""
    left = np.array([group.moments[[MEAN, VARIANCE, THIRD]] for group in groups]).reshape(len(groups), 3, members.count)
    whole = np.maximum(left[:, 1], 0.0)
    members.take_out(left)
    # All of the variance may be the members'; what differences leave of it is rounding.
    nothing = left[:, 1] <= 1e-9 * whole
    left[:, 1:][np.broadcast_to(nothing[:, None], (len(groups), 2, members.count))] = 0.0
    left[:, 0] = np.where(np.abs(left[:, 0]) < 1e-9, 0.0, left[:, 0])
    if rho <= 0:
        mean, variance, third = left.sum(axis=0)[:, None]
        return Moments(mean, variance, third)
    p = np.array([group.probability for group in groups])
    spread = np.array([1 + group.kernel.effort_cv**2 for group in groups])
    then = given(p, rho, z)
    more = np.where(p > 0, then / np.where(p > 0, p, 1.0), 1.0)
    was = p * (spread - p)
    wider = np.where(was > 0, then * (spread - then) / np.where(was > 0, was, 1.0), 1.0)
    return Moments(more @ left[:, 0], wider @ left[:, 1], wider @ left[:, 2])


def with_deals(others: Moments, members: Members, chosen: Flags, chances: Floats) -> Moments:
    """Of the chosen deals and the others together."""
    if not chosen.any():
        return others
    first, second, third = (each * chosen for each in (members.first, members.second, members.third))
    squared = first * first
    one_of, alike = members.alike
    few_kinds = len(one_of) < len(chances)
    if few_kinds:
        chances = chances[:, one_of]

    def over_all(weight: Floats, by_deal: Floats) -> Floats:
        """Deals that are won with one probability are summed before anything else."""
        found: Floats = weight @ (alike @ by_deal if few_kinds else by_deal)
        return found

    square = chances**2
    variance = np.maximum(over_all(chances, second) - over_all(square, squared), 0.0)
    skewed = over_all(chances, third) - 3 * over_all(square, first * second)
    skewed += 2 * over_all(square * chances, squared * first)
    return Moments(over_all(chances, first) + others.mean, variance + others.variance, skewed + others.third)


def rounded(values: Floats) -> Floats:
    """To eleven digits."""
    bits = np.ascontiguousarray(values).view(np.int64)
    found: Floats = ((bits + (1 << 15)) & -(1 << 16)).view(np.float64)
    return found
