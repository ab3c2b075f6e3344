"""``headroom load``: back-fill history from a CSV through the same door that a CRM's events come through.

The order of effects: the whole file is read, once, and every row turned into events or rejected; then the events are
sent in the order of their days; then the list of rejected rows is written. Nothing is sent when the mapping does not
fit.
"""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import typer
from platformdirs import user_state_path
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from headroom.days import day as parse_day
from headroom.door import Door, Patience, Refused
from headroom.files import must_be_writable
from headroom.load_events import Loadable
from headroom.load_files import read_events
from headroom.load_mapping import Mapping
from headroom.load_rows import Rejected
from headroom.load_send import Progress as Sent
from headroom.load_send import progress_file, send
from headroom.plan import HERE, read_text
from headroom.under_way import under_way
from shared.errors import BadInput, NotReady

app = typer.Typer(help="Back-fill history from files.", no_args_is_help=True)

SHOWN = 20
"""Rejected rows that are shown when no list of them is asked for."""

File = Annotated[Path, typer.Argument(metavar="FILE.csv", help="The rows, one deal each, under a header.")]
Map = Annotated[Path, typer.Option("--map", metavar="MAPPING.yaml", help="What the columns mean.")]
Url = Annotated[str, typer.Option("--url", envvar="HEADROOM_URL", help="Where the door is.")]
Key = Annotated[str | None, typer.Option("--key", envvar="HEADROOM_API_KEY", help="An API key with scope ingest.")]
AsOf = Annotated[
    date | None,
    typer.Option("--as-of", parser=parse_day, metavar="DAY", help="Send only what was known at the end of this day."),
]
RejectedFile = Annotated[Path | None, typer.Option("--rejected", metavar="OUT.csv", help="Write rejected rows here.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read and check everything, send nothing.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Send all, whatever an interrupted load has sent before.")]


@app.callback()
def _load() -> None:
    """Back-fill history from files."""


@app.command()
def deals(
    file: File,
    map_file: Map,
    url: Url = HERE,
    key: Key = None,
    as_of: AsOf = None,
    rejected: RejectedFile = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    fresh: Fresh = False,
) -> None:
    """Send the deals of FILE.csv through the door as dated events.

    An interrupted load goes on where it was; sending again changes nothing. Ends with 3 when rows were rejected.
    """
    if rejected is not None:
        must_be_writable(rejected, "--rejected")
    mapping_text = read_text(map_file)
    with under_way(f"Reading {file} …", quiet=as_json):
        mapping, found, content = read_events(file, map_file, mapping_text, as_of)
    day = as_of or mapping.as_of
    sent = Sent(progress_file(user_state_path("headroom") / "load", content, mapping_text, url, day))
    if fresh and not dry_run:
        sent.forget()
    sent.load()
    before = sent.sent
    if not dry_run:
        _send(found, url, key, sent)
    refused = {one.line: one for one in sent.refused} if not dry_run else {}
    found.sent -= len(refused)
    found.rejected = sorted([*found.rejected, *refused.values()], key=lambda one: one.line)
    summary = _summary(found, mapping, day, dry_run=dry_run, before=0 if dry_run else before)
    if as_json:
        print(json.dumps(summary))
    else:
        _show(summary, found, rejected)
    if rejected is not None:
        _write(rejected, found.rejected)
        if found.rejected and not as_json:
            print(f"rejected rows with their reasons are in {rejected}")
    if found.rejected:
        raise typer.Exit(3)


def _send(found: Loadable, url: str, key: str | None, sent: Sent) -> None:
    console = Console(stderr=True)
    try:
        with _bar(console, len(found.events), sent.sent) as moved:
            asyncio.run(_send_all(found, url, key, sent, moved, console))
    except (Refused, NotReady, KeyboardInterrupt) as error:
        reason = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        typer.echo(
            f"{reason}\n{sent.sent:,} of {len(found.events):,} events are in; the same command goes on.", err=True
        )
        code = error.exit_code if isinstance(error, Refused) else 5 if isinstance(error, NotReady) else 130
        raise typer.Exit(code) from None
    sent.forget()


async def _send_all(
    found: Loadable, url: str, key: str | None, sent: Sent, moved: Callable[[int], None], console: Console
) -> None:
    patience = Patience(attempts=8, tell=lambda why: console.print(f"waiting for the door: {why}", highlight=False))
    async with Door(url, key, patience) as door:
        await send(found.events, door, sent, moved)


@contextmanager
def _bar(console: Console, total: int, done: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on terminals, nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("events", total=total, completed=done)
        yield lambda more: progress.advance(task, more)


def _summary(found: Loadable, mapping: Mapping, as_of: date | None, *, dry_run: bool, before: int) -> dict[str, Any]:
    return {
        "source": mapping.source,
        "as_of": as_of.isoformat() if as_of else None,
        "dry_run": dry_run,
        "rows": found.rows,
        "sent": found.sent,
        "not_yet": found.later,
        "rejected": [asdict(one) for one in found.rejected],
        "events": found.by_event,
        "events_total": len(found.events),
        "events_sent_before": before,
        "events_after_the_day": found.held_back,
    }


def _show(summary: dict[str, Any], found: Loadable, rejected: Path | None) -> None:
    title = "would be sent" if summary["dry_run"] else "sent"
    table = Table("rows of " + summary["source"], "number", title_justify="left")
    until = f" (as of {summary['as_of']})" if summary["as_of"] else ""
    table.add_row(f"{title}{until}", f"{found.sent:,}")
    table.add_row("not there yet", f"{found.later:,}")
    table.add_row("rejected", f"{len(found.rejected):,}")
    table.add_row("all", f"{found.rows:,}", style="bold")
    console = Console()
    console.print(table)
    events = ", ".join(f"{number:,} {name}" for name, number in found.by_event.items())
    print(f"{len(found.events):,} events: {events}; {found.held_back:,} lie after the day")
    if summary["events_sent_before"]:
        print(f"{summary['events_sent_before']:,} of them an earlier, interrupted load had sent")
    for one in found.rejected[:SHOWN] if rejected is None else []:
        print(f"line {one.line}  {one.id or '?'}  {one.reason}")
    if rejected is None and len(found.rejected) > SHOWN:
        print(f"… and {len(found.rejected) - SHOWN:,} more: --rejected OUT.csv lists all")


def _write(file: Path, rejected: list[Rejected]) -> None:
    try:
        with file.open("w", encoding="utf-8", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(["line", "id", "reason"])
            writer.writerows([one.line, one.id, one.reason] for one in rejected)
    except OSError as error:
        raise BadInput(
            "the list of rejected rows cannot be written", where=str(file), why=str(error.strerror)
        ) from None
