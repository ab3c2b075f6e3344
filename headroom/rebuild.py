"""``headroom rebuild``: what is derived from the log, derived again.

The log is the database; read models and cells are made from it and can be made from it again at any time, while the
system runs. ``all`` also sets back the places that a recreated or truncated topic leaves beyond its end, which is what
a process means when it stops with a message that names this command.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from headroom.database import database_answering
from headroom.log import answering
from headroom.rebuild_cells import Rebuilt, Tell, rebuild_cells
from headroom.rebuild_models import Emptied, empty_models, part_done
from headroom.rebuild_places import SetBack, set_back_episodes, set_back_groups
from shared.db import create_engine
from shared.errors import ConfigurationError
from shared.settings import KafkaSettings, Settings, read_settings

LOOK_EVERY = 0.5


class What(StrEnum):
    """What can be rebuilt."""

    MODELS = "read-models"
    CELLS = "cells"
    ALL = "all"


WARNINGS = {
    What.MODELS: "The read models are emptied. The API answers 503 until views has read the last complete frame again.",
    What.CELLS: "Every cell is written anew from the deals. Running folds are refused and start again.",
    What.ALL: "Cells and read models are made anew, and places beyond the end of a recreated topic are set back.",
}


def rebuild(
    what: Annotated[What, typer.Argument(help="What to make anew from the log.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for views to fill the tables; 0: do not.")] = 60.0,
) -> None:
    """Make read models (PostgreSQL) or cells (cells.v1) anew from the log, while the system runs.

    After a topic was recreated or truncated: `headroom rebuild all`. It may be repeated.
    """
    given = read_settings(Settings)
    _ask(what, yes)
    console = Console(stderr=True)
    with answering(given.kafka):
        asyncio.run(_rebuild(what, given, wait, console))


def _ask(what: What, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError("nobody can be asked whether to go on", do="Say so beforehand with --yes")
    typer.echo(WARNINGS[what], err=True)
    typer.confirm("Go on?", abort=True, err=True)


async def _rebuild(what: What, settings: Settings, wait: float, console: Console) -> None:
    # Places first, so that processes can start; then cells, from which frames are made; then what is made of frames.
    if what is What.ALL:
        async with _shown(console, "Looking for places beyond the end of their topic"):
            _say_places(await set_back_groups(settings.kafka, "normalise", "views", "notifier"))
            _say_places(await set_back_episodes(settings.kafka))
    elif what is What.MODELS:
        _say_places(await set_back_groups(settings.kafka, "views"))
    if what in (What.CELLS, What.ALL):
        _say_cells(await _cells(settings.kafka, console))
    if what in (What.MODELS, What.ALL):
        with database_answering(settings.database_url):
            await _models(settings, wait, console)


async def _cells(kafka: KafkaSettings, console: Console) -> list[Rebuilt]:
    async with _shown(console, "Cells") as tell:
        return await rebuild_cells(kafka, tell)


async def _models(settings: Settings, wait: float, console: Console) -> None:
    async with _shown(console, "Read models") as tell:
        emptied = await empty_models(settings, tell)
    print(f"read models  {emptied.rows} rows taken out; frames from offset {emptied.frame}, deals from the beginning")
    if not emptied.complete:
        print("             No complete frame is kept: restart project, which then publishes one.")
    if wait and not await _filled(settings, emptied, wait, console):
        print("             Not filled yet: they are as soon as views runs (`headroom doctor` says whether it does).")


async def _filled(settings: Settings, emptied: Emptied, wait: float, console: Console) -> bool:
    """Whether views filled the tables up to what the log had when they were emptied, within ``wait`` seconds."""
    engine = create_engine(settings.database_url, pool_size=1)
    try:
        with _bar(console) as bar:
            task = bar.add_task("Views fills the tables", total=1.0)
            for _ in range(max(1, int(wait / LOOK_EVERY))):
                async with engine.connect() as connection:
                    done = await part_done(connection, emptied)
                bar.update(task, completed=done)
                if done >= 1.0:
                    print("             Filled again.")
                    return True
                await asyncio.sleep(LOOK_EVERY)
        return False
    finally:
        await engine.dispose()


def _say_places(places: Sequence[SetBack]) -> None:
    for place in places:
        where = f"{place.topic}[{place.partition}]"
        print(f"places       {place.who} was at {place.applied} of {where}, which ends at {place.end}: set back")


def _say_cells(done: Sequence[Rebuilt]) -> None:
    for part in done:
        unreadable = f", {part.unreadable} deals cannot be read" if part.unreadable else ""
        made = f"{part.cells} cells from {part.deals} deals, {part.removed} taken out{unreadable}"
        print(f"cells        partition {part.partition}: {made}")


@asynccontextmanager
async def _shown(console: Console, title: str) -> AsyncIterator[Tell]:
    """Show what is under way on a terminal."""
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), **_on(console)) as progress:
        task = progress.add_task(title, total=None)
        yield lambda what: progress.update(task, description=what)


def _bar(console: Console) -> Progress:
    return Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), **_on(console))


def _on(console: Console) -> dict[str, Any]:
    return {"console": console, "transient": True, "disable": not console.is_terminal}
