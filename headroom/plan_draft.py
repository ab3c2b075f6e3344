"""A first plan from history, as text to go on writing.

Everything that is measured says from how many deals; everything that history cannot say is a gap, marked where it
stands, with a value that makes the draft a sound plan all the same.
"""

import json
import re
from datetime import timedelta
from math import ceil
from typing import Final

from headroom.plan_history import TRAILING, History, ProductSeen

FEW: Final = 20
"""Deals below which a measured figure is marked as from few."""
_GAP: Final = "# GAP:"


def draft(history: History, name: str, currency: str | None = None) -> tuple[str, list[str]]:
    """The text of a plan file, and its gaps: what history cannot say."""
    writer = _Writer()
    money = currency or history.currency
    writer.line(
        f"# A first plan, from {history.deals:,} deals up to {history.last or 'no day'}; measured figures say how many."
    )
    writer.line("# What history cannot say is marked GAP and has a value that stands for nothing. Fill these in.")
    writer.line(f"plan: {name}")
    if money is None:
        writer.gap("currency", "no deal says one")
    writer.line(f"currency: {money or 'EUR'}")
    writer.gap("timezone", "the place whose days and weeks count")
    writer.line("timezone: UTC")
    writer.line("horizon_weeks: 26")
    writer.line("")
    writer.gap("people", "who owns pools, decides, is asked next")
    writer.line("people:\n  owner: {name: Nobody yet}")
    writer.line("\nstages:")
    _stages(writer, history)
    writer.line("")
    writer.gap("pools", "who delivers, how much a week, whose")
    writer.line(
        "pools:\n  delivery: {function: delivery, kind: work, unit: hours, owner: owner, capacity: {per_week: 0}}"
    )
    if history.products:
        writer.line("\nproducts:")
        for product in history.products:
            _product(writer, product)
    _milestones(writer, history)
    return writer.text, writer.gaps


class _Writer:
    def __init__(self) -> None:
        self._lines: list[str] = []
        self.gaps: list[str] = []

    @property
    def text(self) -> str:
        return "\n".join(self._lines) + "\n"

    def line(self, text: str) -> None:
        self._lines.append(text)

    def gap(self, what: str, why: str, indent: int = 0) -> None:
        self.gaps.append(f"{what}: {why}")
        self._lines.append(" " * indent + _one_line(f"{_GAP} {what}: {why}"))


def _stages(writer: _Writer, history: History) -> None:
    for stage in history.stages:
        label = quoted(stage.name)
        said = [f"probability: {_share(stage.probability if stage.probability is not None else 0.5)}"]
        if stage.probability is None:
            writer.gap(f"stages.{stage.name}.probability", f"none of {stage.open:,} deals that were in it has ended", 2)
        else:
            few = ", few" if stage.won + stage.lost < FEW else ""
            counts = f"won {stage.won:,}, lost {stage.lost:,}, open still {stage.open:,}{few}"
            writer.line(f"  # Of the deals that were in it: {counts}. Open ones may never end: mind them.")
        if stage.pushes:
            most = f"at most {stage.latest} days"
            writer.line(f"  # {stage.pushed:,} won deals, by the weeks they closed later than expected; {most}.")
            said.append(f"push_weeks: [{', '.join(_share(push) for push in _rounded(stage.pushes))}]")
            said.append(f"stale_after: {max(stage.latest or 0, 1)}d")
        writer.line(f"  {label}: {{class: open, {', '.join(said)}}}")
    if not history.stages:
        writer.gap("stages", "no deal was seen before it ended", 2)
        writer.line("  open: {class: open, probability: 0.5}")
    for name, kind in history.ends.items():
        writer.line(f"  {quoted(name)}: {{class: {kind}}}")
    if "won" not in history.ends.values():
        writer.gap("stages", "no stage is one of deals won; name it with --won", 2)


def _product(writer: _Writer, product: ProductSeen) -> None:
    few = ", few" if product.won < FEW else ""
    cycles = [
        f"{days:g} days until {kind}"
        for kind, days in (("won", product.cycle_won), ("lost", product.cycle_lost))
        if days is not None
    ]
    writer.line(
        f"  {quoted(product.name)}: # {product.won:,} won{few}{'; median ' if cycles else ''}{', '.join(cycles)}"
    )
    if product.price is not None and product.price > 0:
        writer.line(f"    list_price: {product.price:.10g} # median of one unit, as won: after discounts")
    else:
        writer.gap(f"products.{product.name}.list_price", "no won deal brings an amount", 4)
    writer.line(f"    quantity: {{default: {product.units if product.units and product.units > 0 else 1:g}}}")
    writer.gap(f"products.{product.name}.needs", "what one unit asks of whom, and over how many weeks", 4)
    writer.line("    # needs:\n    #   - {pool: delivery, effort: 10, curve: {shape: rayleigh, weeks: 6}}")


def _milestones(writer: _Writer, history: History) -> None:
    sold = [product for product in history.products if product.recent_units > 0]
    if not sold or history.last is None:
        return
    writer.line("")
    writer.gap("milestones", "what is to be won; below is what the last 13 weeks brought")
    first, last = history.last + timedelta(days=1), history.last + TRAILING
    writer.line("# milestones:")
    for number, product in enumerate(sold, 1):
        goal = f"product: {quoted(product.name)}, from: {first}, due: {last}, quantity: {product.recent_units:g}"
        writer.line(f"#   next-{number}: {{{goal}}}")


def _rounded(shares: list[float]) -> list[float]:
    """To three digits, rounded down: what is missing to one is taken to close a week later."""
    found = [int(share * 1000 + 1e-9) / 1000 for share in shares]
    return found if sum(found) <= 1 else shares


def _share(value: float) -> str:
    return f"{value:.3g}" if value >= 0.001 or value == 0 else f"{ceil(value * 1e6) / 1e6:g}"


def quoted(name: str) -> str:
    """A name as YAML takes it: bare where it can only be a text."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*([ -][A-Za-z0-9_]+)*", name)
    if plain and name.casefold() not in {"yes", "no", "on", "off", "true", "false", "null", "y", "n"}:
        return name
    return "".join(_escaped(sign) for sign in json.dumps(name, ensure_ascii=False))


def _escaped(sign: str) -> str:
    return sign if sign.isprintable() else f"\\U{ord(sign):08x}"


def _one_line(text: str) -> str:
    """For a comment: what would end its line, or is no text, is left out."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
