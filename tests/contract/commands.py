"""Every ``headroom …`` command that a page or an error text names, and what the real command tree says of it.

The rule. An **instruction** is what somebody types as it stands, so it must be complete: each line of a block of shell;
a span of code after *run*, *then* or an arrow, or under a runbook's *What to do*; and a span in the ``do`` of an error.
Any other span is a **name**: the command and the options it shows must exist and fit, what is required may be missing.
``FILE``, ``PLAN.yaml``, ``<id>`` and ``key_…`` stand for some value, whatever its type; a bare ``…`` for all that is
missing.
"""

import ast
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer

# Typer carries its own Click, whose errors it does not hand out.
from typer._click.exceptions import BadOptionUsage, BadParameter, MissingParameter, UsageError

from headroom.cli import app
from tests.contract.manifests import K8S, ROOT, compose, documents

PLACEHOLDER = re.compile(r"…|\b[A-Z]{2,}\b")
REST = "…"
_BLOCK = re.compile(r"^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`]+)`")
_TOLD = re.compile(r"(?:\b[Rr]uns?|\b[Tt]hen|→)\s*$")
_SHELL = re.compile(r"\bheadroom |\bkafka-|\bdocker compose |\bkubectl ")
_FLAGS = re.compile(r"--?[A-Za-z][a-z-]*(=\S+)?$")


@dataclass(frozen=True, slots=True)
class Told:
    """A command line where it stands; ``whole`` when somebody is told to type it."""

    where: str
    line: str
    whole: bool


# -- where commands are named


def pages() -> list[Path]:
    """Every page that people read."""
    folders = [page for name in ("docs", "examples") for page in (ROOT / name).rglob("*.md")]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(folders)]


def told_by_page(page: Path) -> Iterator[Told]:
    """Lines of shell that run something of ours, and spans of code."""
    where, text = str(page.relative_to(ROOT)), page.read_text()
    for block in _BLOCK.finditer(text):
        if block.group(2) == "sh":
            for line in block.group(3).replace("\\\n", " ").splitlines():
                if _SHELL.search(line):
                    yield Told(where, line.strip(), True)
    prose = _BLOCK.sub("", text)
    for part in re.split(r"^(?=## )", prose, flags=re.MULTILINE):
        todo = part.startswith("## What to do")
        yield from told_by_text(where, part, todo)


def told_by_text(where: str, text: str, todo: bool) -> Iterator[Told]:
    """The spans of a text; all of them are instructions if ``todo``."""
    for span in _SPAN.finditer(text):
        yield Told(where, " ".join(span.group(1).split()), todo or bool(_TOLD.search(text[: span.start()])))


def told_by_errors(source: Path) -> Iterator[Told]:
    """The spans of a module's texts, docstrings aside; those of a ``do`` are instructions."""
    text = source.read_text()
    if not re.search(r"(?<!`)`headroom ", text):
        return  # docstrings have two of them
    tree = ast.parse(text)
    where = str(source.relative_to(ROOT))
    skipped, todo = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            skipped.add(node.value)
        elif isinstance(node, ast.keyword) and node.arg == "do":
            todo.add(node.value)
        elif isinstance(node, ast.JoinedStr):
            skipped.update(node.values)
    for node in ast.walk(tree):
        if node not in skipped and isinstance(node, ast.Constant | ast.JoinedStr):
            yield from told_by_text(where, _text(node), node in todo)


def _text(node: ast.Constant | ast.JoinedStr) -> str:
    parts = [node] if isinstance(node, ast.Constant) else node.values
    return "".join(str(one.value) if isinstance(one, ast.Constant) else REST for one in parts)


# -- what a command line runs


def simple(line: str) -> Iterator[list[str]]:
    """The simple commands of a line of shell, without comments, redirections and variables set for them."""
    line = re.sub(r"^\w+\(\) *\{", "", line).replace('"$@"', REST)  # a function, and what it hands on
    line = re.sub(r"<[a-z][\w -]*>", "VALUE", line)  # else taken for redirections
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    skip = False
    for word in [*lexer, ";"]:
        if set(word) <= set(";&|()"):
            if words:
                yield words
            words, skip = [], False
        elif set(word) <= set("<>"):
            skip = True
        elif skip:
            skip = False
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word)


def within(words: list[str]) -> list[str] | None:
    """The arguments of ``headroom`` in a simple command, also in a container's; None when it runs something else.

    Raises ``LookupError`` when the container's service or workload is none of ours.
    """
    if words[:2] == ["docker", "compose"]:
        words = _past_service(words[2:])
    elif words[:2] == ["kubectl", "exec"]:
        place, _, inner = " ".join(words[2:]).partition(" -- ")
        _known(place.split()[-1].split("/")[-1], workloads())
        words = inner.split()
    return words[1:] if words and words[0].split("/")[-1] == "headroom" else None


def _past_service(words: list[str]) -> list[str]:
    """What ``docker compose run`` or ``exec`` runs; nothing for its other commands, whose services must exist too."""
    positional = [place for place, word in enumerate(words) if not _FLAGS.match(word)]
    if not positional or words[positional[0]] not in ("run", "exec", "stop", "start", "restart", "logs"):
        return []
    first = positional[1]
    _known(words[first], services())
    return words[first + 1 :] if words[positional[0]] in ("run", "exec") else []


def _known(name: str, known: set[str]) -> None:
    if name not in known and not PLACEHOLDER.search(name):
        raise LookupError(f"{name} is none of {', '.join(sorted(known))}")


@cache
def services() -> set[str]:
    """The services of the compose file."""
    return set(compose({"HEADROOM_DATABASE_PASSWORD": "secret"})["services"])


@cache
def workloads() -> set[str]:
    """What runs pods in the Kubernetes base."""
    found = [one for file in (K8S / "base").glob("*.yaml") for one in documents(file)]
    return {one["metadata"]["name"] for one in found if "template" in one.get("spec", {})}


# -- what the command tree says


@cache
def root() -> Any:
    return typer.main.get_command(app)


def wrong(told: Told) -> str | None:
    """What is wrong with the command, in words; None when there is nothing, or nothing of ``headroom``'s in it."""
    try:
        for words in simple(told.line):
            args = within(words)
            if args is not None and (trouble := wrong_arguments(args, told.whole)):
                return trouble
    except (LookupError, ValueError) as error:
        return str(error)
    return None


def wrong_arguments(args: Sequence[str], whole: bool) -> str | None:
    """What ``headroom`` with these arguments would refuse."""
    command, rest = root(), list(args)
    while hasattr(command, "commands"):
        if not rest or rest[0] == REST:
            return "it is only the beginning of a command" if whole and not rest else None
        if rest[0] == "--help":
            return None
        if rest[0] not in command.commands:
            return f"there is no {rest[0]!r}"
        command = command.commands[rest.pop(0)]
    whole = whole and REST not in rest
    rest = [word for word in rest if word not in (REST, "[…]")]
    try:
        command.make_context(command.name, list(rest))  # which empties it
    except (MissingParameter, BadOptionUsage) as error:
        return error.format_message() if whole else None
    except (BadParameter, typer.BadParameter) as error:
        return None if any(PLACEHOLDER.search(word) for word in rest) else error.format_message()
    except UsageError as error:
        return error.format_message()
    except typer.Exit:
        return None  # --help
    return None


def read_by_commands() -> set[str]:
    """The variables that commands take where an option is not given."""
    found, look = set(), [root()]
    while look:
        command = look.pop()
        look += getattr(command, "commands", {}).values()
        found |= {parameter.envvar for parameter in command.params if isinstance(parameter.envvar, str)}
    return found
