"""A test body run a second time, on stock Faust or on what one would do first: there it must fail, and for the reason
given. When it passes there, the hole has closed and its remedy can go."""

from typing import Any

import pytest


def stock(*values: Any, because: str) -> Any:
    """Parameters of the run on stock Faust."""
    return _fails(values, "stock", f"a hole of stock Faust: {because}")


def naive(*values: Any, because: str) -> Any:
    """Parameters of the run on the naive transport."""
    return _fails(values, "naive", f"the naive transport: {because}")


def _fails(values: tuple[Any, ...], name: str, reason: str) -> Any:
    return pytest.param(*values, id=name, marks=pytest.mark.xfail(reason=reason, raises=AssertionError, strict=True))
