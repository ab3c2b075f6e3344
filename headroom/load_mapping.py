"""What a CSV's columns mean: the mapping file, read with line and column like a plan.

One row is one deal with one line. Its events say, at a day that a column holds, what was then true; each is sent with
the start of that day in UTC as its time.
"""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

import json
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from shared.errors import BadInput, ConfigurationError, PlanProblem
from shared.schemas.plan_kinds import other_kind
from shared.schemas.plan_problems import Problems
from shared.schemas.plan_values import Day, Duration, Label, Name, Part
from shared.schemas.plan_words import findings
from shared.schemas.plan_yaml import Document, Path, Spot, Unreadable, read_yaml

DATES = ("close", "engaged", "rate_date")
NUMBERS = ("amount", "rate", "probability", "quantity", "list_amount", "arr")
OF_THE_LINE = ("product", "quantity", "list_amount", "arr")
"""Fields that go into the deal's one line; the deal's amount is its line's."""

DealField = Literal[
    "name", "stage", "close", "engaged", "amount", "currency", "rate", "rate_date", "segment", "type", "custom",
    "probability", "owner", "account", "product", "quantity", "list_amount", "arr",
]  # fmt: skip

DELIMITERS = (",", ";", "\t", "|")
"""What lies between the cells of the CSVs that there are."""

FIRST_DAY = "first-day"
"""Instead of a column: the earliest day of any event in the file, for rows that say no day."""

When = dict[Label, Annotated[list[str], Field(min_length=1)]]
"""Column → the values, after aliases, with which it applies."""


