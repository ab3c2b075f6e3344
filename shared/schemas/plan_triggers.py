"""The triggers of a plan: thresholds agreed beforehand that force a recalibration."""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from shared.schemas.episode import Severity
from shared.schemas.period import PATTERN as PERIOD
from shared.schemas.plan_values import LONGEST_CONDITION, Amount, Duration, Name, Part, Weeks

Watch = Literal["position", "pool", "work", "forecast", "signal", "report", "deal", "milestone"]

POOL_OWNER = "pool.owner"
POOL_ESCALATION = "pool.escalation"
DEALS_POOLS_OWNERS = "deals.pools.owners"
"""The owners of every pool that the causing deals ask something of."""

ROLES = (POOL_OWNER, POOL_ESCALATION, DEALS_POOLS_OWNERS)
"""What may stand where a person is named; resolved for each episode."""


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Recipients = Annotated[
    list[Name],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
"""People or roles; one alone may stand without a list."""


class Where(Part):
    """Which of the watched things; what is left out does not limit."""

    pool: Name | None = None
    function: Name | None = None
    """The pools of that function: support, logistics, …"""
    kind: Name | None = None
    """Of signals: tickets-opened, throughput, …"""
    work: Name | None = None
    milestone: Name | None = None
    product: str | None = None
    segment: str | None = None
    """Of forecasts: one segment instead of everything."""
    period: Annotated[str, Field(pattern=PERIOD)] | None = None
    """Of forecasts: one of the plan's periods, such as 2026-Q2."""
    within_weeks: Annotated[int, Field(ge=1, le=520)] | None = None
    """Only the first so many weeks from ``now``."""


class AlertBudget(Part):
    """How often owners are asked one by one; what goes beyond is grouped, the least severe first, never dropped."""

    per_owner_week: Annotated[int, Field(ge=1, le=1000)]
    """Recalibrations that one owner is asked for singly in one week."""


class Ask(Part):
    """Who must answer, and by when."""

    owners: Annotated[Recipients, Field(min_length=1)]
    decide_within: Duration
    """From the firing; at the deadline the episode escalates."""
    acknowledge_within: Duration | None = None
    inform: Recipients = []
    escalate: Recipients = [POOL_ESCALATION]


class Trigger(Part):
    """A rule: when which thing is in what state for how long, who is asked what.

    ``when`` and ``clear`` are conditions over the watched thing's fields (``plan_conditions``), kept as text here.
    Times are event time.
    """

    trigger: Name
    watch: Watch
    where: Where = Where()
    when: Annotated[str, Field(min_length=1, max_length=LONGEST_CONDITION)]
    clear: Annotated[str, Field(min_length=1, max_length=LONGEST_CONDITION)] | None = None
    """Hysteresis: what ends it; absent: when ``when`` does not hold."""
    for_: Duration | None = Field(None, alias="for")
    """How long ``when`` must hold before it fires."""
    of: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,2} in [1-9][0-9]{0,2}$")] | None = None
    """``3 in 5``: when it held on 3 of the last 5 days (UTC), today included."""
    keep: Duration | None = None
    """How long ``clear`` must hold before it counts."""
    min_excess: Amount | None = None
    """Demand above capacity, in the pool's unit, below which nothing fires."""
    min_weeks: Weeks | None = None
    """Breached weeks below which nothing fires."""
    severity: Severity = "warning"
    ask: Ask
    default_action: Name | None = None
    """What happens if nobody decides."""
    actions: list[Name] = []
    shadow: bool = False
    """Evaluated and recorded, but nobody is asked: to try a trigger on what happens."""

    @property
    def times(self) -> tuple[int, int]:
        """``of`` as numbers: on how many of how many days; 1 of 1 without it."""
        held, days = (self.of or "1 in 1").split(" in ")
        return int(held), int(days)
