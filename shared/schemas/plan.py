"""The plan: what is sold, what selling it asks of which pool, who owns what, and the thresholds agreed beforehand.

These are the plan file's parts as types. ``plan_file`` reads the YAML and checks what the types cannot; a published
plan is read from its JSON with ``Plan.model_validate_json``. Names in the file and here are the same, save that
``class``, ``for`` and ``from`` end in an underscore here.
"""
# ruff: noqa: RUF012 — pydantic copies a field's default for every instance.

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from shared.schemas.deal import DealType
from shared.schemas.period import PATTERN as PERIOD
from shared.schemas.plan_pools import Pool
from shared.schemas.plan_triggers import POOL_ESCALATION, POOL_OWNER, AlertBudget, Trigger
from shared.schemas.plan_values import (
    Amount,
    Day,
    Duration,
    Label,
    Name,
    Part,
    Positive,
    Share,
    TimeZone,
    Week,
    Weeks,
)

StageClass = Literal["open", "won", "lost"]

_ROUNDING = 1e-9


def _at_most_a_whole(shares: list[float]) -> list[float]:
    if sum(shares) > 1 + _ROUNDING:
        raise ValueError(f"these are shares of one whole, but they sum to {sum(shares):g}")
    return shares


def _a_whole(shares: list[float]) -> list[float]:
    if abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"these are shares of one whole, but they sum to {sum(shares):g}, not to 1")
    return shares


Pushes = Annotated[list[Share], Field(min_length=1, max_length=104), AfterValidator(_at_most_a_whole)]
Linearity = Annotated[list[Share], Field(min_length=1, max_length=104), AfterValidator(_a_whole)]


class Person(Part):
    """Somebody who owns a pool, decides, or is told."""

    name: Label
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+$", max_length=254)] | None = None


class Stage(Part):
    """A stage of the CRM by its name there. Open ones have the probability that a deal in them is won."""

    class_: StageClass = Field(alias="class")
    probability: Share | None = None
    push_weeks: Pushes | None = None
    """Shares of the deals that close 0, 1, 2, … weeks after their close date; what is missing to one, a week later."""
    stale_after: Duration | None = None
    """Past its close date by more than this, a deal counts as exposure only and is listed."""

    @model_validator(mode="after")
    def _fits_its_class(self) -> "Stage":
        if self.class_ == "open" and self.probability is None:
            raise ValueError("an open stage needs a probability")
        if self.class_ != "open" and (self.probability, self.push_weeks, self.stale_after) != (None, None, None):
            raise ValueError(f"a {self.class_} stage has no probability, push_weeks or stale_after")
        return self

    @property
    def win_probability(self) -> float:
        """The chance that a deal in this stage is won: 1 once won, 0 once lost."""
        return {"won": 1.0, "lost": 0.0}.get(self.class_, self.probability or 0.0)

    @property
    def pushes(self) -> list[float]:
        """``push_weeks`` completed to sum to one: shares that close 0, 1, 2, … weeks late."""
        if self.push_weeks is None:
            return [1.0]
        rest = 1.0 - sum(self.push_weeks)
        return [*self.push_weeks, rest] if rest > _ROUNDING else list(self.push_weeks)


class Quantity(Part):
    """How many units a line without a quantity is: ``default``, or with ``from: amount`` amount / list price."""

    default: Positive | None = None
    from_: Literal["amount"] | None = Field(None, alias="from")

    @model_validator(mode="after")
    def _one_way(self) -> "Quantity":
        if (self.default is None) == (self.from_ is None):
            raise ValueError("quantity says either a default or from: amount")
        return self


class Curve(Part):
    """How effort spreads over weeks; amounts sum to the effort. ``list`` gives ``amounts``, other shapes ``weeks``."""

    shape: Literal["flat", "front", "back", "triangle", "list", "rayleigh"] = "flat"
    weeks: Annotated[int, Field(ge=1, le=520)] | None = None
    amounts: Annotated[list[Amount], Field(min_length=1, max_length=520)] | None = None
    """Relative amounts by week, brought to sum to one."""

    @model_validator(mode="after")
    def _length_known(self) -> "Curve":
        if self.shape == "list":
            if self.amounts is None or sum(self.amounts) <= 0:
                raise ValueError("a curve of shape list needs amounts that sum to more than nothing")
            if self.weeks not in (None, len(self.amounts)):
                raise ValueError(f"weeks: {self.weeks} contradicts {len(self.amounts)} amounts")
        elif self.amounts is not None:
            raise ValueError("only a curve of shape list has amounts")
        elif self.weeks is None:
            raise ValueError(f"a curve of shape {self.shape} needs weeks")
        return self

    @property
    def length(self) -> int:
        """Over how many weeks the curve spreads."""
        return self.weeks or len(self.amounts or ())


IN_THE_CLOSE_WEEK = Curve(shape="flat", weeks=1)


