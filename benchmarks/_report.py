"""How every benchmark reports: tables for people, or with ``--json`` one object and nothing else on standard output.

The object is ``{"figures": […], "bars": […]}``. A figure is a row with a ``name``. A bar has ``name``, ``value``,
``bar`` and ``holds``; one that could not be measured has ``value`` and ``holds`` null and a ``reason``.
"""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.table import Table

Row = dict[str, Any]


@dataclass(frozen=True)
class Bar:
    """A figure beside what it has to be: at least ``bar``, or at most when ``at_most``."""

    name: str
    value: float | None
    bar: float
    at_most: bool = False
    reason: str | None = None
    """Why there is no value."""

    @property
    def holds(self) -> bool | None:
        """Whether the value is on the right side; None when there is none."""
        if self.value is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar

    def row(self) -> Row:
        """As it is printed in JSON."""
        row: Row = {"name": self.name, "value": self.value, "bar": self.bar, "holds": self.holds}
        if self.at_most:
            row["at_most"] = True
        if self.reason is not None:
            row["reason"] = self.reason
        return row


@dataclass
class Report:
    """What a benchmark found."""

    figures: list[Row] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)

    def figure(self, name: str, **values: Any) -> None:
        """Add a row."""
        self.figures.append({"name": name, **values})

    def named(self, name: str) -> list[Row]:
        """The rows of that name."""
        return [row for row in self.figures if row["name"] == name]


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least ``share`` of all are not above; NaN of nothing."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def arguments(name: str, doc: str | None) -> argparse.ArgumentParser:
    """The command line that all benchmarks share."""
    parser = argparse.ArgumentParser(
        prog=f"make bench B={name}", description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    return parser


def table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Rows of one shape as a table; numbers get three or four digits."""
    made = Table()
    columns = list(dict.fromkeys(key for row in rows for key in row if key != "name"))
    named = any("name" in row for row in rows)
    if named:
        made.add_column("")
    for column in columns:
        made.add_column(column, justify="right")
    for row in rows:
        cells = [shown(row.get(column)) for column in columns]
        made.add_row(*([str(row["name"]), *cells] if named else cells))
    return made


def shown(value: Any) -> str:
    """A value as a person reads it."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "–" if value is None else str(value)


def present(options: argparse.Namespace, measure: Callable[[Console], Report], titles: Mapping[str, str]) -> int:
    """Measure and print; 1 when a bar does not hold.

    ``titles`` says, for people, what the figures of a name show; those it leaves out make one table.
    """
    # What is said on the way goes to standard error, so that standard output holds the result alone.
    console = Console(stderr=options.json, width=None if sys.stdout.isatty() else 120)
    started = perf_counter()
    report = measure(console)
    if options.json:
        print(json.dumps({"figures": report.figures, "bars": [bar.row() for bar in report.bars]}))
    else:
        _show(report, titles, console)
        console.print(f"{perf_counter() - started:.0f} s in all, on {_machine()}")
    return 1 if any(bar.holds is False for bar in report.bars) else 0


def _show(report: Report, titles: Mapping[str, str], console: Console) -> None:
    for name, title in titles.items():
        if rows := report.named(name):
            console.print(title, table([{key: value for key, value in row.items() if key != "name"} for row in rows]))
    if others := [row for row in report.figures if row["name"] not in titles]:
        console.print(table(others))
    for bar in report.bars:
        sign, word = ("≤" if bar.at_most else "≥"), {True: "holds", False: "FAILS", None: "not measured"}[bar.holds]
        why = f": {bar.reason}" if bar.reason else ""
        console.print(f"{word:>12}  {bar.name} = {shown(bar.value)} (bar {sign} {bar.bar:g}){why}")


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
