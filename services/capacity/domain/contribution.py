"""What one deal adds to the sums: its lines, each with the cell it belongs to.

Only what is needed is decoded. A line's quantity is in units when the line brings one; otherwise its basis is
``amount`` and its quantity the amount in the plan's currency, nothing when there is none or its rate is missing — the
plan then says what such a line is in units. A quantity below nothing asks for nothing; money may be negative.
"""

from datetime import date
from functools import lru_cache
from typing import Final

import msgspec

from shared.schemas.deal import Deal, DealType, Line
from shared.schemas.week import week_of

ABSURD: Final = 1e15
"""Quantities and money above this are held to it, so that their cubes and sums stay finite whatever a CRM says."""

PLANNABLE_YEARS: Final = range(1970, 2200)
"""A close date outside of these counts as none."""

OF_STAGE: Final = -1.0
"""Stands where a line takes its stage's probability."""

NO_LIST: Final = float("nan")
"""Stands where a line brings no list price."""

NO_RATE: Final = float("-inf")
"""Stands where a list price would when a line's money is left out: it is in a currency whose rate nobody knows."""


class DealRecord(msgspec.Struct, gc=False):
    """What the fold reads of a deal; see ``shared.schemas.deal.Deal``."""

    time: int = 0
    deleted: bool = False
    stage: str | None = None
    close: str | None = None
    amount: float | None = None
    currency: str | None = None
    rate: float | None = None
    segment: str = ""
    type: DealType = "new"
    custom: bool = False
    probability: float | None = None
    lines: list[Line] = []


decode = msgspec.json.Decoder(DealRecord).decode


Kind = tuple[str, str, bool, str, str]
"""What the lines of one cell share besides their deal's stage and close: product, segment, custom, type, basis."""

Part = tuple[Kind, float, float, float, float, float]
"""One line's kind, q, p (or ``OF_STAGE``), net, list (or ``NO_LIST``, ``NO_RATE``) and arr."""

NO_CLOSE: Final = ("", "", "")

NO_LINES: Final = [Line(product="")]
"""A deal without lines counts with its amount as one line of no product, so that it shows up as untethered."""


@lru_cache(maxsize=65536)
def close_of(day: str | date | None) -> tuple[str, str, str]:
    """ISO week and month of a close day, and the day; all empty when there is none, or none a plan can mean."""
    if day is None:
        return NO_CLOSE
    if isinstance(day, date):
        day = day.isoformat()
    try:
        closing = date.fromisoformat(day)
    except ValueError:
        return NO_CLOSE
    return (week_of(closing), day[:7], day) if closing.year in PLANNABLE_YEARS else NO_CLOSE


def parts_of(deal: DealRecord | Deal) -> list[Part]:
    """The parts of a deal, one for each line; none when it is deleted."""
    if deal.deleted:
        return []
    bare = deal.rate is None and deal.currency is not None
    rate = 0.0 if bare else 1.0 if deal.rate is None else deal.rate
    lines = deal.lines or NO_LINES
    # A deal's amount belongs to its line when there is one; among several it cannot be told apart.
    whole = deal.amount if len(lines) == 1 else None
    parts: list[Part] = []
    for line in lines:
        amount = line.amount if line.amount is not None else whole
        net = 0.0 if amount is None else amount * rate
        quantity = line.quantity
        basis = "units"
        if quantity is None:
            basis, quantity = "amount", net
        segment = deal.segment if line.segment is None else line.segment
        custom = deal.custom if line.custom is None else line.custom
        kind = (line.product, segment, custom, line.type or deal.type, basis)
        p = line.probability if line.probability is not None else deal.probability
        p = OF_STAGE if p is None else 0.0 if p < 0.0 else min(p, 1.0)
        listed = NO_LIST if line.list_amount is None else line.list_amount * rate
        arr = 0.0 if line.arr is None else line.arr * rate
        if bare and (amount is not None or line.list_amount is not None or line.arr is not None):
            listed = NO_RATE
        if quantity < 0.0:
            quantity = 0.0
        if not (quantity < ABSURD and abs(net) < ABSURD and abs(arr) < ABSURD) or abs(listed) > ABSURD:
            quantity, net, listed, arr = min(quantity, ABSURD), _held(net), _held(listed), _held(arr)
        parts.append((kind, quantity, p, net, listed, arr))
    return parts


def _held(money: float) -> float:
    return money if money == NO_RATE else max(min(money, ABSURD), -ABSURD)