class MappingError(ConfigurationError):
    """A mapping file does not say what is needed; ``problems`` lists every place."""

    def __init__(self, problems: list[PlanProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class UnfitCsv(BadInput):
    """A CSV has not the columns that the mapping names; ``problems`` lists where it names them."""

    def __init__(self, problems: list[PlanProblem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Value(Part):
    """Where a field's value comes from: a column, a constant, or a day plus the cycle observed until then.

    An empty cell, or a ``when`` that does not apply, says nothing of the field.
    """

    column: Label | None = None
    value: str | float | bool | None = None
    cycle_after: Label | None = None
    when: When = {}

    @model_validator(mode="after")
    def _one_source(self) -> "Value":
        if sum(given is not None for given in (self.column, self.value, self.cycle_after)) != 1:
            raise ValueError("this says one of column, value and cycle_after")
        return self


def _column(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


Source = Annotated[Value, BeforeValidator(_column)]
"""A ``Value``; a bare text is a column's name."""


class Cycle(Part):
    """How long a deal takes: the median of the days between two columns over the rows whose second day lies before.

    Only what was known counts: for a deal of day d the rows with ``to`` before d. While fewer than ``at_least`` rows
    are known, ``until_then`` is assumed.
    """

    from_: Label = Field(alias="from")
    to: Label
    at_least: Annotated[int, Field(ge=1)] = 30
    until_then: Duration


class DatedEvent(Part):
    """What a row says at one day. ``on`` is a column of days or ``first-day``; ``set`` the fields that become known."""

    name: Name
    on: Label
    when: When = {}
    set: Annotated[dict[DealField, Source], Field(min_length=1)]


class Mapping(Part):
    """The whole mapping. ``fields`` are said with every event, before its own ``set``; ``defaults`` before both."""

    name: Name
    """The events' source is ``csv:`` and this."""
    id: Label
    """The column that names the deal."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    date_format: str = "%Y-%m-%d"
    as_of: Day | None = None
    fields: dict[DealField, Source] = {}
    defaults: dict[DealField, str | float | bool] = {}
    aliases: dict[Label, dict[str, str]] = {}
    """Column → what it says → what is meant."""
    cycle: Cycle | None = None
    events: Annotated[list[DatedEvent], Field(min_length=1, max_length=20)]

    @model_validator(mode="after")
    def _consistent(self) -> "Mapping":
        names = [event.name for event in self.events]
        if len(set(names)) < len(names):
            raise ValueError("two events have the same name")
        wants_cycle = any(value.cycle_after for event in self.events for value in event.set.values())
        if wants_cycle and self.cycle is None:
            raise ValueError("cycle_after needs a cycle: from which column to which")
        return self

    @property
    def source(self) -> str:
        """The CloudEvents source of everything loaded with it."""
        return f"csv:{self.name}"

    def said_with(self, event: DatedEvent) -> dict[str, Value]:
        """The fields that an event of a row says, and where their values come from."""
        return {str(name): source for name, source in {**self.fields, **event.set}.items()}

    def columns(self) -> Iterator[tuple[str, Path]]:
        """Every column that it names, with the path in the file where it does."""
        yield self.id, ("id",)
        yield from _columns_of(self.fields, ("fields",))
        yield from ((column, ("aliases", column)) for column in self.aliases)
        if self.cycle:
            yield from ((self.cycle.from_, ("cycle", "from")), (self.cycle.to, ("cycle", "to")))
        for at, event in enumerate(self.events):
            if event.on != FIRST_DAY:
                yield event.on, ("events", at, "on")
            yield from ((column, ("events", at, "when", column)) for column in event.when)
            yield from _columns_of(event.set, ("events", at, "set"))


def _columns_of(fields: "dict[DealField, Source]", path: Path) -> Iterator[tuple[str, Path]]:
    for field, value in fields.items():
        for key, column in (("column", value.column), ("cycle_after", value.cycle_after)):
            if column is not None:
                yield column, (*path, field, key)
        yield from ((column, (*path, field, "when", column)) for column in value.when)


class MappingFile:
    """A mapping with its text, so that what does not fit the CSV can be shown where it is written."""

    def __init__(self, mapping: Mapping, document: Document, text: str, file: str) -> None:
        self.mapping, self._document, self._text, self._file = mapping, document, text, file

    def check_header(self, header: list[str], csv: str) -> None:
        """Raises UnfitCsv, naming each column that is mapped and missing in the CSV."""
        problems = Problems(self._text, self._file)
        for column, path in self.mapping.columns():
            if column not in header:
                message = f"{csv} has no column {column!r}; its columns are {', '.join(header)}{self._hint(header)}"
                problems.add(self._spot(path), message, path)
        if problems.found:
            raise UnfitCsv(problems.in_order())

    def _hint(self, header: list[str]) -> str:
        """What a header of one cell most likely means: the CSV's cells are kept apart by something else."""
        others = [one for one in DELIMITERS if len(header) == 1 and one in header[0] and one != self.mapping.delimiter]
        if not others:
            return ""
        shown = json.dumps(max(others, key=header[0].count))
        return f". It is one column; if {shown} is what lies between cells, the mapping says so: delimiter: {shown}"

    def _spot(self, path: Path) -> Spot:
        """Where the column at ``path`` is named: as a key, as a value, or as the bare text that stands for one."""
        if path[-2:-1] in (("when",), ("aliases",)):
            return self._document.spot(path, key=True)
        return self._document.spot(path if path in self._document.values else path[:-1])


def parse_mapping(text: str, file: str) -> MappingFile:
    """The mapping in ``text``; raises MappingError with every problem found, whatever the text."""
    problems = Problems(text, file)
    try:
        document = read_yaml(text)
    except Unreadable as stop:
        problems.add(stop.spot, stop.why)
        raise MappingError(problems.in_order()) from None
    if (instead := other_kind(document.data, "mapping")) is not None:
        problems.add((1, 1), instead)
        raise MappingError(problems.in_order())
    for spot, why in document.problems:
        problems.add(spot, why)
    try:
        mapping = Mapping.model_validate(document.data)
    except ValidationError as error:
        for path, message, about_key in findings(error, document.data, Mapping.model_json_schema(by_alias=True)):
            problems.add(document.spot(path, key=about_key), message, path)
        raise MappingError(problems.in_order()) from None
    if problems.found:
        raise MappingError(problems.in_order())
    return MappingFile(mapping, document, text, file)
