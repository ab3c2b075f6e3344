"""How often a shard flushes: as often as its role says, less where that would take the machine from everybody else."""

import pytest

from shared.streams.shard_runtime import least_between

EVERY = 0.03


@pytest.mark.parametrize(
    ("share", "spent", "wrote", "seconds"),
    [
        (0.1, 0.0, 0.0, EVERY),
        (0.1, 0.001, 0.008, EVERY),  # a quick machine: a third of the time is not reached
        (0.1, 0.02, 0.0, 0.06),  # flushes cost too much
        (0.1, 0.001, 0.05, 0.15),  # transactions wait for each other
        (0.1, 0.001, 60.0, 0.3),  # the broker was away: it is no matter of processors
        (0.8, 0.04, 0.01, 0.05),  # a role that may take more
        (0.8, 0.0, 0.04, 0.05),
    ],
)
def test_flushes_keep_to_their_share_of_time_and_of_the_machine(
    share: float, spent: float, wrote: float, seconds: float
) -> None:
    assert least_between(EVERY, share, spent, wrote) == pytest.approx(seconds)
