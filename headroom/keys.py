"""``headroom keys``: who may call the APIs. A key is shown once, when it is made; only its hash is stored."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import sqlalchemy as sa
import typer
from rich.console import Console
from rich.table import Table

from headroom.database import database_answering
from shared.access import SCOPES, api_keys, hash_key, new_key
from shared.db import create_engine
from shared.errors import BadInput
from shared.settings import Settings, read_settings

app = typer.Typer(help="API keys: make, list and revoke them.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@app.command()
def bootstrap(as_json: Json = False) -> None:
    """Make a first key with every scope: give its hash to the services as HEADROOM_BOOTSTRAP_KEY_HASH."""
    key = new_key()
    if as_json:
        print(json.dumps({"key": key, "hash": hash_key(key)}))
        return
    print(f"key   {key}\nhash  {hash_key(key)}")


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="What or who the key is for; shown in lists and refusals.")],
    scope: Annotated[list[str], typer.Option("--scope", "-s", help=f"One of {', '.join(SCOPES)}; may be repeated.")],
    person: Annotated[str | None, typer.Option(help="The id in the plan's people, when the key is a person's.")] = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed once and cannot be shown again."""
    unknown = sorted(set(scope) - set(SCOPES))
    if unknown:
        said = f"{unknown[0]!r} is none; scopes are {', '.join(SCOPES)}"
        raise typer.BadParameter(said, param_hint="--scope")
    key, key_id = new_key(), f"key_{new_key()[3:13]}"
    row = {"id": key_id, "name": name, "hash": hash_key(key), "scopes": sorted(set(scope)), "person": person}
    asyncio.run(execute(sa.insert(api_keys).values(row)))
    if as_json:
        print(json.dumps({"id": key_id, "name": name, "scopes": row["scopes"], "person": person, "key": key}))
        return
    print(f"{key_id}  {name}  {', '.join(sorted(set(scope)))}\n{key}")


@app.command("list")
def list_keys(as_json: Json = False) -> None:
    """List the keys, revoked ones too; never a key itself."""
    shown = [c for c in api_keys.c if c.name != "hash"]
    rows = asyncio.run(execute(sa.select(*shown).order_by(api_keys.c.created)))
    if as_json:
        print(json.dumps([dict(row._mapping) for row in rows], default=str))
        return
    table = Table("id", "name", "scopes", "person", "created", "revoked")
    for row in rows:
        revoked = row.revoked.isoformat(timespec="minutes") if row.revoked else ""
        table.add_row(row.id, row.name, ", ".join(row.scopes), row.person or "", f"{row.created:%Y-%m-%d}", revoked)
    Console().print(table)


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(help="The id that `headroom keys list` shows.")]) -> None:
    """Revoke a key; services stop taking it within five seconds."""
    query = (
        sa.update(api_keys)
        .where(api_keys.c.id == key_id, api_keys.c.revoked.is_(None))
        .values(revoked=datetime.now(UTC))
        .returning(api_keys.c.id)
    )
    if not asyncio.run(execute(query)):
        raise BadInput(f"there is no valid key {key_id!r}", do="`headroom keys list` shows them.")
    print(f"{key_id} revoked")


async def execute(query: sa.Executable) -> Sequence[Any]:
    """Run one statement in its own transaction against the configured database and return its rows."""
    url = read_settings(Settings).database_url
    with database_answering(url):
        engine = create_engine(url)
        try:
            async with engine.begin() as connection:
                result = await connection.execute(query)
                return result.all() if result.returns_rows else []
        finally:
            await engine.dispose()
