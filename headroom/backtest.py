"""``headroom backtest``: what the model would have said, day by day, of events that were recorded or given."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from headroom.backtest_calibration import as_json as calibration_as_json
from headroom.backtest_calibration import show as show_calibration
from headroom.backtest_episodes import as_json as episodes_as_json
from headroom.backtest_episodes import show as show_episodes
from headroom.backtest_money import show as show_money
from headroom.backtest_page import page
from headroom.days import day as parse_day
from headroom.files import cannot_be_read, must_be_writable
from headroom.load_events import loadable
from headroom.load_mapping import MappingError, parse_mapping
from headroom.load_rows import Rejected, read_rows
from headroom.plan import read_text
from headroom.replay import MOST_REJECTED, QUIET, Replay, Replayer
from headroom.replay_read import Ahead, Read
from headroom.tables import print_table, screen
from shared import memory
from shared.errors import BadInput
from shared.numbers import number as written
from shared.schemas.plan import Plan
from shared.schemas.plan_file import parse_plan

PlanFile = Annotated[Path, typer.Option("--plan", metavar="PLAN.yaml", help="The plan to hold the events against.")]
Events = Annotated[
    Path, typer.Option("--events", metavar="FILE", help="CloudEvents, one JSON a line; or a CSV, with --map.")
]
Map = Annotated[Path | None, typer.Option("--map", metavar="MAPPING.yaml", help="What the columns of a CSV mean.")]
From = Annotated[
    date | None, typer.Option("--from", parser=parse_day, metavar="DAY", help="The first day that is projected.")
]
To = Annotated[date | None, typer.Option("--to", parser=parse_day, metavar="DAY", help="The last day.")]
Gap = Annotated[
    int,
    typer.Option(
        "--gap",
        metavar="DAYS",
        min=1,
        max=36_500,
        help="After so many days without an event those up to the next are passed over; one event by itself farther "
        "ahead is taken for a slip and rejected.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="OUT.html", help="Write pictures: one page by itself.")]

SHOWN = 20
"""Events and rows that could not be used, shown with their reasons."""
_STEP = 1 << 20
"""Bytes after which the progress bar moves, of a large file."""
WORTH_IT = 8 << 20
"""Bytes of a file beyond which other processes read ahead; to start them takes a part of a second."""
MOST_PROCESSES = 3
"""More of them would read faster than what they read can be taken in."""


def backtest(
    plan_file: PlanFile,
    events: Events,
    map_file: Map = None,
    first: From = None,
    last: To = None,
    gap: Gap = QUIET.days,
    as_json: Json = False,
    html: Html = None,
) -> None:
    """Replay events through the model and the triggers with a virtual clock, and tell what they would have said when.

    No broker and no database are needed. Ends with 3 when some events, or rows of a CSV, could not be used.
    """
    _check_days(first, last)
    if html is not None:
        must_be_writable(html, "--html")
    plan = parse_plan(read_text(plan_file), str(plan_file))
    replayer = Replayer(plan, first, last, quiet=timedelta(days=gap))
    started = perf_counter()
    memory.suit_books()
    rows: list[Rejected] = []
    lines = _of_csv(events, map_file, rows) if map_file is not None else _lines(events)
    size, step = 0, _step(events)
    with _bar(events, map_file is None) as moved, _read(lines, many=_are_many(events)) as each:
        for raw, ahead in each:
            if not replayer.take(raw, ahead):
                break
            size += len(raw)
            if size > step:
                moved(size, replayer.found)
                size = 0
        found = replayer.end()
    rate = found.events / max(perf_counter() - started, 1e-9)
    _tell(events, rows)
    if found.unusable == found.events and not found.days:
        raise _nothing(events, found, csv=map_file is not None)
    if as_json:
        print(json.dumps(summary(plan, found, rate) | {"rows": [asdict(one) for one in rows]}, default=str))
    else:
        _show(plan, found, rate)
    if html is not None:
        _write(html, page(plan, found))
    if found.unusable or rows:
        raise typer.Exit(3)


def summary(plan: Plan, found: Replay, rate: float) -> dict[str, Any]:
    """Everything, as JSON says it."""
    return {
        "plan": plan.plan,
        "events": found.events,
        "events_per_second": round(rate),
        "unusable": found.unusable,
        "rejected": [{"event": number, "reason": reason} for number, reason in found.rejected],
        "days": [asdict(day) for day in found.days],
        "positions": msgspec.to_builtins(found.positions),
        "work": msgspec.to_builtins(found.work),
        "forecasts": msgspec.to_builtins(found.forecasts),
        **episodes_as_json(found.hindsight),
        "calibration": calibration_as_json(found.calibration),
    }


def _check_days(first: date | None, last: date | None) -> None:
    """Days between which there is none to project end with 2."""
    if first is not None and last is not None and last < first:
        raise typer.BadParameter(f"{last} is before --from {first}", param_hint="--to")


def _nothing(file: Path, found: Replay, *, csv: bool) -> BadInput:
    """Why there is nothing to tell."""
    if not found.events:
        return BadInput("it holds no event to replay", where=str(file))
    (number, reason), many = found.rejected[0], f"none of its {found.events:,} events can be used"
    do = "" if csv else "Each line must be one CloudEvent in JSON; a CSV needs --map."
    return BadInput(many, where=str(file), why=f"event {number}: {reason}", do=do)


def _tell(file: Path, rejected: list[Rejected]) -> None:
    """The first rows that could not be used, on the error stream."""
    for one in rejected[:SHOWN]:
        typer.echo(f"{file}:{one.line}: {one.reason}", err=True)
    if len(rejected) > SHOWN:
        typer.echo(f"… and {len(rejected) - SHOWN:,} rows more; --json lists all", err=True)


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput("the page cannot be written", where=str(file), why=error.strerror or str(error)) from None


def _step(file: Path) -> int:
    """Bytes after which the bar moves: a hundredth of a small file, whose few events may span many days."""
    return min(_STEP, file.stat().st_size // 100) if file.exists() else _STEP


def _are_many(file: Path) -> bool:
    return file.exists() and file.stat().st_size > WORTH_IT


@contextmanager
def _read(lines: Iterator[bytes], *, many: bool) -> Iterator[Iterator[tuple[bytes, Read | None]]]:
    """Each line; of many also what it says, read by other processes as far as there are cores for them."""
    if not many:
        yield ((raw, None) for raw in lines)
        return
    ahead = Ahead(max(1, min((os.cpu_count() or 2) - 1, MOST_PROCESSES)))
    try:
        yield ahead.read(lines)
    finally:
        ahead.close()


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as opened:
            for line in opened:
                if line.strip():
                    yield line
    except OSError as error:
        raise cannot_be_read(file, error) from None


def _of_csv(file: Path, map_file: Path, rejected: list[Rejected]) -> Iterator[bytes]:
    """The dated events of a CSV; rows that tell none are put into ``rejected``. A bad mapping ends with 2."""
    try:
        mapping_file = parse_mapping(read_text(map_file), str(map_file))
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            found = loadable(read_rows(opened, mapping_file, str(file)), mapping_file.mapping, None)
    except MappingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    except OSError as error:
        raise cannot_be_read(file, error) from None
    rejected += found.rejected
    for event in found.events:
        yield msgspec.json.encode(event.body)


@contextmanager
def _bar(file: Path, known: bool) -> Iterator[Any]:
    """A progress bar on terminals, by bytes read; nothing elsewhere."""
    console = Console(stderr=True)
    total = file.stat().st_size if known and file.exists() else None
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("Replaying", total=total)

        def moved(size: int, found: Replay) -> None:
            day = f" {found.days[-1].day}" if found.days else ""
            progress.update(task, advance=size, description=f"Replaying{day}")

        yield moved


def _show(plan: Plan, found: Replay, rate: float) -> None:
    console = screen()
    console.print(
        f"{found.events:,} events on {len(found.days):,} days at {rate:,.0f} events/s; "
        f"{found.unusable:,} could not be used"
    )
    for number, reason in found.rejected[:SHOWN]:
        console.print(f"  event {number}: {escape(reason)}")
    if found.unusable > SHOWN:
        console.print(f"  … and {found.unusable - SHOWN:,} more; --json lists the first {MOST_REJECTED:,}")
    pools = []
    for name in plan.pools:
        over, over_day = _worst(found, name, "overload")
        late, late_day = _worst(found, name, "late")
        last = next((pool for pool in found.days[-1].pools if pool.pool == name), None) if found.days else None
        week = (last.first_overloaded if last else None) or "none"
        pools.append((escape(name), f"{over:.0%}", str(over_day or ""), f"{late:.0%}", str(late_day or ""), week))
    columns = ("pool", "worst P(overload)", "seen on", "worst P(late)", "seen on", "first overloaded week")
    print_table(console, columns, pools)
    if plan.work:
        works = []
        for item in found.work:
            seen = next((day.day for day in found.days for one in day.work
                         if one.work == item.work and one.slip_weeks > 0), None)  # fmt: skip
            slip = f"{written(item.slip_weeks)} weeks (mean {item.slip_mean:.1f})"
            done = item.finish or "not in the weeks shown"
            works.append((escape(item.work), item.due, done, slip, f"{item.late:.0%}", str(seen or "")))
        print_table(console, ("work item", "due", "done", "slip", "P(slip)", "first seen slipping"), works)
    show_money(console, plan, found)
    show_episodes(console, found.hindsight, plan.timezone)
    show_calibration(console, found.calibration)


def _worst(found: Replay, pool: str, what: str) -> tuple[float, date | None]:
    """The largest value over all days, and the first day that had it."""
    worst, on = 0.0, None
    for day in found.days:
        for one in day.pools:
            if one.pool == pool and getattr(one, what) > worst:
                worst, on = getattr(one, what), day.day
    return worst, on
