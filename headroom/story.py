"""A story: what a company's CRM and operations said over some months, told by rules, read into timed CloudEvents.

A story file describes groups of deals by one rule each instead of listing hundreds of events. The same file always
gives the same events: ids are made of the deal and its step, nothing is random.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shared.errors import BadInput
from shared.schemas.deal import DealType
from shared.schemas.plan_values import Duration
from shared.schemas.week import week_of

DEAL_CHANGED = "com.headroom.deal.changed"
CAPACITY_REPORTED = "com.headroom.capacity.reported"
SIGNAL_OBSERVED = "com.headroom.signal.observed"


@dataclass(frozen=True, slots=True)
class Moment:
    """One CloudEvent (structured JSON) and when it happens. ``deal`` is the id of the deal it is about, if any."""

    at: datetime
    event: dict[str, Any]
    deal: str | None = None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _naive(value: datetime) -> datetime:
    if value.tzinfo is not None:
        raise ValueError("times of a story are local times of its time zone, without an offset")
    return value


Local = Annotated[datetime, AfterValidator(_naive)]


class Step(_Part):
    """Deal n enters ``stage`` at ``first`` + n · ``every``."""

    stage: str
    first: Local
    every: Duration

    def at(self, n: int) -> datetime:
        """When deal ``n`` enters the stage, in local time."""
        return self.first + n * self.every


class Lost(_Part):
    """Every ``every``-th deal is lost instead of entering the stage ``before``."""

    every: int = Field(ge=2)
    before: str


class Group(_Part):
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


class Regular(_Part):
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


class When(_Part):
    """A decision falls when the work slips by so much, at the latest so long before its deadline."""

    slip_weeks: float
    before_deadline: Duration


class Contractors(_Part):
    """So many units more in each of ``weeks`` weeks, from ``lead_weeks`` after the decision."""

    amount: float
    weeks: int
    lead_weeks: int


class Answer(_Part):
    """How the owner answers the recalibrations of one trigger."""

    acknowledge_after: Duration
    decide_at: When | None = None
    decide_after: Duration | None = None
    keep_custom: int | None = None
    requote_after: Duration | None = None
    contractors: Contractors | None = None
    action: str
    why: str


class Pace(_Part):
    """How fast the story is played from a day on."""

    day: date
    days_a_second: float = Field(gt=0)


class Chapter(_Part):
    """A sentence for those who watch, from a day on."""

    day: date
    says: str


class Expected(_Part):
    """What the story must come to: weeks that ``work`` slips without the decision, and with it."""

    work: str
    slip_without: float
    slip_with: float
    quiet: str
    """The control quarter, in which nothing may fire."""


class Story(_Part):
    """The whole story; ``moments`` are its events."""

    story: str
    timezone: str
    begins: date
    launch: date
    ends: date
    source: str
    deals: list[Group]
    reports: list[ReportRule] = []
    signals: list[SignalRule] = []
    answers: dict[str, Answer] = {}
    chapters: list[Chapter] = []
    pace: Annotated[list[Pace], Field(min_length=1)]
    expected: Expected

    @cached_property
    def zone(self) -> ZoneInfo:
        """Where the story's local times are."""
        return ZoneInfo(self.timezone)

    def start_of(self, day: date) -> datetime:
        """Midnight at which ``day`` begins there."""
        return datetime(day.year, day.month, day.day, tzinfo=self.zone)

    @property
    def end(self) -> datetime:
        """The moment after the last day."""
        return self.start_of(self.ends + timedelta(days=1))

    def days_a_second(self, moment: datetime) -> float:
        """How fast the story wants to be played at a moment of it."""
        begun = [pace for pace in self.pace if self.start_of(pace.day) <= moment]
        return (begun or self.pace)[-1 if begun else 0].days_a_second

    def deal_id(self, group: Group, n: int) -> str:
        """The id under which the system knows deal ``n`` of a group."""
        return f"{self.source}/{group.id.format(n=n)}"

    @cached_property
    def moments(self) -> list[Moment]:
        """Every event in order of time, the earlier history included."""
        told = [*self._deals(), *self._reports(), *self._signals()]
        return sorted((m for m in told if m.at < self.end), key=lambda m: (m.at, m.event["id"]))

    def requote(self, deal: str, at: datetime) -> Moment:
        """The deal desk offers a deal anew on the standard product."""
        return self._moment(
            DEAL_CHANGED, f"{deal}:requoted", deal.removeprefix(f"{self.source}/"), at, {"custom": False}
        )

    def _deals(self) -> Iterator[Moment]:
        for group in self.deals:
            for n in range(group.count):
                opened: datetime | None = None
                for local, stage in group.steps(n):
                    opened = opened or local
                    known = _whole(group, n, opened.date()) if opened == local else {}
                    object = group.id.format(n=n)
                    at = local.replace(tzinfo=self.zone)
                    yield self._moment(DEAL_CHANGED, f"{object}:{stage}", object, at, {**known, "stage": stage})

    def _reports(self) -> Iterator[Moment]:
        for rule in self.reports:
            for local in rule.times(self.ends):
                week = week_of(local.date())
                data = {
                    "kind": "capacity",
                    "pool": rule.pool,
                    "week": week,
                    "amount": rule.amount,
                    "reporter": rule.reporter,
                }
                object = f"{rule.pool}:{week}"
                yield self._moment(CAPACITY_REPORTED, f"report:{object}", object, local.replace(tzinfo=self.zone), data)

    def _signals(self) -> Iterator[Moment]:
        for rule in self.signals:
            for n, local in enumerate(rule.times(self.ends)):
                value = rule.values[n % len(rule.values)]
                data = {"kind": rule.kind, "pool": rule.pool, "value": value, "period_days": rule.every.days}
                at = local.replace(tzinfo=self.zone)
                yield self._moment(SIGNAL_OBSERVED, f"{rule.kind}:{rule.pool}:{n}", rule.pool, at, data)

    def _moment(self, type: str, id: str, subject: str, at: datetime, data: dict[str, Any]) -> Moment:
        event = {
            "specversion": "1.0",
            "type": type,
            "source": self.source,
            "id": id,
            "subject": subject,
            "time": at.isoformat(),
            "datacontenttype": "application/json",
            "data": data,
        }
        return Moment(at, event, f"{self.source}/{subject}" if type == DEAL_CHANGED else None)


def _whole(group: Group, n: int, opened: date) -> dict[str, Any]:
    """What the CRM says of a deal when it is opened; later events say only what changed."""
    price, custom = group.price(n), group.is_custom(n)
    line = {"product": group.product, "quantity": 1, "amount": price, "list_amount": group.list, "arr": price}
    return {
        "name": group.name.format(n=n),
        "engaged": opened.isoformat(),
        "close": group.close(n).isoformat(),
        "amount": price,
        "currency": "EUR",
        "segment": group.segment,
        "type": group.type,
        "custom": custom,
        "lines": [line],
    }


def read_story(path: Path) -> Story:
    """The story in a YAML file; raises BadInput with the place of what is wrong in it."""
    try:
        raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
        return Story.model_validate(raw)
    except (OSError, YAMLError) as error:
        raise BadInput("the story cannot be read", where=str(path), why=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            "the story does not say what a story must say", where=str(path), why=f"{place}: {first['msg']}"
        ) from error
