"""``python -m tests.faults.harness N``: N faults on one running system under load, and a table of what they did."""

import argparse
import asyncio
import random
import sys

from rich.console import Console

from tests.faults.harness.faults import FAULTS
from tests.faults.harness.run import show, suite


def main() -> int:
    """The exit code: 0 when nothing was lost and nothing doubled."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("number", type=int, nargs="?", default=20, help="how many faults")
    parser.add_argument("--seed", type=int, default=None, help="of a run to be repeated; else any")
    parser.add_argument("--only", action="append", default=[], choices=sorted(FAULTS), help="a kind; may be repeated")
    parser.add_argument("--minutes", type=float, default=None, help="begin no fault later than this; else do all")
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    console = Console(soft_wrap=not sys.stdout.isatty())

    def say(line: str) -> None:
        console.print(line, highlight=False)

    outcomes = asyncio.run(suite(given.number, seed, given.only, say, given.minutes))
    show(outcomes, seed, console)
    differences = [difference for outcome in outcomes for difference in outcome.differences]
    for difference in differences[:20]:
        console.print(str(difference), markup=False)
    if differences:
        console.print(f'Repeat it with: make faults N={given.number} ARGS="--seed {seed}"', markup=False)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
