"""``headroom plan``: check a plan file, compare it, publish it through the door, print its schema for editors."""

import asyncio
import json
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from headroom import plan_diff, plan_draft, plan_history, plan_paper
from headroom.days import any_day, day
from headroom.door import Door, Patience, Refused
from headroom.files import cannot_be_read
from headroom.load_files import read_events
from headroom.tables import print_table, screen
from headroom.under_way import Tell, under_way
from shared.errors import BadInput, PlanError
from shared.numbers import amount, number
from shared.schemas.plan import Plan
from shared.schemas.plan_file import parse_plan, plan_json_schema, plan_sha256
from shared.schemas.plan_pools import BudgetPool, Pool, QueuePool, WorkPool
from shared.schemas.plan_values import PLANNABLE_YEARS, format_duration
from shared.schemas.plan_yaml import LARGEST_FILE

app = typer.Typer(help="Plan files: check, compare, draft, publish, and the schema for editors.", no_args_is_help=True)

File = Annotated[Path, typer.Argument(metavar="FILE", help="The plan, a YAML file.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Url = Annotated[str, typer.Option("--url", envvar="HEADROOM_URL", help="Where the door is.")]
Key = Annotated[str | None, typer.Option("--key", envvar="HEADROOM_API_KEY", help="An API key with scope admin.")]
ReadKey = Annotated[str | None, typer.Option("--key", envvar="HEADROOM_API_KEY", help="Any API key that may read.")]

HERE = "http://127.0.0.1:8080"


@app.command()
def check(
    file: File,
    as_json: Json = False,
    feasible: Annotated[
        bool, typer.Option("--feasible", help="End with 3 when the plan is sound but not feasible on paper.")
    ] = False,
    as_of: Annotated[
        date | None,
        typer.Option(
            "--as-of", parser=any_day, metavar="DAY", help="Look from this day on; else from the first milestone's."
        ),
    ] = None,
) -> None:
    """Say everything that is wrong in FILE with line and column, and end with 1; or show what it plans.

    A sound plan is also looked at on paper: milestones by their linearity, without any deal. Pools that are asked more
    than they can do are listed, and milestones that ask nothing of anybody named.
    """
    if as_of and as_of.year not in PLANNABLE_YEARS:
        raise typer.BadParameter(
            f"plans are made for the years 1970 to 2199, not for {as_of.year}", param_hint="--as-of"
        )
    try:
        plan = parse_plan(read_text(file), str(file))
    except BadInput as error:
        if not as_json:
            raise
        # A script that asked for JSON gets it, whatever is wrong with the file.
        nowhere = {"file": str(file), "line": None, "column": None, "path": "", "excerpt": ""}
        print(json.dumps({"ok": False, "problems": [nowhere | {"reason": str(error)}]}))
        raise typer.Exit(1) from None
    except PlanError as error:
        if as_json:
            print(json.dumps({"ok": False, "problems": _problems(error)}))
        else:
            typer.echo(str(error), err=True)
            typer.echo(f"\n{len(error.problems)} problem(s) in {file}", err=True)
        raise typer.Exit(1) from None
    paper = plan_paper.on_paper(plan, as_of)
    if as_json:
        sound = {"ok": True, "plan": plan.plan, "sha256": plan_sha256(plan), "problems": []}
        print(json.dumps(sound | {"on_paper": paper.told()}))
    else:
        _show(plan)
        plan_paper.show(screen(), plan, paper)
    if feasible and not paper.feasible:
        raise typer.Exit(3)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The plan as it was; alone: as it is to be.")],
    new: Annotated[Path | None, typer.Argument(metavar="NEW", help="The plan as it is to be.")] = None,
    url: Url = HERE,
    key: ReadKey = None,
    as_json: Json = False,
) -> None:
    """Say what changes from OLD to NEW, part by part, and which positions move by how much on paper.

    With one file, it is compared with the plan in force at the door; any key that may read will do.
    """
    now = parse_plan(read_text(new or old), str(new or old))
    if new is not None:
        was = parse_plan(read_text(old), str(old))
    else:
        try:
            with under_way("Asking the door …", quiet=as_json) as tell:
                was = asyncio.run(_in_force(url, key, tell))
        except Refused as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(error.exit_code) from None
    found = plan_diff.difference(was, now)
    if as_json:
        print(json.dumps(found.told()))
    else:
        plan_diff.show(screen(), found)


@app.command()
def apply(file: File, url: Url = HERE, key: Key = None, as_json: Json = False) -> None:
    """Check FILE and put it in force: publish it at the door, which gives it a version."""
    text = read_text(file)
    plan = parse_plan(text, str(file))
    try:
        with under_way("Publishing …", quiet=as_json) as tell:
            answer = asyncio.run(_publish(plan.plan, text, url, key, tell))
    except Refused as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None
    if as_json:
        print(json.dumps(answer))
    else:
        print(f"{plan.plan} is in force as version {answer.get('version', '?')}")


@app.command()
def draft(
    deals: Annotated[Path, typer.Option("--deals", metavar="FILE.csv", help="The deals' history, one row a deal.")],
    mapping: Annotated[Path, typer.Option("--map", metavar="MAPPING.yaml", help="What its columns mean.")],
    name: Annotated[str, typer.Option("--name", help="What the plan is to be called.")] = "draft",
    as_of: Annotated[
        date | None, typer.Option("--as-of", parser=day, metavar="DAY", help="Only what was known on this day.")
    ] = None,
    currency: Annotated[str | None, typer.Option("--currency", help="The plan's currency, such as EUR.")] = None,
    won: Annotated[list[str] | None, typer.Option("--won", help="A stage of deals won; absent: by its name.")] = None,
    lost: Annotated[
        list[str] | None, typer.Option("--lost", help="A stage of deals lost; absent: by its name.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a first plan from history: win rates, pushes, cycles, quantities and prices, each with how many say so.

    It is a sound plan (`plan check`) in which everything that history cannot say is marked GAP. Rows that cannot be
    read are left out and counted. With --json: the measured figures and the gaps.
    """
    with under_way("Reading the deals …", quiet=as_json):
        _, found, _ = read_events(deals, mapping, read_text(mapping), as_of)
    history = plan_history.history_of(found.events, won or (), lost or ())
    text, gaps = plan_draft.draft(history, name, currency)
    parse_plan(text, "the draft")  # a name or currency that no plan can have is refused here
    if found.rejected:
        typer.echo(f"{len(found.rejected):,} of {found.rows:,} rows cannot be read and are left out", err=True)
    if as_json:
        print(json.dumps({"history": asdict(history), "gaps": gaps, "rejected": len(found.rejected)}, default=str))
    else:
        print(text, end="")


@app.command()
def schema() -> None:
    """Print the JSON Schema of plan files: editors complete and check with it."""
    print(json.dumps(plan_json_schema(), indent=2))


def read_text(file: Path) -> str:
    """The text of a plan or mapping file; raises BadInput when it cannot be read or is not UTF-8."""
    try:
        with file.open("rb") as opened:
            content = opened.read(4 * LARGEST_FILE + 1)
    except OSError as error:
        raise cannot_be_read(file, error) from None
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise BadInput("the file is not UTF-8 text", where=f"{file}:{line}", do="Save it as UTF-8.") from None


async def _publish(name: str, text: str, url: str, key: str | None, tell: Tell) -> dict[str, Any]:
    async with Door(url, key, _patience(tell)) as door:
        return await door.put_plan(name, text)


def _patience(tell: Tell) -> Patience:
    return Patience(tell=lambda why: tell(f"Waiting for the door: {why}"))


async def _in_force(url: str, key: str | None, tell: Tell) -> Plan:
    async with Door(url, key, _patience(tell)) as door:
        name = (await door.get("/v1/plans")).get("in_force")
        if not name:
            raise BadInput(
                "no plan is in force", where=url, do="Name two files, or publish one: headroom plan apply FILE."
            )
        plan, _, version = str(name).rpartition("@")
        found = await door.get(f"/v1/plans/{plan}?version={version}")
    return Plan.model_validate_json(json.dumps(found["plan"]))


def _problems(error: PlanError) -> list[dict[str, Any]]:
    return [
        {
            "file": problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "path": problem.path,
            "reason": problem.message,
            "excerpt": problem.excerpt,
        }
        for problem in error.problems
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _show(plan: Plan) -> None:
    console = screen()
    console.print(
        f"[bold]{escape(plan.plan)}[/bold] is a sound plan: {_count(len(plan.products), 'product')}, "
        f"{_count(len(plan.stages), 'stage')}, {_count(len(plan.work), 'work item')}, "
        f"{_count(plan.horizon_weeks, 'week')}, {plan.currency}"
    )
    pools = []
    for name, pool in plan.pools.items():
        asking = list(dict.fromkeys(product for product, _ in plan.needs_on(name)))
        asking += [work for work, item in plan.work.items() if item.pool == name]
        owner = plan.people[pool.owner].name
        cells = (name, pool.kind, _capacity(pool), owner, ", ".join(asking) or "nothing")
        pools.append([escape(cell) for cell in cells])
    print_table(console, ("pool", "kind", "capacity", "owner", "asked by"), pools)
    triggers = []
    for trigger in plan.triggers:
        limits = [_length(trigger.for_), trigger.severity, _length(trigger.ask.decide_within)]
        triggers.append([escape(cell) for cell in (trigger.trigger, trigger.when, *limits)])
    if triggers:
        print_table(console, ("trigger", "when", "for", "severity", "decide within"), triggers)
    for product in (name for name, sold in plan.products.items() if not sold.needs):
        console.print(f"{escape(product)} has no needs: its deals are counted and listed as untethered")


def _length(duration: timedelta | None) -> str:
    return "" if duration is None else format_duration(duration)


def _capacity(pool: Pool) -> str:
    if isinstance(pool, WorkPool):
        return f"{amount(pool.capacity.per_week, pool.unit)} a week"
    if isinstance(pool, QueuePool):
        minutes = amount(pool.queue.answer_within_minutes, "min")
        return f"{number(pool.queue.agents)} agents, {pool.queue.share:.0%} within {minutes}"
    store = pool.budget if isinstance(pool, BudgetPool) else pool.stock
    return amount(store.level, pool.unit)
