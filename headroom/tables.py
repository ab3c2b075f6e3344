"""Tables to be read at 80 columns and searched in pipes: no word is cut, and none is broken if it fits."""

import os
from collections.abc import Collection, Iterable, Sequence
from itertools import zip_longest

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

_BETWEEN = 2
"""Blanks between two columns."""
_NO_END = 100_000
"""The width of what is no screen: nothing there is broken over lines."""


def screen() -> Console:
    """Standard output. In a pipe or a file nothing is broken over lines, unless ``COLUMNS`` says how wide it is."""
    console = Console()
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console = Console(width=_NO_END)
    return console


def print_table(
    console: Console,
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    title: str = "",
    whole: Collection[str] = (),
    right: Collection[str] = (),
    more: str = "",
) -> None:
    """Print ``rows`` of marked-up cells beneath the names of their ``columns``, and ``more`` beneath all.

    Where they do not fit beside each other, columns become narrower down to their longest word, those that are
    ``whole`` to their longest line; then the widest, whose words are broken. What is ``right`` is set to that side.
    """
    cells = [tuple(columns), *map(tuple, rows)]
    each = list(zip_longest(*cells, fillvalue=""))
    longest = [max(map(_longest_line, column)) for column in each]
    words = [max(map(_longest_line if column[0] in whole else _longest_word, column)) for column in each]
    room = console.width - _BETWEEN * (len(columns) - 1)
    widths = _fitted(longest, words, room)
    table = Table(
        *(
            Column(name, width=width, overflow="fold", justify="right" if name in right else "left")
            for name, width in zip(columns, widths, strict=True)
        ),
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        leading=int(
            any(_longest_line(cell) > width for row in cells[1:] for cell, width in zip(row, widths, strict=True))
        ),
    )
    for row in cells[1:]:
        table.add_row(*row)
    if title:
        console.print(title, style="bold", highlight=False)
    console.print(table)
    if more:
        console.print(more, highlight=False)
    console.print()


def _longest_line(cell: str) -> int:
    return max((cell_len(line) for line in Text.from_markup(cell).plain.splitlines()), default=0)


def _longest_word(cell: str) -> int:
    return max((cell_len(word) for word in Text.from_markup(cell).plain.split()), default=0)


def _fitted(longest: list[int], words: list[int], room: int) -> list[int]:
    """Widths that fit into ``room``: what is lacking most gets a place more, or what is widest gives one away."""
    if sum(longest) <= room:
        return longest
    widths = list(words)
    while sum(widths) < room:
        lacking = max(range(len(widths)), key=lambda at: longest[at] - widths[at])
        widths[lacking] += 1
    while sum(widths) > max(room, len(widths)):
        widths[max(range(len(widths)), key=widths.__getitem__)] -= 1
    return widths
