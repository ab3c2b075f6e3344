"""``headroom recalibrations``: what is asked of whom, as the notifier's API says it."""

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import aiohttp
import typer
from rich.markup import escape
from rich.table import Column, Table

from headroom.door import Refused, authorization
from headroom.reasons import reason
from headroom.tables import print_table, screen
from headroom.under_way import under_way
from shared.errors import BadInput, ConfigurationError, NotReady
from shared.numbers import amount, number

app = typer.Typer(help="Recalibrations: what episodes ask of whom by when.", no_args_is_help=True)

Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Url = Annotated[str, typer.Option("--url", envvar="HEADROOM_NOTIFIER_URL", help="Where the notifier is.")]
Key = Annotated[str | None, typer.Option("--key", envvar="HEADROOM_API_KEY", help="An API key with scope read.")]
State = Literal["open", "firing", "mitigated", "resolved", "all"]

HERE = "http://127.0.0.1:8082"
PAGE = 500


@app.command("list")
def list_recalibrations(
    state: Annotated[State, typer.Option(help="Which ones; open are those not resolved.")] = "open",
    pool: Annotated[str | None, typer.Option(help="Of this pool only.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, the latest firings first.")] = 100,
    url: Url = HERE,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """List recalibrations, the latest firing first."""
    with under_way("Asking the notifier …", quiet=as_json):
        items = asyncio.run(_listed(url, key, state, pool, limit))
    if as_json:
        print(json.dumps(items))
        return
    console = screen()
    for item in items:
        for line in _lines(item["state"], item["recalibration"], len(item["answers"])):
            console.print(escape(line), highlight=False, soft_wrap=True)
    if not items:
        console.print("No recalibrations.")


@app.command("show")
def show(
    recalibration: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    url: Url = HERE,
    key: Key = None,
    as_json: Json = False,
) -> None:
    """Show one recalibration whole: what is short and why, who is asked by when, and what they answered."""
    with under_way("Asking the notifier …", quiet=as_json):
        item = asyncio.run(_one(url, key, recalibration))
    if as_json:
        print(json.dumps(item))
        return
    console, said = screen(), item["recalibration"]
    console.print(
        f"[bold]{escape(said['trigger'])}[/bold] on {escape(said['scope'])}: {item['state']}", highlight=False
    )
    console.print(escape(said["summary"]), highlight=False)
    facts = Table(Column(no_wrap=True), Column(overflow="fold"), show_header=False, box=None)
    for name, value in _facts(said):
        facts.add_row(name, escape(value))
    console.print(facts)
    if said.get("cause"):
        columns = ("deal", "product", "probability", f"effort ({said.get('unit') or 'units'})", "share")
        cause = []
        for deal in said["cause"]:
            numbers = (f"{deal.get('probability', 1.0):.0%}", number(deal["effort"]), f"{deal['share']:.0%}")
            cause.append((escape(deal["deal"]), escape(deal.get("product", "")), *numbers))
        print_table(console, columns, cause)
    for answer in item["answers"]:
        why = f": {answer['why']}" if answer.get("why") else ""
        console.print(escape(f"{_minute(answer['at'])}  {answer['by']} {answer['kind']}{why}"), highlight=False)


def _lines(state: str, said: dict[str, Any], answers: int) -> tuple[str, ...]:
    """Three lines rather than a row, which would be too wide for any screen: ids and names can be looked for."""
    what = [f"{said['trigger']} on {said['scope']}", _weeks(said)]
    asked = [
        ", ".join(owner["id"] for owner in said.get("owners", [])) or "nobody is asked",
        f"decide by {_minute(said['decide_by'])}" if said.get("decide_by") else "",
        f"{answers} answer{'' if answers == 1 else 's'}" if answers else "",
    ]
    return (
        f"{said['id']}  {state:<9}  {said['severity']}",
        "  " + ", ".join(filter(None, what)),
        "  " + "; ".join(filter(None, asked)),
    )


def _weeks(said: dict[str, Any]) -> str:
    first, last = said.get("from_week"), said.get("to_week")
    return str(first or "") if first == last or last is None else f"{first} to {last}"


def _facts(said: dict[str, Any]) -> list[tuple[str, str]]:
    found = [
        ("id", said["id"]),
        ("severity", said["severity"] + (", grouped by the alert budget" if said.get("grouped") else "")),
        ("weeks", _weeks(said)),
        ("fired", _minute(said["fired"])),
        ("acknowledge by", _minute(said.get("acknowledge_by"))),
        ("decide by", _minute(said.get("decide_by"))),
        ("last responsible moment", _minute(said.get("last_responsible"))),
        ("owners", _people(said.get("owners"))),
        ("informed", _people(said.get("inform"))),
        ("escalation", _people(said.get("escalation"))),
        ("if nobody decides", said.get("default_action") or ""),
        ("presses on", ", ".join(_stress(one) for one in said.get("stressed", []))),
        ("plan", said["plan"]),
    ]
    return [(name, value) for name, value in found if value]


def _stress(one: dict[str, Any]) -> str:
    return f"{one['pool']} {amount(one['effort'], one.get('unit', ''))}"


def _people(people: list[dict[str, Any]] | None) -> str:
    return ", ".join(person.get("name") or person["id"] for person in people or [])


def _minute(moment: str | None) -> str:
    """With its zone: ``2026-05-24 06:00 UTC``, ``2026-05-24 08:00 UTC+02:00``."""
    return f"{datetime.fromisoformat(moment):%Y-%m-%d %H:%M %Z}".rstrip() if moment else ""


async def _listed(url: str, key: str | None, state: State, pool: str | None, limit: int) -> list[dict[str, Any]]:
    """As many pages as it takes."""
    found: list[dict[str, Any]] = []
    asked = {name: value for name, value in (("pool", pool), ("state", None if state == "all" else state)) if value}
    after: str | None = None
    async with _session(key) as session:
        while len(found) < limit:
            page = asked | {"limit": str(min(PAGE, limit - len(found)))} | ({"after": after} if after else {})
            answer = await _get(session, f"{url.rstrip('/')}/v1/recalibrations?{urlencode(page)}")
            found += answer["items"]
            after = answer.get("next")
            if after is None:
                break
    return found


async def _one(url: str, key: str | None, recalibration: str) -> dict[str, Any]:
    async with _session(key) as session:
        return await _get(session, f"{url.rstrip('/')}/v1/recalibrations/{quote(recalibration, safe='')}")


def _session(key: str | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(headers=authorization(key), timeout=aiohttp.ClientTimeout(total=30))


async def _get(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    try:
        async with session.get(url, allow_redirects=False) as response:
            body = await response.read()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise ConfigurationError(f"{url!r} is not an http address", do="Check --url.") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotReady(
            "the notifier does not answer", where=url, why=reason(error),
            do="Is the address right (--url or HEADROOM_NOTIFIER_URL), and is it running?",
        ) from None  # fmt: skip
    try:
        answer = json.loads(body)
    except ValueError:
        answer = {}
    if response.status < 300 and isinstance(answer, dict):
        return answer
    title, detail = (
        (str(answer.get(name, "")) for name in ("title", "detail")) if isinstance(answer, dict) else ("", "")
    )
    if response.status in (401, 403):
        do = "Give a key with scope read by --key or HEADROOM_API_KEY."
        raise Refused(response.status, title or "the key may not read this", where=url, why=detail, do=do)
    if response.status in (502, 503, 504):
        raise NotReady(title or "the notifier is not ready", where=url, why=detail, do="Try again in a moment.")
    raise BadInput(title or f"the notifier answered {response.status}", where=url, why=detail)
