"""Erlang C against published figures and a slow sum."""

import math

import pytest

from services.capacity.domain.queues import service_level, waits, weekly_capacity
from shared.schemas.plan_pools import Queue


@pytest.mark.parametrize(("agents", "level"), [(39, 0.790), (40, 0.847)])
def test_a_hundred_calls_in_half_an_hour(agents, level):
    # 100 calls per 30 min of 600 s: 33.3 Erlang; 80 % within 20 s needs 40 agents.
    assert service_level(agents, 100 * 600 / 1800, 20 / 600) == pytest.approx(level, abs=5e-4)


@pytest.mark.parametrize(("agents", "load"), [(1, 0.5), (5, 4.0), (40, 33.3)])
def test_waiting_is_erlangs_formula(agents, load):
    last = load**agents / math.factorial(agents) * agents / (agents - load)
    assert waits(agents, load) == pytest.approx(last / (sum(load**k / math.factorial(k) for k in range(agents)) + last))


def test_fractional_agents_lie_between_whole_ones():
    low, middle, high = (service_level(agents, 8.0, 0.5) for agents in (10, 10.5, 11))
    assert middle == pytest.approx((low + high) / 2)


def queue(**more: float) -> Queue:
    said = {"handling_minutes": 10.0, "agents": 40.0, "hours": 40.0, "open_hours": 40.0}
    return Queue.model_validate(said | {"answer_within_minutes": 20 / 60, "share": 0.847} | more)


def test_weekly_capacity_is_the_load_at_which_the_share_is_just_met():
    # 40 agents meet 84.7 % at 100 calls per half hour: 80 half hours a week.
    assert weekly_capacity(queue()) == pytest.approx(8000, rel=2e-3)


def test_a_slow_promise_counts_all_that_can_be_handled():
    assert weekly_capacity(queue(answer_within_minutes=2880.0, shrinkage=0.25)) == pytest.approx(40 * 40 * 0.75 * 6)


def test_nobody_answers_nothing():
    assert weekly_capacity(queue(agents=0.0)) == 0.0
