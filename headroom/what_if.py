"""``headroom what-if``: an overlay on the live book, before and after."""

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import typer

from headroom.door import Refused, authorization
from headroom.plan import read_text
from headroom.reasons import reason
from headroom.under_way import under_way
from headroom.what_if_screen import show
from shared.errors import BadInput, ConfigurationError, NotReady, PlanError
from shared.schemas.plan_file import parse_plan
from shared.schemas.what_if import WhatIf
from shared.schemas.what_if_file import OverlayFile, what_if_json_schema

File = Annotated[Path | None, typer.Argument(metavar="FILE", help="The overlay, a YAML file.")]
Plan = Annotated[
    Path | None, typer.Option("--plan", metavar="PLAN.yaml", help="Hold the book against this plan instead.")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Schema = Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of overlays, for editors, and end.")]
Rows = Annotated[int, typer.Option("--rows", min=0, max=5000, help="Name so many changed weeks at most.")]
Url = Annotated[str, typer.Option("--url", envvar="HEADROOM_CAPACITY_URL", help="Where the capacity API is.")]
Key = Annotated[str | None, typer.Option("--key", envvar="HEADROOM_API_KEY", help="An API key with scope read.")]

HERE = "http://127.0.0.1:8081"
_PATIENCE = 120.0
"""Seconds for an answer: a whole plan on a large book takes some."""


def what_if(
    file: File = None,
    plan: Plan = None,
    rows: Rows = 30,
    as_json: Json = False,
    schema: Schema = False,
    url: Url = HERE,
    key: Key = None,
) -> None:
    """Show what would be if deals, capacity or the plan were as FILE says. Nothing that is live changes.

    Ends with 1 when FILE does not fit the plan or the book, naming line and column; with 5 while the book is not read.
    """
    if schema:
        print(json.dumps(what_if_json_schema(), indent=2))
        return
    if file is None and plan is None:
        raise typer.BadParameter("name the overlay's FILE, or a plan with --plan", param_hint="FILE")
    read = OverlayFile(read_text(file), str(file)) if file is not None else None
    body = read.overlay.model_dump(mode="json", exclude_unset=True) if read is not None else {}
    if plan is not None:
        text = read_text(plan)
        parse_plan(text, str(plan))  # what is wrong in it is said with its own name
        body["plan_text"] = text
        WhatIf.model_validate(body)
    with under_way("Asking what would be …", quiet=as_json):
        answer = asyncio.run(_ask(url.rstrip("/"), key, body, 5000 if as_json else rows, read))
    if as_json:
        print(json.dumps(answer))
    else:
        show(answer)


async def _ask(url: str, key: str | None, body: dict[str, Any], rows: int, read: OverlayFile | None) -> dict[str, Any]:
    where = f"{url}/v1/what-if"
    headers = authorization(key)
    try:
        async with (
            aiohttp.ClientSession(headers=headers, timeout=aiohttp.ClientTimeout(total=_PATIENCE)) as session,
            session.post(where, params={"rows": str(rows)}, json=body, allow_redirects=False) as response,
        ):
            status, content = response.status, await response.read()
    except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
        raise ConfigurationError(f"{url!r} is not an http address", do="Check --url.") from None
    except (aiohttp.ClientError, TimeoutError) as error:
        raise NotReady(
            "the capacity API does not answer", where=where, why=reason(error),
            do="Is the address right (--url or HEADROOM_CAPACITY_URL), and is it running?",
        ) from None  # fmt: skip
    answer = _object(content)
    if status < 300:
        return answer
    raise _refusal(status, where, answer, read)


def _refusal(status: int, where: str, answer: dict[str, Any], read: OverlayFile | None) -> Exception:
    title, detail = str(answer.get("title", "")), str(answer.get("detail", ""))
    if status in (401, 403):
        do = "Give a key with scope read by --key or HEADROOM_API_KEY."
        return Refused(status, title or "the key may not ask this", where=where, why=detail, do=do)
    if status in (502, 503, 504):
        return NotReady(title or "the capacity API is not ready", where=where, why=detail, do="Try again in a moment.")
    found = [(tuple(one["path"]), str(one["reason"])) for one in answer.get("problems", [])
             if isinstance(one.get("path"), list)]  # fmt: skip
    if found and read is not None:
        error: PlanError = read.refused(found)
        return error
    return BadInput(title or f"the capacity API answered {status}", where=where, why=detail)


def _object(content: bytes) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
