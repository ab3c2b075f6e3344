"""The things that are watched whole, as their fields are read, from sales: the book, a milestone, a forecast."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

from services.triggers.domain import metrics
from services.triggers.domain.table import Table
from shared.schemas.forecast import Forecast
from shared.schemas.frame import BookingState, MilestoneState
from shared.schemas.period import last_day
from shared.schemas.plan import Plan
from shared.schemas.week import week_of, weeks_between

UNTETHERED = ("no-product", "unknown-product", "no-needs")


@dataclass(frozen=True)
class DealSight:
    """The book, or one ``product`` in it; what nobody counts by product is then unknown."""

    plan: Plan
    table: Table
    product: str

    def _count(self, *reasons: str) -> float | None:
        if self.table.listed is None or self.product:
            return None
        return float(sum(self.table.by_reason.get(reason, 0) for reason in reasons))

    def _worth(self, *reasons: str) -> float | None:
        if self.table.listed is None or self.product:
            return None
        return float(sum(self.table.worth.get(reason, 0.0) for reason in reasons))

    @property
    def untethered(self) -> float | None:
        return self._count(*UNTETHERED)

    @property
    def untethered_value(self) -> float | None:
        return self._worth(*UNTETHERED)

    @property
    def stale(self) -> float | None:
        return self._count("stale")

    @property
    def stale_value(self) -> float | None:
        return self._worth("stale")

    @property
    def unknown_stage(self) -> float | None:
        return self._count("unknown-stage")

    @property
    def no_close_date(self) -> float | None:
        return self._count("no-close-date")

    @property
    def no_rate(self) -> float | None:
        return self._count("no-rate")

    @cached_property
    def _booked(self) -> BookingState | None:
        if self.table.bookings is None:
            return None
        return self.table.bookings.get(self.product, BookingState(self.product))

    @property
    def booking_rate(self) -> float | None:
        return self._booked.rate if self._booked else None

    @property
    def booking_trend(self) -> float | None:
        return self._booked.trend if self._booked else None

    @property
    def booking_change(self) -> float | None:
        return metrics.change(self._booked.rate, self._booked.trend) if self._booked else None

    @property
    def booking_value(self) -> float | None:
        return self._booked.value if self._booked else None

    @property
    def value_change(self) -> float | None:
        return metrics.change(self._booked.value, self._booked.value_trend) if self._booked else None

    @property
    def pace(self) -> float | None:
        return metrics.pace(self.plan, self.table.week, self.product or None)

    @property
    def of_pace(self) -> float | None:
        pace = self.pace
        if self.table.bookings is None or pace is None:
            return None
        aimed = {milestone.product for milestone in self.plan.milestones.values()}
        products = {self.product} if self.product else aimed
        units = sum(state.units for product, state in self.table.bookings.items() if product in products)
        return units / pace


@dataclass(frozen=True)
class MilestoneSight:
    """A milestone, and how it goes."""

    table: Table
    state: MilestoneState

    @property
    def of_planned(self) -> float | None:
        return self.state.won / self.state.planned if self.state.planned > 0 else None

    @property
    def of_quantity(self) -> float:
        return (self.state.won + self.state.expected) / self.state.quantity

    @property
    def weeks_to_due(self) -> float:
        return float(weeks_between(self.table.week, week_of(date.fromisoformat(self.state.due))))


@dataclass(frozen=True)
class ForecastSight:
    """What a period is forecast to bring, of everything or of one segment."""

    table: Table
    state: Forecast

    @property
    def margin(self) -> float | None:
        return self.state.margin_share

    @property
    def margin_value(self) -> float:
        return self.state.margin

    @property
    def of_target(self) -> float | None:
        wanted = self.state.target
        return self.state.bookings / wanted.bookings if wanted is not None and wanted.bookings > 0 else None

    @property
    def margin_to_target(self) -> float | None:
        wanted = self.state.target.margin if self.state.target is not None else None
        return None if wanted is None or self.margin is None else self.margin - wanted

    @property
    def unlisted(self) -> float | None:
        return self.state.unlisted / self.state.lines if self.state.lines else None

    @property
    def at_risk(self) -> float | None:
        return self.state.revenue_at_risk / self.state.revenue if self.state.revenue > 0 else None

    @property
    def busiest(self) -> float | None:
        return max((pool.utilisation for pool in self.state.pools if pool.utilisation is not None), default=None)

    @property
    def weeks_left(self) -> float:
        return float(weeks_between(self.table.week, week_of(last_day(self.state.period))) + 1)
