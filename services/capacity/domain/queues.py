"""Queues: how much may arrive in a week so that the promised share is answered in time (Erlang C, the M/M/c queue)."""

import math

from shared.schemas.plan_pools import Queue

_DAY_MINUTES = 24 * 60
_STEPS = 60


def weekly_capacity(queue: Queue) -> float:
    """Arrivals a week at which the share answered in time is just the promised one.

    A promise slower than a day is kept by working through a backlog: then everything the agents can handle counts.
    """
    handled = queue.agents * queue.hours * (1 - queue.shrinkage) * 60 / queue.handling_minutes
    if queue.answer_within_minutes >= _DAY_MINUTES or handled == 0:
        return handled
    on_shift = queue.agents * queue.hours * (1 - queue.shrinkage) / queue.open_hours
    per_erlang = queue.open_hours * 60 / queue.handling_minutes
    low, high = 0.0, on_shift
    for _ in range(_STEPS):
        middle = (low + high) / 2
        level = service_level(on_shift, middle, queue.answer_within_minutes / queue.handling_minutes)
        low, high = (middle, high) if level >= queue.share else (low, middle)
    return low * per_erlang


def service_level(agents: float, load: float, patience: float) -> float:
    """The share answered within ``patience`` handling times, ``load`` in Erlang; fractional agents interpolate."""
    whole = math.floor(agents)
    part = agents - whole
    level = _service_level(whole, load, patience)
    return level if part == 0 else (1 - part) * level + part * _service_level(whole + 1, load, patience)


def _service_level(agents: int, load: float, patience: float) -> float:
    if load <= 0:
        return 1.0 if agents > 0 else 0.0
    if load >= agents:
        return 0.0
    return 1 - waits(agents, load) * math.exp(-(agents - load) * patience)


def waits(agents: int, load: float) -> float:
    """Erlang C: the probability that somebody has to wait at all; by the recursion of Erlang B, stable for any size."""
    blocked = 1.0
    for number in range(1, agents + 1):
        blocked = load * blocked / (number + load * blocked)
    return agents * blocked / (agents - load * (1 - blocked))
