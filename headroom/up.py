"""``headroom up``: the whole system on this machine, until Ctrl-C."""

import asyncio
import json
import signal
import sys
from datetime import datetime
from pathlib import Path
from shlex import quote
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from headroom.days import moment
from headroom.door import Door
from headroom.local.exports import export_line
from headroom.local.folders import default_data_folder
from headroom.local.processes import ProcessStatus
from headroom.local.servers import NamedBroker, NamedDatabase
from headroom.local.system import KEY_FILE, LocalSystem
from headroom.plan import read_text
from shared.schemas.plan_file import parse_plan
from shared.settings import ClockSettings

FIRST_PORT = 8080
COLOURS = {"ready": "green", "starting": "yellow", "waiting": "red", "not ready": "red", "stopped": "dim"}


def up(
    data: Annotated[Path | None, typer.Option(help="The folder to keep data in.", show_default="this user's")] = None,
    ephemeral: Annotated[bool, typer.Option("--ephemeral", help="Keep nothing.")] = False,
    as_of: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar="TIME", help="Live at this time instead of now, such as 2026-04-01T08:00."),
    ] = None,
    speed: Annotated[float, typer.Option(min=0, help="How fast that time passes; 0 holds it still.")] = 1.0,
    plan: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Publish this plan when ready.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object when ready and nothing else.")] = False,
) -> None:
    """Start broker, database and every process, wait until each is ready, and run until Ctrl-C.

    The broker and the database are those named by HEADROOM_KAFKA__BOOTSTRAP and HEADROOM_DATABASE_URL, else started.
    """
    if data is not None and ephemeral:
        raise typer.BadParameter("--data keeps data and --ephemeral keeps none: give one of them")
    if plan is not None:
        parse_plan(read_text(plan), str(plan))  # what is wrong with it is said before anything is started
    folder = None if ephemeral else (data or default_data_folder())
    clock = ClockSettings(as_of=as_of, speed=speed)
    console = Console(stderr=True)
    board = Board(console, quiet=as_json)
    system = LocalSystem(folder, clock=clock, first_port=FIRST_PORT, report=board.step)
    board.system = system
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, _interrupt)
    ready = False
    try:
        with board, system:
            if plan is not None:
                board.step(f"Publishing {plan}")
                publish_plan(plan, system)
            ready = True
            board.title("Ready; Ctrl-C stops everything")
            _announce(system, console, as_json)
            try:
                while True:
                    signal.pause()
            finally:
                board.step("Stopping everything")
    except KeyboardInterrupt:
        kept = f"; the data is in {system.data}" if folder is not None else ""
        if ready:
            console.print(f"Stopped{kept}.", soft_wrap=True, highlight=False)
        else:
            console.print(f"Stopped before it was ready; nothing of it runs any more{kept}.", soft_wrap=True)
            raise typer.Exit(130) from None


def publish_plan(file: Path, system: LocalSystem) -> None:
    """Check a plan file and put it in force; raises ``PlanError`` or the door's refusal."""
    text = read_text(file)
    plan = parse_plan(text, str(file))

    async def put() -> None:
        async with Door(system.door_url, system.api_key) as door:
            await door.put_plan(plan.plan, text)

    asyncio.run(put())


class Board:
    """Shows the start and then the processes: a live table on a terminal, a line per step elsewhere."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self.system: LocalSystem | None = None
        self._console = console
        self._quiet = quiet
        self._step = ""
        self._live: Live | None = None

    def title(self, what: str) -> None:
        """What stands over the table from now on; elsewhere than on a terminal nothing is said."""
        self._step = what

    def step(self, what: str) -> None:
        """Say what the start is at."""
        self.title(what)
        if self._live is None and not self._quiet:
            self._console.print(what)

    def __enter__(self) -> None:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4)
            self._live.start()

    def __exit__(self, *failure: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _render(self) -> Group:
        processes = self.system.processes() if self.system is not None else []
        return Group(Text(f"Headroom: {self._step}", style="bold"), processes_table(processes))


def processes_table(processes: list[ProcessStatus]) -> Table:
    """Name, state, restarts and address of each process."""
    table = Table("process", "state", "restarts", "address", "why not ready", box=None, pad_edge=False)
    for process in processes:
        why = "; ".join(process.reasons) if process.state != "ready" else ""
        state = Text(process.state, style=COLOURS[process.state])
        table.add_row(process.name, state, str(process.restarts or ""), process.url, Text(why, overflow="ellipsis"))
    return table


def _announce(system: LocalSystem, console: Console, as_json: bool) -> None:
    """Where everything is; a key that was just made is shown this once."""
    key_file = system.data / KEY_FILE
    if as_json:
        what = {
            "urls": system.urls,
            "kafka": system.bootstrap,
            "partitions": system.settings.kafka.partitions,
            "database_url": system.database_url,
            "data": str(system.data),
            "key_file": str(key_file) if system.api_key else None,
            "processes": {process.name: process.pid for process in system.processes()},
        }
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()
        return
    out = Console(stderr=console.stderr, soft_wrap=True, highlight=False)
    out.print(f"\n[bold]Ready.[/]  door      {system.door_url}   events, webhooks, plans")
    out.print(f"        capacity  {system.capacity_url}   positions, pools, deals")
    out.print(f"        notifier  {system.notifier_url}   subscriptions, recalibrations, decisions")
    out.print(f"        Kafka     {system.bootstrap}")
    out.print(f"        data      {system.data}   logs in {system.data / 'logs'}")
    if system.new_key:
        out.print(f"        API key   {system.api_key}   shown this once")
    if system.api_key:
        out.print(f"        The key is in {key_file}. To use this system from another terminal:")
        for line in export_line(
            f'"$(cat {key_file})"', door=system.door_url, notifier=system.notifier_url, capacity=system.capacity_url
        ):
            out.print(f"        {line}")
    shards = system.settings.kafka.partitions
    if isinstance(system.broker, NamedBroker):
        out.print(f"        The topics have {shards} shards: elsewhere set HEADROOM_KAFKA__PARTITIONS={shards}")
    if not isinstance(system.broker, NamedBroker) and not isinstance(system.database, NamedDatabase):
        out.print("        For `headroom keys`, `topics`, `dead-letters` and `rebuild`, which use broker and database:")
        database_url = quote(system.database_url)
        out.print(f"        export HEADROOM_KAFKA__BOOTSTRAP={system.bootstrap} HEADROOM_KAFKA__PARTITIONS={shards} \\")
        out.print(f"               HEADROOM_DATABASE_URL={database_url}")
        out.print(f"        `headroom doctor --data {system.data}` examines all of it")
    out.print("        Ctrl-C stops everything\n")


def _interrupt(number: int, frame: FrameType | None) -> None:
    """The first signal ends the wait; further ones do not disturb the stop that follows."""
    for sig in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sig, signal.SIG_IGN)
    raise KeyboardInterrupt
