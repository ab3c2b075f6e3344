"""Monte Carlo of what deals ask of one pool; shares no code with the model."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np


@dataclass(frozen=True)
class Sold:
    """A deal: units, win probability, close place, effort by week, shares closing k weeks late, cv of its effort."""

    units: float
    p: float
    close: int
    effort: list[float]
    pushes: list[float]
    cv: float = 0.0


def asked(deals: list[Sold], weeks: int, runs: int, rho: float = 0.0, seed: int = 1) -> np.ndarray:
    """What the deals ask in each run and week."""
    rng = np.random.default_rng(seed)
    good = rng.standard_normal(runs)
    found = np.zeros((runs, weeks))
    for deal in deals:
        own = math.sqrt(rho) * good + math.sqrt(1 - rho) * rng.standard_normal(runs)
        won = own > NormalDist().inv_cdf(1 - deal.p) if 0 < deal.p < 1 else np.full(runs, deal.p >= 1)
        late = rng.choice(len(deal.pushes), size=runs, p=deal.pushes)
        factor = rng.gamma(1 / deal.cv**2, deal.cv**2, runs) if deal.cv else np.ones(runs)
        for number, effort in enumerate(deal.effort):
            at = deal.close + late + number
            here = won & (at < weeks)
            found[here, at[here]] += (deal.units * effort * factor)[here]
    return found


def undone(demand: np.ndarray, capacity: np.ndarray) -> np.ndarray:
    """The backlog at the end of each week, run by run."""
    waiting = np.zeros(len(demand))
    found = np.zeros_like(demand)
    for week in range(demand.shape[1]):
        waiting = np.maximum(waiting + demand[:, week] - capacity[week], 0.0)
        found[:, week] = waiting
    return found
