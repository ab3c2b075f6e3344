"""The rate of a deal's currency to the plan's, where the source brings none."""

from dataclasses import dataclass, field
from datetime import date

import msgspec

from shared.schemas.deal import Deal


@dataclass(frozen=True, slots=True)
class Rates:
    """How much of the plan's ``currency`` one unit of others is, on ``day``; without a plan, no currency."""

    currency: str | None = None
    table: dict[str, float] = field(default_factory=dict)
    day: date | None = None

    def of(self, currency: str | None) -> tuple[float | None, date | None]:
        """Rate and the day it holds for; no rate for a currency the table does not have."""
        if self.currency is None or currency is None:
            return None, None
        if currency == self.currency:
            return 1.0, None
        rate = self.table.get(currency)
        return rate, None if rate is None else self.day


def filled(deal: Deal, rates: Rates) -> Deal:
    """``deal`` with the rate that follows from its currency, or as it is when the source has ever said a rate.

    A filled rate has no stamp: it is derived anew whenever the currency, the plan or the table changes.
    """
    if "rate" in deal.fields:
        return deal
    rate, day = _derived(deal, rates)
    if (deal.rate, deal.rate_date) == (rate, day):
        return deal
    return msgspec.structs.replace(deal, rate=rate, rate_date=day)


def fill(deal: Deal, rates: Rates) -> None:
    """As ``filled``, but ``deal`` itself becomes that: for whoever keeps it nowhere else."""
    if "rate" not in deal.fields:
        deal.rate, deal.rate_date = _derived(deal, rates)


def _derived(deal: Deal, rates: Rates) -> tuple[float | None, date | None]:
    rate, day = rates.of(deal.currency)
    return rate, deal.rate_date if "rate_date" in deal.fields else day
