"""Ready, behind, stalled."""

from dataclasses import dataclass

import pytest

from shared.streams.health import Health


@dataclass
class Hands:
    """A clock whose hands are moved by the test."""

    at: float = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def health(hands: Hands) -> Health:
    return Health(stall_after=60, rejoin_within=120, now=hands)


def test_ready_needs_an_assignment_and_every_shard_restored(health: Health) -> None:
    assert not health.ready
    health.settled()
    assert health.ready, "a standby without partitions is ready"
    health.restore = {0: 1.0, 1: 0.999}
    assert not health.ready
    health.restore[1] = 1.0
    assert health.ready
    health.rebalancing()
    assert not health.ready


def test_lag_without_progress_is_a_problem_after_a_while(health: Health, hands: Hands) -> None:
    health.settled()
    health.lag = {("deals", 3): 7, ("deals", 4): 0}
    hands.at += 60
    assert health.problem() is None
    hands.at += 1
    assert health.problem() == "deals[3] is 7 offsets behind and nothing moved for 61 s"
    health.progressed()
    assert health.problem() is None


def test_no_lag_is_no_problem_however_long_nothing_moves(health: Health, hands: Hands) -> None:
    health.settled()
    health.lag = {("deals", 3): 0}
    hands.at += 10_000
    assert health.problem() is None


def test_joining_must_end(health: Health, hands: Hands) -> None:
    hands.at += 120
    assert health.problem() is None
    hands.at += 1
    assert "joining the group has not finished" in (health.problem() or "")
    health.settled()
    assert health.problem() is None


def test_what_was_waited_for_before_joining_is_no_stall(health: Health, hands: Hands) -> None:
    hands.at += 500
    health.joining()
    assert health.problem() is None
    hands.at += 121
    assert health.problem() is not None


def test_repeated_rebalances_do_not_restart_the_time_for_joining(health: Health, hands: Hands) -> None:
    health.settled()
    health.rebalancing()
    hands.at += 100
    health.rebalancing()
    hands.at += 21
    assert health.problem()


def test_while_joining_lag_is_no_problem(health: Health, hands: Hands) -> None:
    health.settled()
    health.lag = {("deals", 0): 5}
    hands.at += 50
    health.rebalancing()
    hands.at += 100
    assert health.problem() is None
