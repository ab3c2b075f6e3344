"""``headroom dead-letters``: see what could not be used and why, and put it back once the reason is gone."""

import asyncio
import base64
import json
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from headroom.letters import Entry, contents, standing
from headroom.log import answering
from headroom.redrive import Choice, choose, put_back
from headroom.under_way import under_way
from shared.errors import BadInput
from shared.schemas.dead_letter import DeadLetter
from shared.settings import Settings, read_settings

app = typer.Typer(help="What could not be used: list it, show it, put it back.", no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Reason = Annotated[str | None, typer.Option(help="Only those with this reason.")]
TopicName = Annotated[str | None, typer.Option("--topic", help="Only those that came from this topic: inbox.v1.")]
Since = Annotated[datetime | None, typer.Option(help="Only those dead-lettered since then (UTC).")]


@app.command("list")
def list_command(
    reason: Reason = None,
    topic: TopicName = None,
    since: Since = None,
    each: Annotated[bool, typer.Option("--each", help="Each letter, newest first, not only counts.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many --each shows.")] = 100,
    as_json: Json = False,
) -> None:
    """Count dead letters by reason; with --each name them."""
    entries = _standing(reason, topic, since, quiet=as_json)
    newest = entries[::-1][:limit] if each else []
    if as_json:
        print(json.dumps({"reasons": _by_reason(entries), "letters": [_shape(entry) for entry in newest]}))
    elif not entries:
        print("No dead letters.")
    elif each:
        _show_each(newest, len(entries))
    else:
        _show_reasons(_by_reason(entries))


@app.command()
def show(
    letter: Annotated[str, typer.Argument(help="As `list --each` names it: inbox.v1/3/120.")], as_json: Json = False
) -> None:
    """Show one dead letter: where it came from, why it could not be used, and the original bytes."""
    kafka = read_settings(Settings).kafka

    async def find() -> tuple[Entry, DeadLetter] | None:
        wanted = [entry for entry in await standing(kafka) if letter in (entry.id, entry.former)]
        return await anext(contents(kafka, wanted[-1:]), None) if wanted else None

    with answering(kafka), under_way("Reading the dead letters …", quiet=as_json):
        found = asyncio.run(find())
    if found is None:
        raise BadInput(f"there is no dead letter {letter!r}", do="`headroom dead-letters list --each` names them.")
    shape = _shape(found[0]) | _content(found[1])
    print(json.dumps(shape)) if as_json else _show_whole(shape)


@app.command()
def redrive(
    letters: Annotated[list[str] | None, typer.Argument(help="Letters by name; else all that the options say.")] = None,
    reason: Reason = None,
    topic: TopicName = None,
    since: Since = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many at once.")] = 1000,
    max_attempts: Annotated[int, typer.Option(min=1, help="Leave those that were tried so often.")] = 5,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be put back.")] = False,
    as_json: Json = False,
) -> None:
    """Put dead letters back where they came from, as they came. Fix the reason first; doing it twice does no harm."""
    if not (letters or reason or topic or since or everything):
        raise typer.BadParameter("say which: letters by name, --reason, --topic, --since, or --all")
    entries = _standing(reason, topic, since, quiet=as_json)
    if letters:
        entries = _named(entries, letters)
    choice = choose(entries, limit=limit, most_attempts=max_attempts)
    kafka = read_settings(Settings).kafka
    if not dry_run and choice.back:
        with answering(kafka):
            asyncio.run(put_back(kafka, choice.back))
    _say(choice, dry_run, as_json)


def _standing(reason: str | None, topic: str | None, since: datetime | None, *, quiet: bool) -> list[Entry]:
    kafka = read_settings(Settings).kafka
    with answering(kafka), under_way("Reading the dead letters …", quiet=quiet):
        found = asyncio.run(standing(kafka))
    begin = since.replace(tzinfo=UTC) if since is not None and since.tzinfo is None else since
    return [
        entry
        for entry in found
        if reason in (None, entry.reason) and topic in (None, entry.topic) and (begin is None or entry.at >= begin)
    ]


def _named(entries: Sequence[Entry], letters: Sequence[str]) -> list[Entry]:
    """Those called so; all of them where a topic that was made anew gave one name to several."""
    by_name: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        for name in (entry.id, entry.former):
            if name:
                by_name[name].append(entry)
    if unknown := [name for name in letters if name not in by_name]:
        raise BadInput(f"there is no dead letter {unknown[0]!r}", do="`headroom dead-letters list --each` names them.")
    return list(dict.fromkeys(entry for name in letters for entry in by_name[name]))


def _by_reason(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """Counts by reason and topic, most first."""
    groups: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    for entry in entries:
        groups[entry.reason, entry.topic].append(entry)
    return [
        {
            "reason": reason,
            "topic": topic,
            "letters": len(group),
            "first": group[0].at.isoformat(timespec="seconds"),
            "last": group[-1].at.isoformat(timespec="seconds"),
            "attempts": max(entry.attempts for entry in group),
            "newest": group[-1].id,
            "detail": group[-1].detail,
        }
        for (reason, topic), group in sorted(groups.items(), key=lambda item: -len(item[1]))
    ]


def _shape(entry: Entry) -> dict[str, Any]:
    return {
        "id": entry.id,
        "reason": entry.reason,
        "detail": entry.detail,
        "at": entry.at.isoformat(timespec="seconds"),
        "attempts": entry.attempts,
        "former": entry.former,
    }


def _content(letter: DeadLetter) -> dict[str, Any]:
    headers = {name: value.decode("utf-8", "backslashreplace") for name, value in letter.headers}
    key = None if letter.key is None else letter.key.decode("utf-8", "backslashreplace")
    return {"key": key, "headers": headers, **_decoded(letter.value)}


def _decoded(value: bytes) -> dict[str, str]:
    """The original bytes: as text where they are text, else in base64."""
    try:
        return {"text": value.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _show_reasons(groups: list[dict[str, Any]]) -> None:
    table = Table("letters", "reason", "from", "last", "attempts", "newest", "its detail")
    for group in groups:
        row = [str(group[name]) for name in ("letters", "reason", "topic", "last", "attempts", "newest", "detail")]
        table.add_row(*(escape(cell) for cell in row))
    Console().print(table)


def _show_each(entries: Sequence[Entry], total: int) -> None:
    table = Table("letter", "reason", "at", "attempts", "detail")
    for entry in entries:
        at = entry.at.isoformat(timespec="seconds")
        table.add_row(entry.id, escape(entry.reason), at, str(entry.attempts), escape(entry.detail))
    Console().print(table)
    if total > len(entries):
        print(f"The newest {len(entries)} of {total}; --limit shows more.")


def _show_whole(shape: dict[str, Any]) -> None:
    """Plain text: what came from outside is shown with what a terminal would obey made visible."""
    for name in ("id", "reason", "detail", "at", "attempts", "former", "key"):
        if shape[name] is not None:
            print(f"{name:<9} {_harmless(str(shape[name]))}")
    for name, value in shape["headers"].items():
        print(f"header    {_harmless(name)}: {_harmless(value)}")
    print()
    print(_harmless(shape["text"]) if "text" in shape else f"not text, in base64:\n{shape['base64']}")


def _harmless(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)


def _say(choice: Choice, dry_run: bool, as_json: bool) -> None:
    if as_json:
        left = [{"id": entry.id, "why": why} for entry, why in choice.left]
        print(json.dumps({"put_back": [entry.id for entry in choice.back], "left": left, "dry_run": dry_run}))
        return
    print(f"{len(choice.back)} {'would be put back' if dry_run else 'put back'}.")
    reasons: dict[str, int] = defaultdict(int)
    for _, why in choice.left:
        reasons[why] += 1
    for why, count in reasons.items():
        print(f"{count} left: {why}.")
