"""A story: what a company's CRM and operations said over some months, told by rules, read into timed CloudEvents.

A story file describes groups of deals by one rule each instead of listing hundreds of events. The same file always
gives the same events: ids are made of the deal and its step, nothing is random.
"""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from headroom.files import cannot_be_read
from headroom.story_parts import Answer, Chapter, Expected, Group, Pace, ReportRule, SignalRule, StoryPart
from shared.errors import BadInput
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


class Story(StoryPart):
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
    except OSError as error:
        raise cannot_be_read(path, error, "the story") from None
    except YAMLError as error:
        raise BadInput("the story cannot be read", where=str(path), why=str(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise BadInput(
            "the story does not say what a story must say", where=str(path), why=f"{place}: {first['msg']}"
        ) from error
