"""What if: changes to deals, capacity or the plan that are laid over the live book and never touch it.

These are the parts of an overlay as types, for ``POST /v1/what-if`` and for the YAML file of ``headroom what-if``,
which have the same shape.
"""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

import re
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from shared.schemas.deal import DealType
from shared.schemas.plan_values import Amount, Day, Label, Name, Part, Positive, Share, Week
from shared.schemas.week import add_weeks, monday

DEEPEST: Final = 40
_UNREADABLE: Final = re.compile("[\x00\ud800-\udfff]")

MOST_WEEKS: Final = 520
"""Weeks that a list or a span may name."""


def _weeks(value: Any) -> Any:
    """``2026-W14`` and ``2026-W14..2026-W20`` as the list of weeks they mean."""
    if not isinstance(value, str):
        return value
    first, dots, last = value.partition("..")
    try:
        count = (monday(last if dots else first) - monday(first)).days // 7 + 1
    except ValueError:
        raise ValueError("weeks are written as 2026-W14, as 2026-W14..2026-W20, or as a list of weeks") from None
    if not 0 < count <= MOST_WEEKS:
        raise ValueError(f"from {first} to {last} are {max(count, 0)} weeks; 1 to {MOST_WEEKS} are possible")
    return [add_weeks(first, number) for number in range(count)]


_WEEK = r"[0-9]{4}-W[0-9]{2}"

WeekSpan = Annotated[
    list[Week],
    BeforeValidator(_weeks),
    Field(min_length=1, max_length=MOST_WEEKS),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": rf"^{_WEEK}(\.\.{_WEEK})?$", "examples": ["2026-W14..2026-W20"]},
                {"type": "array", "items": {"type": "string", "pattern": f"^{_WEEK}$"}, "minItems": 1},
            ]
        }
    ),
]
"""Weeks, written ``2026-W14``, ``2026-W14..2026-W20`` (both included) or as a list."""

DealId = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]
Money = Annotated[float, Field(ge=-1e15, le=1e15)]
Quantity = Annotated[float, Field(ge=0, le=1e12)]


class Which(Part):
    """Which deals are meant: those of which everything holds that is said.

    Open ones only, unless ``ids``, ``stages`` or ``class`` is said. All but ``ids`` go by line, so that of a deal with
    several products only some lines may be meant.
    """

    ids: Annotated[list[DealId], Field(min_length=1, max_length=1000)] | None = None
    """These deals, by id: ``source/object``."""
    segments: Annotated[list[str], Field(min_length=1, max_length=200)] | None = None
    products: Annotated[list[Label], Field(min_length=1, max_length=200)] | None = None
    stages: Annotated[list[Label], Field(min_length=1, max_length=200)] | None = None
    class_: Literal["open", "won"] | None = Field(None, alias="class")
    """Of the stage, by the plan in force."""
    types: Annotated[list[DealType], Field(min_length=1)] | None = None
    custom: bool | None = None
    closing: WeekSpan | None = None
    """Closing in these weeks."""

    @model_validator(mode="after")
    def _says_something(self) -> "Which":
        if not self.model_fields_set:
            raise ValueError(
                "say which deals are meant: ids, segments, products, stages, class, types, custom, closing"
            )
        return self


class DealChange(Part):
    """What happens to some deals. At least one thing does; several happen to the same deals at once."""

    of: Which
    outcome: Literal["won", "lost"] | None = None
    """Won on its close date, or in the present week where that is past; or lost."""
    stage: Label | None = None
    """Another stage of the plan."""
    close: Day | None = None
    """Another close date."""
    close_later_weeks: Annotated[int, Field(ge=-104, le=104)] | None = None
    """So many weeks later than now expected; negative: sooner. Deals without a close date stay without."""
    probability: Share | None = None
    """Won with this probability, whatever the stage says; open deals only."""
    custom: bool | None = None
    discount: Annotated[float, Field(ge=-1, lt=1)] | None = None
    """Off the price they have now, 0.2 for 20 %; negative: a rise. Effort stays as it is."""
    volume: Annotated[float, Field(gt=0, le=100)] | None = None
    """So many times as many of them: 1.33 is a third more, with the effort that it takes."""

    @model_validator(mode="after")
    def _does_something(self) -> "DealChange":
        if self.model_fields_set <= {"of"}:
            raise ValueError(
                "say what happens: outcome, stage, close, close_later_weeks, probability, custom, discount or volume"
            )
        if self.outcome is not None and (self.stage, self.probability) != (None, None):
            raise ValueError("a deal with an outcome is in no other stage and has no probability")
        if self.close is not None and self.close_later_weeks is not None:
            raise ValueError("say close or close_later_weeks, not both")
        return self


