"""What the forecasts of a day keep for a back-test."""

from collections.abc import Iterable
from dataclasses import dataclass

from shared.schemas.forecast import Forecast


@dataclass(frozen=True, slots=True)
class ForecastDay:
    """A period of a segment (``*``: all) as it was forecast on a day; money in the plan's currency, the rest shares."""

    period: str
    segment: str
    bookings: float
    margin: float
    margin_share: float | None
    overload_cost: float
    open_discount: float | None
    discount_drift: float | None
    discount_cusum: float | None
    revenue_at_risk: float


def forecast_days(told: Iterable[Forecast]) -> list[ForecastDay]:
    """The forecasts of a day, by period and segment."""
    days = [
        ForecastDay(
            period=one.period,
            segment=one.segment,
            bookings=one.bookings,
            margin=one.margin,
            margin_share=one.margin_share,
            overload_cost=one.overload_cost,
            open_discount=one.open_discount,
            discount_drift=one.discount_drift,
            discount_cusum=one.discount_cusum,
            revenue_at_risk=one.revenue_at_risk,
        )
        for one in told
    ]
    return sorted(days, key=lambda day: (day.period, day.segment))
