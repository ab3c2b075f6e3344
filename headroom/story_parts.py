"""The parts of a story file: rules for deals, reports and signals, how owners answer, and what it must come to."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from shared.schemas.deal import DealType
from shared.schemas.plan_values import Duration


class StoryPart(BaseModel):
    """A part of the file; a name that it does not have is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _naive(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError("times of a story are local times of its time zone, without an offset")
    return value


Local = Annotated[datetime, AfterValidator(_naive)]


class Step(StoryPart):
    """Deal n enters ``stage`` at ``first`` + n · ``every``."""

    stage: str
    first: Local
    every: Duration

    def at(self, n: int) -> datetime:
        """When deal ``n`` enters the stage, in local time."""
        return self.first + n * self.every


class Lost(StoryPart):
    """Every ``every``-th deal is lost instead of entering the stage ``before``."""

    every: int = Field(ge=2)
    before: str


class Group(StoryPart):
    """Deals that one rule describes; ``discounts`` run evenly from the first deal to the last."""

    group: str
    id: str
    name: str
    count: int = Field(ge=1)
    product: str
    type: DealType
    segment: str
    list: float = Field(gt=0)
    discounts: tuple[float, float]
    custom: Literal["all"] | Sequence[int] = ()
    path: Annotated[Sequence[Step], Field(min_length=1)]
    lost: Lost | None = None

    def is_custom(self, n: int) -> bool:
        """Whether deal ``n`` is sold with custom configuration."""
        return self.custom == "all" or n in self.custom

    def price(self, n: int) -> float:
        """What deal ``n`` is offered for: list price less its discount, in whole units of money."""
        first, last = self.discounts
        share = n / (self.count - 1) if self.count > 1 else 0.0
        return float(round(self.list * (1 - first - (last - first) * share)))

    def close(self, n: int) -> date:
        """The day on which deal ``n`` is expected to close, and in the end does."""
        return self.path[-1].at(n).date()

    def steps(self, n: int) -> Iterator[tuple[datetime, str]]:
        """When deal ``n`` enters which stage, in order."""
        for step in self.path:
            if self.lost and step.stage == self.lost.before and n % self.lost.every == self.lost.every - 1:
                yield step.at(n), "lost"
                return
            yield step.at(n), step.stage


class Regular(StoryPart):
    """Something said again and again: at ``first`` + n · ``every``, to the story's end."""

    pool: str
    first: Local
    every: Duration

    def times(self, ends: date) -> Iterator[datetime]:
        """All of its local times before the day after ``ends``."""
        at = self.first
        while at.date() <= ends:
            yield at
            at += self.every


class ReportRule(Regular):
    """The owner confirms the week's capacity."""

    amount: float
    reporter: str


class SignalRule(Regular):
    """Operations measure; ``values`` are taken in turn."""

    kind: str
    values: Annotated[list[float], Field(min_length=1)]


class When(StoryPart):
    """A decision falls when the work slips by so much, at the latest so long before its deadline."""

    slip_weeks: float
    before_deadline: Duration


class Contractors(StoryPart):
    """So many units more in each of ``weeks`` weeks, from ``lead_weeks`` after the decision."""

    amount: float
    weeks: int
    lead_weeks: int


class Answer(StoryPart):
    """How the owner answers the recalibrations of one trigger."""

    acknowledge_after: Duration
    decide_at: When | None = None
    decide_after: Duration | None = None
    keep_custom: int | None = None
    requote_after: Duration | None = None
    contractors: Contractors | None = None
    action: str
    why: str


class Pace(StoryPart):
    """How fast the story is played from a day on."""

    day: date
    days_a_second: float = Field(gt=0)


class Chapter(StoryPart):
    """A sentence for those who watch, from a day on."""

    day: date
    says: str


class Expected(StoryPart):
    """What the story must come to: weeks that ``work`` slips without the decision, and with it."""

    work: str
    slip_without: float
    slip_with: float
    quiet: str
    """The control quarter, in which nothing may fire."""
