"""The series that the code declares, read from the sources: what a page, a rule or a dashboard may name.

``python -m tests.contract.declared`` writes ``docs/guide/metrics.md`` anew.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "docs" / "guide" / "metrics.md"
KINDS = ("Counter", "Gauge", "Histogram", "Summary", "Info", "Enum")

PLACES = {
    "shared/telemetry.py": "Every process",
    "shared/streams/metrics.py": "Every process that reads the log: all but door",
    "services/ingest/metrics.py": "door, normalise",
    "services/capacity/metrics.py": "fold, project, views",
    "services/triggers/metrics.py": "triggers",
    "services/notifier/metrics.py": "notifier",
}
"""Where series may be declared, and who serves them."""

PROCESSES = {
    "door_series": "door",
    "normalise_series": "normalise",
    "fold_series": "fold",
    "project_series": "project",
    "views_series": "views",
    "trigger_series": "triggers",
    "notifier_series": "notifier",
    "stream_series": "all but door",
    "": "all",
}
"""Who serves a registry, by the registry's name in the code."""


@dataclass(frozen=True)
class Series:
    """One declaration. ``name`` is the family's as the text format shows it after ``# TYPE``."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]
    registry: str
    place: str

    @property
    def samples(self) -> set[str]:
        """The names that a query can select."""
        if self.kind == "histogram":
            return {self.name + suffix for suffix in ("_bucket", "_sum", "_count")}
        return {self.name}


def constructions(tree: ast.AST) -> Iterator[ast.Call]:
    """Every call in ``tree`` that makes a metric of prometheus_client, under whatever name it was imported."""
    names: set[str] = set()
    modules: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client"):
            names |= {alias.asname or alias.name for alias in node.names if alias.name in KINDS}
            modules |= {alias.asname or alias.name for alias in node.names if alias.name == "metrics"}
        if isinstance(node, ast.Import):
            modules |= {
                alias.asname or alias.name.split(".")[0]
                for alias in node.names
                if alias.name.split(".")[0] == "prometheus_client"
            }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in names:
            yield node
        if isinstance(called, ast.Attribute) and called.attr in KINDS and _root(called) in modules:
            yield node


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def declared() -> list[Series]:
    """Every declaration, in the order of the code."""
    return [_series(call, place) for place in PLACES for call in constructions(ast.parse((ROOT / place).read_text()))]


def _series(call: ast.Call, place: str) -> Series:
    assert isinstance(call.func, ast.Name)
    kind = call.func.id.lower()
    name, help, *labels = [ast.literal_eval(argument) for argument in call.args]
    keywords = {keyword.arg: keyword.value for keyword in call.keywords}
    registry = keywords.get("registry")
    named = registry.id if isinstance(registry, ast.Name) and registry.id.endswith("_series") else ""
    exposed = f"{name}_info" if kind == "info" else name
    return Series(exposed, kind, help, tuple(labels[0]) if labels else (), named, place)


def sources() -> Iterator[Path]:
    """Every module of the product."""
    for package in ("shared", "services", "headroom"):
        yield from sorted((ROOT / package).rglob("*.py"))


def table() -> str:
    """The page of all series."""
    lines = [
        "# Metrics",
        "",
        "Every series that Headroom's processes serve on `/metrics`, generated from where they are declared",
        "(`python -m tests.contract.declared`). Times are in seconds. A histogram has `_bucket`, `_sum` and `_count`.",
        "Besides these each process serves `python_*` and `process_*` of the Prometheus client.",
        "",
        "**Which clock.** A latency that says *wall time* is real time whatever `HEADROOM_CLOCK__AS_OF` says: it is",
        "measured from the time of a record on the log. What says *the system's clock* is in virtual seconds while a",
        "virtual clock runs.",
    ]
    every = declared()
    for place, who in PLACES.items():
        lines += ["", f"## {who}", "", f"Declared in `{place}`.", "", "| series | kind | labels | served by | what |"]
        lines += ["|---|---|---|---|---|"]
        for one in every:
            if one.place == place:
                labels = ", ".join(f"`{label}`" for label in one.labels)
                lines.append(f"| `{one.name}` | {one.kind} | {labels} | {PROCESSES[one.registry]} | {one.help} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    TABLE.write_text(table())
