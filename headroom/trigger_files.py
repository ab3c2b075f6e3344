"""Test files of triggers: which plan, what is seen at which times, and what is expected of its triggers then.

The parts as types, and how a file becomes them, with file, line and column of everything that is wrong in it.
"""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path as File
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from headroom.plan import read_text
from headroom.trigger_forecasts import Forecasted
from shared.errors import PlanError
from shared.schemas.episode import Phase, Severity
from shared.schemas.frame import BookingState, ListedDeal, MilestoneState
from shared.schemas.plan import Plan
from shared.schemas.plan_file import parse_plan
from shared.schemas.plan_kinds import other_kind
from shared.schemas.plan_problems import Problems
from shared.schemas.plan_values import Amount, Duration, Label, Name, Part, Share
from shared.schemas.plan_words import findings, meant
from shared.schemas.plan_yaml import Path, Unreadable, read_yaml
from shared.schemas.recalibration import Kind
from shared.schemas.week import add_weeks, monday

LONGEST = timedelta(days=366)
"""From a test's start to its last moment."""


def _weeks(value: Any) -> Any:
    """``2026-W14``, ``2026-W14..2026-W20`` or a list of weeks."""
    if not isinstance(value, str):
        return value
    first, dots, last = value.partition("..")
    try:
        if monday(last if dots else first) < monday(first):
            raise ValueError("the last week is before the first")
    except ValueError as error:
        raise ValueError(f"weeks are written as 2026-W14 or 2026-W14..2026-W20 ({error})") from None
    weeks = [first]
    while dots and weeks[-1] != last:
        weeks.append(add_weeks(weeks[-1], 1))
    return weeks


