"""Published figures are rounded, so that the same book gives the same figures whatever the order of its sums."""

from typing import Final

_NOTHING: Final = 1e-9


def figure(value: float) -> float:
    """``value`` to nine significant digits; what is nearly nothing is nothing."""
    return 0.0 if -_NOTHING < value < _NOTHING else float(f"{value:.9g}")
