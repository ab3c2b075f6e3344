"""What a test of triggers says of a forecast."""

from datetime import UTC, datetime, time
from typing import Annotated

from pydantic import Field

from shared.schemas.forecast import EVERYTHING, Forecast, Target
from shared.schemas.period import PATTERN, first_day
from shared.schemas.plan import Plan
from shared.schemas.plan_values import Amount, Part


class Forecasted(Part):
    """What a period brings, of everything or (``segment``) of one; its target is the plan's."""

    period: Annotated[str, Field(pattern=PATTERN)]
    segment: str = EVERYTHING
    bookings: float = 0.0
    margin: float = 0.0
    """Share of bookings."""
    overload_cost: Amount = 0.0
    discount: float | None = None
    open_discount: float | None = None
    discount_before: float | None = None
    discount_drift: float | None = None
    discount_cusum: Amount | None = None
    break_even: Amount | None = None
    revenue: Amount = 0.0
    revenue_at_risk: Amount = 0.0
    nrr: Amount | None = None

    def state(self, plan: Plan) -> Forecast:
        """As frames carry it."""
        wanted = plan.periods.get(self.period) if self.segment == EVERYTHING else None
        said = self.model_dump(exclude={"margin"})
        return Forecast(
            **said,
            at=_of_no_matter(self.period),
            closed=self.bookings,
            bookings_p20=self.bookings,
            margin=self.margin * self.bookings,
            margin_p20=self.margin * self.bookings,
            margin_share=self.margin if self.bookings else None,
            target=Target(wanted.bookings, wanted.margin) if wanted is not None else None,
        )


def _of_no_matter(period: str) -> datetime:
    """No trigger looks at when a forecast was made."""
    return datetime.combine(first_day(period), time(), UTC)
