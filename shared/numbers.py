"""How numbers are written for people, the same in every table, summary and reason: never as ``1.6e+06``."""

from decimal import Decimal

_FROM = 1e-6
"""What is smaller is what computing with fractions leaves behind, and written as 0."""


def number(value: float, digits: int = 4) -> str:
    """``value`` to so many leading digits, though never without those before the point: ``1,600,000``, ``12.35``."""
    if abs(value) < _FROM:
        return "0"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    written = f"{value:,.{digits}g}"
    return written if "e" not in written else format(Decimal(f"{value:.{digits}g}"), ",f")


def amount(value: float, unit: str) -> str:
    """``value`` in its ``unit``: ``1,600,000 hours``."""
    return f"{number(value)} {unit}".rstrip()


def more(value: float, unit: str) -> str:
    """How much more, or less, something is: ``+40 hours``."""
    return f"{'+' if value > 0 else ''}{amount(value, unit)}"


def exact(value: float) -> str:
    """``value`` with all its digits, as a file says it: two that differ never look the same."""
    return f"{value:.0f}" if value.is_integer() else format(Decimal(repr(value)), "f")
