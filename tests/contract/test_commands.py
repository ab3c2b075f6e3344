"""What pages and errors tell people to type is what the commands take."""

import re
from functools import cache

import pytest

from tests.contract import commands
from tests.contract.commands import Told, told_by_errors, told_by_page, wrong
from tests.contract.manifests import ROOT

KAFKA_TOOL = re.compile(r"(?:\S*/)?kafka-[a-z-]+\.sh$")


@cache
def told_by_pages() -> list[Told]:
    return [told for page in commands.pages() for told in told_by_page(page)]


def found(everything: list[Told]) -> list[str]:
    return [f"{told.where}: {told.line!r}: {trouble}" for told in everything if (trouble := wrong(told))]


def test_commands_that_pages_name_are_what_the_command_takes() -> None:
    everything = told_by_pages()
    ours = [told for told in everything if "headroom " in told.line]
    assert len(ours) > 80
    assert sum(told.whole for told in ours) > 40
    assert found(everything) == []


def test_commands_that_errors_name_are_what_the_command_takes() -> None:
    sources = [source for folder in ("headroom", "shared", "services") for source in (ROOT / folder).rglob("*.py")]
    everything = [told for source in sources for told in told_by_errors(source)]
    assert sum("headroom " in told.line for told in everything) > 25
    assert found(everything) == []


def test_tools_of_kafka_are_told_which_broker() -> None:
    looked = 0
    for told in told_by_pages():
        for words in commands.simple(told.line) if "kafka-" in told.line else ():
            at = [number for number, word in enumerate(words) if KAFKA_TOOL.match(word)]
            if at and (told.whole or len(words) > at[0] + 1):
                looked += 1
                assert {"$KAFKA", "--bootstrap-server"} & set(words), f"{told.where}: {told.line}"
    assert looked >= 4


@pytest.mark.parametrize(
    ("line", "whole", "says"),
    [
        ("headroom rebuild all", True, None),
        ("headroom rebuild", True, "Missing argument"),
        ("headroom rebuild", False, None),
        ("headroom rebuild …", True, None),
        ("headroom rebuild everything", False, "everything"),
        ("headroom rebuild WHAT", True, None),
        ("headroom rebuild all --force", False, "--force"),
        ("headroom rebuild all now", True, "now"),
        ("headroom rebild", False, "rebild"),
        ("headroom topics", True, "beginning"),
        ("headroom topics", False, None),
        ("headroom load deals FILE.csv", True, "--map"),
        ("headroom load deals FILE.csv --map", False, None),
        ("headroom load deals FILE.csv --map", True, "--map"),
        ("headroom load deals a.csv --map b.yaml  # isn't it?", True, None),
        ("A=1 headroom topics apply && headroom migrate > out", True, None),
        ("headroom topics apply && headroom migrat", True, "migrat"),
        ("docker compose run --rm --no-deps setup headroom rebuild all", True, None),
        ("docker compose run --rm setup headroom rebuild", True, "Missing argument"),
        ("docker compose exec nobody headroom rebuild all", True, "nobody"),
        ("docker compose exec kafka bash", True, None),
        ("kubectl exec -it deploy/tools -- headroom rebuild", True, "Missing argument"),
        ("kubectl exec -it deploy/nobody -- headroom rebuild all", True, "nobody"),
        ("head room", True, None),
    ],
)
def test_what_is_wrong_is_found(line: str, whole: bool, says: str | None) -> None:
    trouble = wrong(Told("here", line, whole))
    assert trouble is None if says is None else says in (trouble or "nothing")


def test_who_is_told_and_what_is_only_named() -> None:
    text = "`headroom rebuild` does it. Run `headroom rebuild all`. It went away → `headroom migrate`."
    assert [told.whole for told in commands.told_by_text("here", text, False)] == [False, True, True]
