"""Every error that Headroom raises on purpose.

::

    HeadroomError
    ├── ConfigurationError     a setting is missing or contradicts another
    ├── PlanError              a plan file does not say what a plan must say
    ├── BadInput               something from outside cannot be used
    ├── NotReady               a part that is needed does not answer yet
    └── LogRewound             a topic ends before what was already applied

The docstring of each is its general meaning; the instance says what, where, why and what to do next.
"""

from dataclasses import dataclass


class HeadroomError(Exception):
    """Something went wrong that Headroom can name.

    ``what`` happened, ``where`` (file, topic, address), ``why``, and what to ``do`` next; empty parts are left out.
    """

    def __init__(self, what: str, *, where: str = "", why: str = "", do: str = "") -> None:
        self.what, self.where, self.why, self.do = what, where, why, do
        super().__init__(what)

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f" ({self.why})"
        return f"{text}. {self.do}" if self.do else text


class ConfigurationError(HeadroomError):
    """A setting is missing or contradicts another."""


class BadInput(HeadroomError):
    """Something that came from outside cannot be used; it becomes a problem answer or a dead letter."""


class NotReady(HeadroomError):
    """A part that is needed does not answer yet."""


class LogRewound(HeadroomError):
    """A topic ends before what was already applied: it was recreated or truncated."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place in a text file, lines and columns counted from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """One thing that is wrong in a plan: where, what, and what would be allowed there."""

    place: Place
    message: str
    path: str = ""
    excerpt: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}"
        if self.excerpt:
            text += f"\n    {self.excerpt}\n    {' ' * (self.place.column - 1)}^"
        return text


class PlanError(HeadroomError):
    """A plan file does not say what a plan must say; ``problems`` lists every place, in the file's order."""

    def __init__(self, problems: list[PlanProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))
