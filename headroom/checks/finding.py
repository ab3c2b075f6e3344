"""What a look at one thing came to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "problem", "unknown"]


@dataclass(frozen=True, slots=True)
class Finding:
    """``what`` was found of ``check``; unless it is ok, what that ``means`` and what to ``do`` next.

    A ``note`` asks for nothing. ``unknown`` is what could not be looked at because something else is a problem.
    """

    check: str
    state: State
    what: str
    means: str = ""
    do: str = ""


def exit_code(findings: Iterable[Finding], reached: bool) -> int:
    """0 all is well, 3 there are problems, 5 nothing answers at all."""
    if not reached:
        return 5
    return 3 if any(finding.state == "problem" for finding in findings) else 0
