"""What effort beyond capacity costs: the cheaper of overtime and contractors first, each as far as the plan allows.

Only what a unit costs above the pool's own ``cost_per_unit`` is charged, for that much is in the cost of every deal
already. What neither can do is charged at the dearer rate: it has to be done by somebody.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.capacity.domain.normal import above
from shared.schemas.plan_pools import Pool, StaffedPool

Floats = npt.NDArray[np.float64]

StopLoss = Callable[[Floats], Floats]
"""E[(D - limit)⁺] by week, D being all that a pool is asked, for a limit by week."""


def overload_cost(pool: Pool, capacity: Floats, beyond: StopLoss) -> Floats:
    """By week, in the plan's currency: Σ rate · E[what is done at it]."""
    cost = np.zeros(len(capacity))
    steps = _steps(pool, capacity)
    limit = capacity
    for number, (amount, rate) in enumerate(steps):
        last = number == len(steps) - 1
        cost += rate * (beyond(limit) - (0.0 if last else beyond(limit + amount)))
        limit = limit + amount
    return cost


def _steps(pool: Pool, capacity: Floats) -> list[tuple[Floats, float]]:
    """How much by week at which rate, cheapest first."""
    if not isinstance(pool, StaffedPool):
        return []
    found: list[tuple[Floats, float]] = []
    if pool.overtime is not None:
        found.append((capacity * pool.overtime.max_share, pool.overtime.cost))
    if pool.contractors is not None:
        found.append((np.full(len(capacity), pool.contractors.max), pool.contractors.cost))
    dearer = ((amount, max(rate - pool.cost_per_unit, 0.0)) for amount, rate in found)
    return sorted(dearer, key=lambda step: step[1])


def on_paths(asked: Floats) -> StopLoss:
    """From whole paths: ``asked`` by week and scenario."""
    return lambda limit: np.asarray(np.maximum(asked - limit[:, None], 0.0).mean(axis=1))


def by_moments(mean: Floats, variance: Floats) -> StopLoss:
    """As if demand were normal."""

    def beyond(limit: Floats) -> Floats:
        deviation = np.sqrt(variance)
        safe = np.where(deviation > 0, deviation, 1.0)
        distance = (limit - mean) / safe
        density = np.exp(-(distance**2) / 2) / np.sqrt(2 * np.pi)
        spread = safe * density + (mean - limit) * above(distance)
        return np.asarray(np.where(deviation > 0, np.maximum(spread, 0.0), np.maximum(mean - limit, 0.0)))

    return beyond
