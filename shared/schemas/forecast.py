"""``forecasts.v1``: what a quarter brings, of everything or of one segment — margin and delivery in one event."""

from datetime import datetime

import msgspec

TYPE = "headroom.forecast.v1"

EVERYTHING = "*"
"""Stands for all segments together; a segment of the empty name holds the deals that have none."""


class Bridge(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why margin changed, in the plan's currency; the parts sum to the change.

    ``volume``: more or less list value at the former average margin. ``mix``: between segments and products. ``price``:
    what is paid of the list price. ``cost``: of units and their effort. ``overload``: of effort beyond capacity.
    """

    volume: float = 0.0
    mix: float = 0.0
    price: float = 0.0
    cost: float = 0.0
    overload: float = 0.0


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the plan wants of a period, and what lies between: ``volume + rate + overload`` is margin less its target.

    ``bookings`` and ``margin`` (share of bookings; None: the plan sets none) are the plan's. ``volume`` is the margin
    of the bookings beyond them at the planned share, ``rate`` the difference in share on all bookings, both before the
    cost of overload; all three are money.
    """

    bookings: float
    margin: float | None = None
    volume: float = 0.0
    rate: float = 0.0
    overload: float = 0.0


class PoolMove(msgspec.Struct, frozen=True, omit_defaults=True):
    """A pool that the deals of a forecast ask: amounts in its ``unit``.

    ``effort`` is what booked and open deals closing in the period are expected to ask in all, ``effort_change`` by how
    much more than in the forecast before. ``utilisation`` is the pool's, by all its work, from now or the period's
    first week to the end of the quarter after it, when its deals are worked on (None without capacity),
    ``utilisation_change`` the difference to the forecast before. ``break_even`` is the effort that the volume which
    makes up for the drift of discounts would ask besides.
    """

    pool: str
    unit: str
    effort: float = 0.0
    effort_change: float = 0.0
    utilisation: float | None = None
    utilisation_change: float = 0.0
    break_even: float = 0.0


class Forecast(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A period (``2026-Q2``) of a segment (``*``: all) as it is expected to end; money in the plan's currency.

    It was made ``at``; ``since`` is when the one before it was made (None: it is the first), which changes, ``bridge``
    and the pools' changes speak against. ``bookings`` = ``closed`` (won) + ``expected`` (open, weighted by probability,
    as far as they close in the period); ``margin`` = bookings - ``cost`` (units and effort) - ``overload_cost``;
    ``_sd`` are standard deviations, ``_p20`` and ``_p80`` exceeded in four and in one of five cases.

    ``list_value`` of lines without a list price is their net value; ``unlisted`` counts them among all ``lines``.
    ``discount`` is of all lines with a list price, closed and expected; ``open_discount`` of those still open,
    ``discount_before`` of the same weeks in earlier periods, ``discount_drift`` how far the open ones have moved from
    it (EWMA, shares), ``discount_cusum`` how sure that is (CUSUM, in standard deviations of a quote); None where
    nothing is known to compare with. ``break_even`` is the volume that makes up for the drift, as a share of the open
    one; None without a drift upwards or when no volume does.

    ``revenue`` is the yearly revenue of all customers won by the period's end, ``revenue_at_risk`` what of it late
    deliveries and releases put at risk under the assumptions ``kappa`` and ``grace_weeks``. ``nrr`` is net revenue
    retention by signals of the last twelve weeks, in the present period only.
    """

    period: str
    segment: str
    at: datetime
    since: datetime | None = None
    bookings: float = 0.0
    closed: float = 0.0
    expected: float = 0.0
    bookings_sd: float = 0.0
    bookings_p20: float = 0.0
    bookings_p80: float = 0.0
    margin: float = 0.0
    margin_share: float | None = None
    closed_margin: float = 0.0
    margin_sd: float = 0.0
    margin_p20: float = 0.0
    margin_p80: float = 0.0
    list_value: float = 0.0
    cost: float = 0.0
    overload_cost: float = 0.0
    lines: int = 0
    unlisted: int = 0
    discount: float | None = None
    open_discount: float | None = None
    discount_before: float | None = None
    discount_drift: float | None = None
    discount_cusum: float | None = None
    break_even: float | None = None
    revenue: float = 0.0
    revenue_at_risk: float = 0.0
    kappa: float | None = None
    grace_weeks: float | None = None
    nrr: float | None = None
    bookings_change: float = 0.0
    margin_change: float = 0.0
    bridge: Bridge = Bridge()
    target: Target | None = None
    pools: list[PoolMove] = []


class ProductSum(msgspec.Struct, frozen=True, array_like=True):
    """What one product adds to a forecast: list value, net value and cost of its closed and expected lines."""

    product: str
    list: float
    net: float
    cost: float


class ForecastRecord(msgspec.Struct, kw_only=True):
    """What ``forecasts.v1`` holds: the forecast, of which moment and plan it speaks, and what it is made of.

    ``products`` is what the next forecast is compared with; of everything it is left out, for its segments have it.
    """

    as_of: datetime
    plan: str
    forecast: Forecast
    products: list[ProductSum] = []


def record_key(period: str, segment: str) -> bytes:
    """The Kafka key of a forecast."""
    return msgspec.json.encode([period, segment])


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(ForecastRecord).decode