def _moment(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise ValueError("a moment is written as 2026-04-06T08:00:00Z") from None
    if moment.tzinfo is None:
        raise ValueError("a moment says its offset from UTC, such as 2026-04-06T08:00:00Z")
    return moment


def _not_long(value: timedelta) -> timedelta:
    if value > LONGEST:
        raise ValueError("a test takes a year at most")
    return value


Weeks = Annotated[list[str], BeforeValidator(_weeks)]
Moment = Annotated[datetime, BeforeValidator(_moment)]
At = Annotated[Duration, AfterValidator(_not_long)]
"""Since the test's start."""


class Positions(Part):
    """A pool in some weeks. Demand is base + booked + expected; utilisation, headroom and the bands follow from it
    where they are not said."""

    pool: Name
    weeks: Weeks
    capacity: Amount | None = None
    """Absent: 100."""
    reported: Amount | None = None
    decided: float = 0.0
    base: Amount = 0.0
    booked: Amount = 0.0
    expected: Amount = 0.0
    exposure: Amount = 0.0
    utilisation: Amount | None = None
    overload: Share = 0.0
    planned: Amount = 0.0
    overload_planned: Share | None = None
    """Absent: as ``overload``."""
    p80: Amount | None = None
    backlog: Amount = 0.0
    delay_weeks: Amount = 0.0
    backlog_mean: Amount = 0.0
    backlog_p80: Amount = 0.0
    late: Share = 0.0


class WorkItem(Part):
    """A work item of the plan, so many weeks late."""

    work: Name
    slip_weeks: Amount
    without_deals: Amount = 0.0
    slip_mean: Amount | None = None
    slip_p80: Amount | None = None
    """Absent: as ``slip_weeks``."""
    late: Share | None = None
    """Absent: 1 with a slip, else 0."""


class Observed(Part):
    """A signal that comes in at that time."""

    kind: Name
    pool: Name | None = None
    value: float = 1.0
    period_days: Amount = 0.0


class Listed(Part):
    """A deal that is listed apart."""

    deal: Label
    reason: str
    exposure: Amount = 0.0

    def listed(self) -> ListedDeal:
        """As frames carry it."""
        return ListedDeal(self.deal, self.reason, self.exposure)


class Booked(Part):
    """What enters commit or won a week, of a product or (absent) of all; the trends are what was before."""

    product: str = ""
    rate: Amount = 0.0
    trend: Amount = 0.0
    units: Amount = 0.0
    units_trend: Amount = 0.0
    value: float = 0.0
    value_trend: float = 0.0

    def state(self) -> BookingState:
        """As frames carry it."""
        return BookingState(**self.model_dump())


class Reached(Part):
    """How a milestone of the plan stands."""

    milestone: Name
    won: Amount = 0.0
    expected: Amount = 0.0
    planned: Amount = 0.0

    def state(self, plan: Plan) -> MilestoneState:
        """As frames carry it."""
        of = plan.milestones[self.milestone]
        return MilestoneState(
            self.milestone, of.product, of.due.isoformat(), of.quantity, self.won, self.expected, self.planned
        )


class Input(Part):
    """What is new at a time; everything else stays as it was."""

    at: At = timedelta()
    positions: list[Positions] = []
    work: list[WorkItem] = []
    reported: list[Name] = []
    """Pools whose owners report at that time; those that no input of the test names report all the time."""
    listed: list[Listed] | None = None
    """The deals listed apart from now on."""
    signals: list[Observed] = []
    bookings: list[Booked] | None = None
    milestones: list[Reached] = []
    effort_drift: dict[Name, Amount] = {}
    """By pool what won deals take as reported, of what they were planned to."""
    forecasts: list[Forecasted] = []
    loading: bool | None = None
    """Whether a bulk load is under way from now on."""


class ExpectedEpisode(Part):
    """An episode that is not over; what is not said is not compared."""

    scope: str
    phase: Phase
    severity: Severity | None = None
    weeks: Weeks | None = None
    shadow: bool | None = None
    grouped: bool | None = None


class Expected(Part):
    """All episodes of one trigger at a time."""

    at: At
    trigger: Name
    episodes: list[ExpectedEpisode]


class ExpectedTold(Part):
    """One transition that somebody is told."""

    at: At
    trigger: Name
    scope: str
    kind: Kind
    grouped: bool | None = None
    owners: list[Name] | None = None


class TriggerTest(Part):
    """A history, and what the triggers are expected to make of it. ``told`` is everything told in it, in order."""

    test: Label
    start: Moment
    inputs: Annotated[list[Input], Field(min_length=1)]
    expect: list[Expected] = []
    told: list[ExpectedTold] | None = None


class TriggerTests(Part):
    """A plan, by its place beside the file, and the tests of its triggers."""

    plan: str
    tests: Annotated[list[TriggerTest], Field(min_length=1)]


_NAMES: tuple[tuple[str, Literal["pools", "work", "milestones"], str, str], ...] = (
    ("positions", "pools", "pool", "pool"),
    ("work", "work", "work", "work item"),
    ("milestones", "milestones", "milestone", "milestone"),
)
"""Parts of an input, where their names are declared, the key of the name, and what it is called."""


def read_tests(file: File) -> tuple[TriggerTests, Plan]:
    """The tests in ``file`` and their plan; raises PlanError with every problem, or BadInput when it cannot be read."""
    text = read_text(file)
    reported = Problems(text, str(file))
    try:
        document = read_yaml(text)
    except Unreadable as stop:
        reported.add(stop.spot, stop.why)
        raise PlanError(reported.in_order()) from None
    if (instead := other_kind(document.data, "tests")) is not None:
        reported.add((1, 1), instead)
        raise PlanError(reported.in_order())
    for spot, why in document.problems:
        reported.add(spot, why)
    tests = None
    try:
        tests = TriggerTests.model_validate(document.data)
    except ValidationError as error:
        for path, message, about_key in findings(error, document.data, TriggerTests.model_json_schema()):
            reported.add(document.spot(path, key=about_key), message, path)
    if tests is None or reported.found:
        raise PlanError(reported.in_order())
    beside = file.parent / tests.plan
    plan = parse_plan(read_text(beside), str(beside))
    for path, message in _unknown(tests, plan):
        reported.add(document.spot(path), message, path)
    if reported.found:
        raise PlanError(reported.in_order())
    return tests, plan


def _unknown(tests: TriggerTests, plan: Plan) -> Iterator[tuple[Path, str]]:
    """Names in tests that the plan does not have, each with its place."""
    triggers = [trigger.trigger for trigger in plan.triggers]
    for number, test in enumerate(tests.tests):
        for at, given in enumerate(test.inputs):
            for place, message in _unknown_inputs(given, plan):
                yield ("tests", number, "inputs", at, *place), message
        expected: tuple[tuple[str, Sequence[Expected | ExpectedTold]], ...] = (
            ("expect", test.expect),
            ("told", test.told or []),
        )
        for part, items in expected:
            for item, one in enumerate(items):
                if one.trigger not in triggers:
                    yield ("tests", number, part, item, "trigger"), _none("trigger", one.trigger, triggers)


def _unknown_inputs(given: Input, plan: Plan) -> Iterator[tuple[Path, str]]:
    for part, declared, key, called in _NAMES:
        for item, one in enumerate(getattr(given, part)):
            name = getattr(one, key)
            if name not in getattr(plan, declared):
                yield (part, item, key), _none(called, name, getattr(plan, declared))
    for item, pool in enumerate(given.reported):
        if pool not in plan.pools:
            yield ("reported", item), _none("pool", pool, plan.pools)


def _none(called: str, name: str, allowed: Iterable[str]) -> str:
    return f"the plan has no {called} {name!r}{meant(name, allowed)}"
