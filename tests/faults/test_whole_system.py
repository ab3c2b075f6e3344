"""The whole system under load and one fault after another: nothing lost, nothing there twice.

``docs/guide/faults.md`` says what is done and what is compared; ``make faults N=200`` runs the long suite.
"""

import os

import pytest
from rich.console import Console

from tests.faults.harness.run import show, suite

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1500)]

FAULTS = 20
SEED = int(os.environ.get("HEADROOM_FAULT_SEED", "20"))


async def test_nothing_is_lost_and_nothing_there_twice() -> None:
    console = Console(soft_wrap=True)
    outcomes = await suite(FAULTS, SEED, (), lambda line: console.print(line, highlight=False, markup=False))
    show(outcomes, SEED, console)
    differences = [str(difference) for outcome in outcomes for difference in outcome.differences]
    assert not differences, f"seed {SEED}: " + "; ".join(differences[:5])
    assert len(outcomes) == FAULTS