class NewLine(Part):
    """One product of a new deal. Money is in the plan's currency."""

    product: Label
    quantity: Quantity | None = None
    """In units; absent: what the plan says of a line with this amount."""
    amount: Money | None = None
    list_amount: Money | None = None
    arr: Money | None = None


class NewDeal(Part):
    """A deal that is not there yet."""

    id: DealId | None = None
    """What the answer calls it; absent: ``what-if/1``, ``what-if/2`` …"""
    stage: Label
    close: Day
    lines: Annotated[list[NewLine], Field(min_length=1, max_length=100)]
    probability: Share | None = None
    """Absent: its stage's."""
    segment: Annotated[str, Field(max_length=200)] = ""
    type: DealType = "new"
    custom: bool = False


class CapacityChange(Part):
    """One thing that happens to a pool's capacity, as a report or a decision would say it."""

    pool: Name
    weeks: WeekSpan | None = None
    hire: Positive | None = None
    """So many people, whose first day is ``start``; they ramp up as the pool's ``hire`` says."""
    start: Day | None = None
    absence: Amount | None = None
    """So much of the pool's unit less in each of ``weeks``."""
    capacity: Amount | None = None
    """So much in each of ``weeks``, instead of what plan and reports say."""
    more: float | None = None
    """So much more in each of ``weeks``, as decided overtime or contractors would bring; negative: less."""
    backlog: Amount | None = None
    """So much undone work at the start of each of ``weeks``."""

    @model_validator(mode="after")
    def _one_thing(self) -> "CapacityChange":
        said = [name for name in ("hire", "absence", "capacity", "more", "backlog") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError(f"say one of hire, absence, capacity, more, backlog, not {' and '.join(said) or 'none'}")
        if said == ["hire"]:
            if self.start is None or self.weeks is not None:
                raise ValueError("a hire says start, the first day, and no weeks")
        elif self.weeks is None or self.start is not None:
            raise ValueError(f"{said[0]} says in which weeks, and no start")
        return self


def _readable(value: Any, depth: int = 0) -> Any:
    """Refuse what no database, plan or answer can hold, wherever it stands."""
    if depth > DEEPEST:
        raise ValueError(f"nested deeper than {DEEPEST} levels")
    if isinstance(value, str) and _UNREADABLE.search(value):
        raise ValueError("text with characters that no text has")
    if isinstance(value, dict):
        for key, each in value.items():
            _readable(key, depth + 1)
            _readable(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _readable(each, depth + 1)
    return value


class WhatIf(Part):
    """An overlay: what is changed, in this order — the plan, capacity, deals (one change after the other), new ones."""

    what_if: Annotated[str, Field(max_length=200)] | None = None
    """What it is called, for whoever reads the answer."""
    plan_changes: dict[str, Any] | None = None
    """Parts of the plan in force to replace: mappings are gone into, everything else is replaced, null takes away."""
    plan_text: str | None = None
    """A whole plan file to hold the book against instead of the plan in force."""
    capacity: Annotated[list[CapacityChange], Field(max_length=1000)] = []
    deals: Annotated[list[DealChange], Field(max_length=200)] = []
    new_deals: Annotated[list[NewDeal], Field(max_length=500)] = []

    @model_validator(mode="before")
    @classmethod
    def _can_be_read(cls, value: Any) -> Any:
        return _readable(value)

    @model_validator(mode="after")
    def _changes_something(self) -> "WhatIf":
        if not (self.plan_changes or self.plan_text or self.capacity or self.deals or self.new_deals):
            raise ValueError("nothing is changed: say plan_changes, plan_text, capacity, deals or new_deals")
        if self.plan_changes is not None and self.plan_text is not None:
            raise ValueError("say plan_changes or plan_text, not both")
        return self