class Need(Part):
    """A tether: what one unit of a product asks of a pool, from ``after_weeks`` after the deal's close week on.

    The effort is spread by ``curve``; with ``per: week`` it is asked anew in each of ``weeks`` weeks.
    """

    pool: Name
    effort: Amount
    """In the pool's unit, for one unit of the product."""
    custom_effort: Amount | None = None
    """Instead of ``effort`` when the deal is custom."""
    custom_factor: Amount | None = None
    """Or: ``effort`` is multiplied by it when the deal is custom."""
    curve: Curve = IN_THE_CLOSE_WEEK
    per: Literal["week"] | None = None
    weeks: Annotated[int, Field(ge=1, le=520)] | None = None
    """With ``per: week`` only: for how many weeks."""
    after_weeks: Weeks = 0
    for_: Annotated[list[DealType], Field(min_length=1, alias="for")] = ["new", "expansion", "renewal"]

    @model_validator(mode="after")
    def _curve_or_weeks(self) -> "Need":
        if self.per == "week" and self.weeks is None:
            raise ValueError("a need per week says for how many weeks")
        if self.per == "week" and "curve" in self.model_fields_set and self.curve != IN_THE_CLOSE_WEEK:
            raise ValueError("a need per week has no curve: it asks the same each week")
        if self.per is None and self.weeks is not None:
            raise ValueError("weeks belongs to the curve, or to a need with per: week")
        if self.custom_effort is not None and self.custom_factor is not None:
            raise ValueError("a need says custom_effort or custom_factor, not both")
        return self

    def effort_of(self, custom: bool) -> float:
        """The effort for one unit, of a custom deal or of one that is not; in the pool's unit."""
        if custom and self.custom_effort is not None:
            return self.custom_effort
        return self.effort * self.custom_factor if custom and self.custom_factor is not None else self.effort


class Product(Part):
    """What is sold, by the CRM's name for it. Without needs a deal of it is untethered: counted and listed."""

    list_price: Positive | None = None
    unit_cost: Amount = 0.0
    quantity: Quantity = Quantity(default=1.0)
    limits: dict[Name, Amount] = {}
    """Promised scale beyond these asks for an engineering review."""
    effort_cv: Annotated[float, Field(ge=0, le=10)] = 0.0
    """Coefficient of variation of the effort of one deal."""
    needs: Annotated[list[Need], Field(max_length=1000)] = []

    @model_validator(mode="after")
    def _priced(self) -> "Product":
        if self.quantity.from_ == "amount" and self.list_price is None:
            raise ValueError("quantity from amount needs a list_price")
        return self


class Work(Part):
    """What a pool owes besides deals; ``after-deals`` gets only what deals leave, ``before-deals`` comes first."""

    pool: Name
    effort: Amount
    start: Week
    due: Week
    priority: Literal["after-deals", "before-deals"] = "after-deals"

    @model_validator(mode="after")
    def _in_order(self) -> "Work":
        if self.due < self.start:
            raise ValueError(f"due {self.due} is before start {self.start}")
        return self


class Milestone(Part):
    """Units of a product to be won from ``from`` to ``due``, both included; ``linearity``: shares of equal parts."""

    product: Label
    from_: Day = Field(alias="from")
    due: Day
    quantity: Positive
    linearity: Linearity = [1.0]

    @model_validator(mode="after")
    def _in_order(self) -> "Milestone":
        if self.due < self.from_:
            raise ValueError(f"due {self.due} is before from {self.from_}")
        return self


class Period(Part):
    """What a quarter is to bring."""

    bookings: Amount
    """In the plan's currency."""
    margin: Annotated[float, Field(ge=-1, le=1)] | None = None
    """Share of bookings."""


class Uncertainty(Part):
    """How much chance there is beyond each deal's own."""

    win_correlation: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """ρ of the one-factor copula: deals rise and fall together."""


class RevenueAtRisk(Part):
    """Assumed: a delivery more than ``grace_weeks`` late loses the share ``kappa`` of its yearly revenue a week."""

    kappa: Share
    grace_weeks: Amount = 0.0


class Plan(Part):
    """A plan whole. ``version`` is set when it is published: the same content keeps its version."""

    plan: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=64)]
    version: Annotated[int, Field(ge=1)] | None = None
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")]
    timezone: TimeZone = "UTC"
    start: Week | None = None
    """First week of the table; absent: the week of ``now``."""
    horizon_weeks: Annotated[int, Field(ge=1, le=260)] = 39
    people: Annotated[dict[Name, Person], Field(min_length=1)]
    stages: Annotated[dict[Label, Stage], Field(min_length=1)]
    pools: Annotated[dict[Name, Pool], Field(min_length=1, max_length=5000)]
    products: dict[Label, Product] = {}
    work: dict[Name, Work] = {}
    milestones: dict[Name, Milestone] = {}
    periods: dict[Annotated[str, Field(pattern=PERIOD)], Period] = {}
    uncertainty: Uncertainty = Uncertainty()
    revenue_at_risk: RevenueAtRisk | None = None
    triggers: list[Trigger] = []
    alert_budget: AlertBudget | None = None
    incentives: dict[str, Any] = {}

    def owner_of(self, pool: str) -> str:
        """The person who owns a pool; KeyError when there is no such pool."""
        return self.pools[pool].owner

    def needs_on(self, pool: str) -> Iterator[tuple[str, Need]]:
        """The needs that ask something of a pool, with their product."""
        for product, sold in self.products.items():
            for need in sold.needs:
                if need.pool == pool:
                    yield product, need

    def people_for(self, recipients: Iterable[str], pool: str | None) -> list[str]:
        """The persons behind names and roles of ``pool``, each once, in order; deals' roles are left to the caller."""
        found: dict[str, None] = {}
        for recipient in recipients:
            for person in self._behind(recipient, pool):
                found[person] = None
        return list(found)

    def _behind(self, recipient: str, pool: str | None) -> list[str]:
        if recipient in self.people:
            return [recipient]
        if pool is None or pool not in self.pools:
            return []
        roles: Mapping[str, list[str]] = {
            POOL_OWNER: [self.pools[pool].owner],
            POOL_ESCALATION: self.pools[pool].escalation,
        }
        return roles.get(recipient, [])
