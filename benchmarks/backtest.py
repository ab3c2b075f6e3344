"""The back-test: recorded events on the example's plan, one projection and one look of the triggers a simulated day.

20,000 deals that are opened and then change their stage, again and again. The bar is for 40,000 events a day; the curve
takes a quarter and four times of it. What a day costs besides its events is its projection, of a book in which by then
every cell has changed. ``events_cpu_s`` is by the processor time of the process that takes in and projects: what a
machine that is busy with other things would reach if it were not; most of the reading is others' work.
"""

import os

# As the command does.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import perf_counter, process_time

from rich.console import Console
from rich.progress import Progress

from benchmarks._report import Bar, Report, arguments, present
from headroom.replay import Replay, replay
from headroom.replay_read import Ahead
from shared import memory
from shared.schemas.plan_file import parse_plan

PLAN = Path(__file__).parents[1] / "examples" / "margin-volume-trap" / "plan.yaml"
START = datetime(2026, 4, 1, tzinfo=UTC)
DAYS, DEALS = 3, 20_000
PER_DAY = (10_000, 40_000, 160_000)
MEASURED = 40_000
BAR = 50_000.0
STAGES = ("qualified", "proposal", "commit", "won", "lost")


def events(per_day: int, days: int = DAYS, deals: int = DEALS) -> Iterator[bytes]:
    """CloudEvents, one JSON each: every deal is opened once, then any of them moves to another stage."""
    dice = random.Random(1)
    for number in range(per_day * days):
        known = number >= deals
        which = dice.randrange(deals) if known else number
        at = START + timedelta(seconds=86_400 * number / per_day)
        said = {"stage": dice.choice(STAGES)}
        yield json.dumps({
            "specversion": "1.0",
            "id": f"event-{number}",
            "source": "crm",
            "type": "com.headroom.deal.changed",
            "subject": f"D-{which:06}",
            "time": at.isoformat(),
            "data": said if known else said | _opened(which, dice),
        }).encode()  # fmt: skip


def _opened(which: int, dice: random.Random) -> dict[str, object]:
    line = {
        "product": dice.choice(("business", "enterprise")),
        "quantity": 0.01,
        "amount": 20_000.0,
        "list_amount": 24_000.0,
    }
    return {
        "name": f"Deal number {which}",
        "close": (START + timedelta(days=dice.randrange(90))).date().isoformat(),
        "amount": 20_000.0,
        "currency": "EUR",
        "segment": "mid-market",
        "type": "new",
        "custom": dice.random() < 0.2,
        "lines": [line],
    }


def measure(console: Console) -> Report:
    """The rate for each number of events a day, reading included."""
    memory.suit_books()
    plan = parse_plan(PLAN.read_text(), str(PLAN))
    report = Report()
    ahead = Ahead(max(1, min((os.cpu_count() or 2) - 1, 3)))
    try:
        list(ahead.read(events(100)))
        with Progress(console=console, transient=True) as bar:
            task = bar.add_task("Replaying", total=len(PER_DAY))
            for per_day in PER_DAY:
                recorded = list(events(per_day))
                started, worked = perf_counter(), process_time()
                found = replay(plan, recorded, ahead=ahead)
                spent, worked = perf_counter() - started, process_time() - worked
                _check(found, len(recorded))
                rate = len(recorded) / spent
                report.figure(
                    "growth",
                    events_a_day=per_day,
                    events=len(recorded),
                    events_s=rate,
                    events_cpu_s=len(recorded) / worked,
                    day_s=spent / DAYS,
                )
                if per_day == MEASURED:
                    report.bars.append(Bar("events_s", rate, BAR))
                bar.advance(task)
    finally:
        ahead.close()
    return report


def _check(found: Replay, count: int) -> None:
    assert (found.events, found.unusable) == (count, 0)
    assert len(found.days) == DAYS + 1, "one at each day's start, and one at the end"
    assert found.hindsight.episodes


def main() -> int:
    """Run, print, and end with 1 when a bar does not hold."""
    options = arguments("backtest", __doc__).parse_args()
    return present(
        options, measure, {"growth": "Events a second by events a simulated day, all on the same 20,000 deals"}
    )


if __name__ == "__main__":
    sys.exit(main())
