"""``headroom doctor``: is everything there and well, and if not, what that means and what to do next.

It looks and changes nothing. Broker and database are those of the settings, else those of the system that runs on this
user's data folder (``headroom up``), whose processes it also finds there.
"""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headroom.checks import broker, database, groups, machine, services
from headroom.checks.finding import Finding, State, exit_code
from headroom.local import addresses
from headroom.local.environment import settings_from
from headroom.local.folders import default_data_folder
from headroom.local.servers import BOOTSTRAP
from headroom.local.system import PROGRAMS
from shared.errors import HeadroomError
from shared.settings import Settings

FIRST_PORT = 8080
MARKS: dict[State, str] = {
    "ok": "[green]ok[/]",
    "note": "[cyan]note[/]",
    "problem": "[red]problem[/]",
    "unknown": "[dim]–[/]",
}


def doctor(
    url: Annotated[
        list[str] | None, typer.Option(help="Where a process serves, as http://… or door=http://…; may be repeated.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="The data folder of `headroom up`.", show_default="this user's")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Look at libraries, Java, ports, broker, topics, database, lag, clocks and processes; say what to do.

    Ends with 0 when all is well, 3 when there are problems, 5 when nothing answers.
    """
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what it would say is in the findings
    running = addresses.read(data or default_data_folder()) or ({}, {})
    urls = running[0] | services.named_urls(url or [])
    console = Console(stderr=True)
    with console.status("Looking …") as status:
        findings, reached = asyncio.run(examine({**running[1], **os.environ}, urls, status.update))
    if as_json:
        print(json.dumps({"reached": reached, "findings": [asdict(finding) for finding in findings]}))
    else:
        _show(findings)
    raise typer.Exit(exit_code(findings, reached))


async def examine(
    environment: dict[str, str], urls: dict[str, str], tell: Callable[[str], None]
) -> tuple[list[Finding], bool]:
    """Everything that was found, and whether anything answered at all."""
    named = BOOTSTRAP in environment
    of_ports = await asyncio.to_thread(machine.ports, FIRST_PORT, len(PROGRAMS), urls)
    findings = [*machine.versions(), machine.java(named), of_ports]
    settings = _settings(environment)
    if isinstance(settings, Finding):
        return [*findings, settings], True
    tell("Asking the processes …")
    answers, of_services = await services.look(urls)
    tell("Asking the broker …")
    broker_answers, of_broker = await broker.look(settings.kafka)
    tell("Asking the database …")
    database_answers, of_database = await database.look(settings.database_url)
    findings += of_broker
    if broker_answers and not any(one.check == "topics" and one.state == "problem" for one in of_broker):
        tell("Looking how far the roles are …")
        findings += await groups.look(settings.kafka, answers)
    else:
        findings.append(Finding("roles", "unknown", "how far they are cannot be told without broker and topics"))
    findings += of_database
    findings += of_services or [
        Finding("processes", "unknown", "no address is known", do="Give --url, also repeatedly")
    ]
    reached = broker_answers or database_answers or any(not answer.trouble for answer in answers)
    return findings, reached


def _settings(environment: dict[str, str]) -> Settings | Finding:
    try:
        return settings_from(environment)
    except HeadroomError as error:
        return Finding("settings", "problem", error.what, "no process starts with them", error.do)


def _show(findings: Sequence[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        lines = [escape(finding.what)]
        lines += [f"[dim]{escape(finding.means)}[/]"] if finding.means else []
        lines += [f"→ {escape(finding.do)}"] if finding.do else []
        table.add_row(MARKS[finding.state], escape(finding.check), "\n".join(lines))
    Console().print(table)
    problems = sum(finding.state == "problem" for finding in findings)
    print("All is well." if not problems else f"{problems} problem{'s' if problems > 1 else ''}.")
