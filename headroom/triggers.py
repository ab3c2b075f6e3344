"""``headroom triggers``: show what a plan's triggers watch, and test them."""

import json
from collections.abc import Iterator
from difflib import ndiff
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from headroom.plan import read_text
from headroom.tables import print_table, screen
from headroom.trigger_files import read_tests
from headroom.trigger_runs import Outcome, run
from services.triggers.domain.rules import Rule, compile_rules
from shared.errors import PlanError
from shared.schemas.plan_fields import WATCHED
from shared.schemas.plan_file import parse_plan
from shared.schemas.plan_triggers import Trigger
from shared.schemas.plan_values import format_duration

app = typer.Typer(help="Triggers: what a plan's triggers watch, and tests of them.", no_args_is_help=True)

_SAID = ("name", "type", "unit", "meaning")

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command("list")
def list_triggers(
    file: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan, a YAML file.")], as_json: Json = False
) -> None:
    """List the triggers of PLAN: what each watches, where, when it fires, and who is asked."""
    plan = parse_plan(read_text(file), str(file))
    rules = compile_rules(plan.plan, plan).rules.values()
    if as_json:
        print(json.dumps([_shape(rule) for rule in rules]))
        return
    rows = []
    for rule in rules:
        trigger = rule.trigger
        scopes = ", ".join(rule.scopes[:3]) + (f" and {len(rule.scopes) - 3} more" if len(rule.scopes) > 3 else "")
        owners = "nobody: in shadow" if trigger.shadow else ", ".join(trigger.ask.owners)
        cells = (
            f"{trigger.trigger} ({trigger.severity})",
            f"{trigger.watch} {scopes}",
            _when(trigger),
            f"{owners} within {format_duration(trigger.ask.decide_within)}",
        )
        rows.append([escape(cell) for cell in cells])
    print_table(screen(), ("trigger", "watches", "when", "asks"), rows)


def _when(trigger: Trigger) -> str:
    hold = f" for {format_duration(trigger.for_)}" if trigger.for_ else ""
    within = f" {trigger.of}" if trigger.of else ""
    return f"{trigger.when}{hold}{within}" + (f"; clear: {trigger.clear}" if trigger.clear else "")


@app.command("fields")
def fields(
    as_json: Json = False,
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables of the guide.")] = False,
) -> None:
    """List everything that triggers may watch, and the fields their conditions may speak of."""
    if as_json:
        shown = {
            watch: {
                "scope": watched.scope,
                "where": watched.where,
                "fields": [{key: getattr(field, key) for key in _SAID} for field in watched.fields],
            }
            for watch, watched in WATCHED.items()
        }
        print(json.dumps(shown))
    elif as_markdown:
        print("\n".join(_in_markdown()))
    else:
        console = screen()
        for watch, watched in WATCHED.items():
            rows = [[escape(cell) for cell in (one.name, one.unit, one.meaning)] for one in watched.fields]
            print_table(console, ("field", "unit", "meaning"), rows, title=f"watch: {watch}")


def _in_markdown() -> Iterator[str]:
    """The reference of fields as the guide has it."""
    for watch, watched in WATCHED.items():
        narrowed = ", ".join(f"`{key}`" + (" (needed)" if key in watched.needed else "") for key in watched.where)
        yield f"### `watch: {watch}`\n\nOne episode for each {watched.scope}. `where`: {narrowed}.\n"
        yield "| field | unit | meaning |\n|---|---|---|"
        yield from (f"| `{field.name}` | {field.unit} | {field.meaning} |" for field in watched.fields)
        yield ""


@app.command("test")
def run_tests(
    files: Annotated[list[Path], typer.Argument(metavar="FILE…", help="Test files, YAML.")], as_json: Json = False
) -> None:
    """Run the tests in each FILE; ends with 3 when a trigger does not do what is expected of it."""
    try:
        outcomes = [(file, run(*read_tests(file))) for file in files]
    except PlanError as error:
        if as_json:
            problems = [{"place": str(p.place), "path": p.path, "reason": p.message} for p in error.problems]
            print(json.dumps({"ok": False, "problems": problems}))
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    ok = all(one.ok for _, found in outcomes for one in found)
    if as_json:
        shown = [{"file": str(file), "tests": [one.as_json() for one in found]} for file, found in outcomes]
        print(json.dumps({"ok": ok, "files": shown}))
    else:
        for file, found in outcomes:
            _show(file, found)
    if not ok:
        raise typer.Exit(3)


def _shape(rule: Rule) -> dict[str, object]:
    said = rule.trigger.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {**said, "scopes": list(rule.scopes)}


def _show(file: Path, outcomes: list[Outcome]) -> None:
    console = screen()
    console.print(escape(str(file)), style="bold")
    for outcome in outcomes:
        console.print(f"  [green]ok[/green]      {escape(outcome.test)}" if outcome.ok
                      else f"  [red]FAILED[/red]  {escape(outcome.test)}")  # fmt: skip
        for one in outcome.differences:
            console.print(f"    {escape(one.trigger)} at {one.at}: - expected, + found")
            for line in ndiff(one.expected or ["nothing"], one.found or ["nothing"]):
                if not line.startswith("?"):
                    style = {"-": "red", "+": "green"}.get(line[0], "dim")
                    console.print(f"      {escape(line)}", style=style)
    failed = sum(not one.ok for one in outcomes)
    console.print(f"  {len(outcomes) - failed} of {len(outcomes)} as expected")
