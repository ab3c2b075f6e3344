"""The rate of a deal to the plan's currency, where the source says none."""

from datetime import date

import pytest

from services.ingest.domain.rates import Rates, fill, filled
from shared.schemas.deal import Deal, Stamp

RATES = Rates("EUR", {"USD": 0.9}, date(2026, 3, 31))


def deal(**said: object) -> Deal:
    fields = {name: Stamp(1) for name in said}
    return Deal(id="crm/1", source="crm", object="1", version=1, fields=fields, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("said", "rates", "rate", "day"),
    [
        ({"currency": "EUR"}, RATES, 1.0, None),
        ({"currency": "USD"}, RATES, 0.9, date(2026, 3, 31)),
        ({"currency": "GBP"}, RATES, None, None),
        ({}, RATES, None, None),
        ({"currency": "EUR"}, Rates(), None, None),
        ({"currency": "USD", "rate": 0.8}, RATES, 0.8, None),
        ({"currency": "EUR", "rate": None}, RATES, None, None),
        ({"currency": "USD", "rate_date": date(2026, 1, 1)}, RATES, 0.9, date(2026, 1, 1)),
    ],
)
def test_a_rate_follows_from_the_currency(said: dict[str, object], rates: Rates, rate: object, day: object) -> None:
    made = filled(deal(**said), rates)
    assert (made.rate, made.rate_date) == (rate, day)
    fill(itself := deal(**said), rates)
    assert itself == made


def test_a_filled_rate_follows_a_new_plan() -> None:
    in_euro = filled(deal(currency="USD"), RATES)
    in_dollars = filled(in_euro, Rates("USD", {}, None))
    assert (in_dollars.rate, in_dollars.rate_date) == (1.0, None)


def test_a_deal_that_is_right_is_the_same_object() -> None:
    made = filled(deal(currency="EUR"), RATES)
    assert filled(made, RATES) is made
