"""When the lines of a cell count, how, and why a deal is listed apart."""

from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

from services.capacity.domain.axis import Axis
from shared.schemas.cell import CellKey
from shared.schemas.plan import Plan
from shared.schemas.week import monday

Counts = Literal["won", "open", "exposure"]


@dataclass(frozen=True)
class Timing:
    """In which week lines close for the projection, and as what they count.

    ``exposure``: they would ask something if they closed, but nothing is expected of them.
    """

    place: int
    counts: Counts


def timing_of(key: CellKey, plan: Plan, axis: Axis) -> Timing | None:
    """None when the lines ask nothing: they are lost, or won nobody knows when."""
    stage = plan.stages.get(key.stage)
    kind = stage.class_ if stage is not None else "open"
    if kind == "lost":
        return None
    if kind == "won":
        return Timing(axis.place(key.week), "won") if key.week else None
    if not key.week or is_stale(key, plan, axis.today):
        return Timing(axis.now, "exposure")
    # What should have closed closes now at the earliest.
    return Timing(max(axis.place(key.week), axis.now), "open")


def is_stale(key: CellKey, plan: Plan, today: date) -> bool:
    """Whether all lines of an open cell are past their close date by more than the stage allows."""
    stage = plan.stages.get(key.stage)
    if stage is None or stage.stale_after is None or not key.week:
        return False
    return today - last_day(key) > stage.stale_after


def last_day(key: CellKey) -> date:
    """The last day in both the week and the month of a cell."""
    return _last_day(key.week, key.month)


@lru_cache(maxsize=4096)
def _last_day(week: str, of_month: str) -> date:
    year, month = map(int, of_month.split("-"))
    return min(monday(week) + timedelta(days=6), date(year, month, monthrange(year, month)[1]))


def listed_because(key: CellKey, plan: Plan, today: date) -> str | None:
    """Why the deals of a cell are listed apart; None when they are as the plan expects, or lost."""
    stage = plan.stages.get(key.stage)
    if stage is not None and stage.class_ == "lost":
        return None
    if not key.product:
        return "no-product"
    product = plan.products.get(key.product)
    if product is None:
        return "unknown-product"
    if stage is None:
        return "unknown-stage"
    if not key.week:
        return "no-close-date"
    if stage.class_ == "open" and is_stale(key, plan, today):
        return "stale"
    return None if product.needs else "no-needs"
