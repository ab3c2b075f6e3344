"""The pools of a plan: capacities with an owner, a unit, a kind and a calendar."""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

from typing import Annotated, Literal

from pydantic import Field

from shared.schemas.plan_values import Amount, Duration, Label, Name, Part, Positive, Share, Week, Weeks


class MayDecide(Part):
    """How much the owner decides alone; above it the next in the escalation chain decides. Absent: no limit."""

    hours: Amount | None = None
    """Effort in the pool's unit."""
    money: Amount | None = None
    """In the plan's currency."""


class Hire(Part):
    """How a pool gets people: somebody hired in week h gives ``hours · ramp[w - h - lead_weeks]`` in week w."""

    lead_weeks: Weeks
    """From the decision until the first day."""
    ramp: Annotated[list[Amount], Field(min_length=1, max_length=520)] = [1.0]
    """Share of full output by week since the first day; the last value stays."""
    hours: Positive
    """Full output of one person in a week, in the pool's unit."""
    attrition: Share = 0.0
    """Share of the people that leaves each week."""
    cost_per_week: Amount = 0.0
    """One person's cost a week, in the plan's currency."""


class Overtime(Part):
    """Counts only once it is decided."""

    max_share: Share
    """Of the week's capacity, at most."""
    cost: Amount = 0.0
    """For one unit, in the plan's currency."""


class Contractors(Part):
    """Count only once they are decided."""

    max: Amount
    """Units a week, at most."""
    lead_weeks: Weeks = 0
    cost: Amount = 0.0
    """For one unit, in the plan's currency."""


class WorkCapacity(Part):
    """What a work pool gets done in a week."""

    per_week: Amount
    """In the pool's unit, in a week without holidays."""
    holidays: Annotated[str, Field(pattern=r"^[A-Z]{2}(-[A-Z0-9]{1,3})?$")] | None = None
    """Country, or country and subdivision, whose public holidays are not worked: ``DE``, ``DE-BE``."""


class Queue(Part):
    """A queue answered by agents (Erlang C): c = agents · hours · (1 - shrinkage) / open_hours agents are on shift."""

    handling_minutes: Positive
    agents: Amount
    hours: Positive
    """One agent's hours a week."""
    open_hours: Annotated[float, Field(gt=0, le=168)]
    """Hours a week in which somebody may come."""
    shrinkage: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the agents' hours that is not for the queue."""
    answer_within_minutes: Positive
    share: Annotated[float, Field(gt=0, lt=1)]
    """Share that must be answered within that."""


class Stock(Part):
    """What is there at the start of the horizon, and what comes: S(w) = S(w-1) + receipts(w) - demand(w)."""

    level: float
    per_week: Amount = 0.0
    """Comes in every week."""
    receipts: dict[Week, float] = {}
    """Comes in in that week besides."""


class PoolBase(Part):
    """What every pool has."""

    function: Name | None = None
    """delivery, support, engineering, logistics, hiring, marketing, supply, …"""
    unit: Label
    owner: Name
    """Of ``people``: who is asked, and decides."""
    escalation: list[Name] = []
    """Of ``people``: who is asked next when the owner does not answer, in order."""
    may_decide: MayDecide | None = None
    base_load: Amount = 0.0
    """Work a week that no deal and no work item explains, in the pool's unit."""
    cost_per_unit: Amount = 0.0
    """In the plan's currency."""
    report_every: Duration | None = None
    """How often the owner reports; longer silence is shown."""
    allowed_delay_weeks: Weeks = 0
    """How many weeks the work of a week may wait without being late."""
    notice_weeks: Weeks = 0
    """How early sales must have shown a deal for it to count as warned."""


class StaffedPool(PoolBase):
    """A pool whose capacity is people."""

    hire: Hire | None = None
    overtime: Overtime | None = None
    contractors: Contractors | None = None
    helps: dict[Name, Positive] = {}
    """What one unit moved to that pool yields there."""


class Hiring(Part):
    """A pool of recruiters: people that others are missing are work for it."""

    recruiter_hours: Positive
    """To fill one opening, in this pool's unit."""
    pools: Annotated[list[Name], Field(min_length=1)] | None = None
    """For whom it hires; absent: for every other pool that says how it hires."""


class WorkPool(StaffedPool):
    """Work that is not done stays to be done."""

    kind: Literal["work"]
    capacity: WorkCapacity
    hiring: Hiring | None = None


class QueuePool(StaffedPool):
    """Somebody waits for an answer."""

    kind: Literal["queue"]
    queue: Queue


class StockPool(PoolBase):
    """Units on a shelf."""

    kind: Literal["stock"]
    stock: Stock


class BudgetPool(PoolBase):
    """Money to spend; the same arithmetic as a stock."""

    kind: Literal["budget"]
    budget: Stock


Pool = Annotated[WorkPool | QueuePool | StockPool | BudgetPool, Field(discriminator="kind")]
"""A pool of any kind; ``kind`` says which."""
