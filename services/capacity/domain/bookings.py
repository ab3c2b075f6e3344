"""How fast deals enter commit or won, by the week they close, and how the milestones stand.

Both are read off the book alone, so they are the same after every restart and need no memory of what was before. Commit
is every open stage that wins at least three times in four.
"""

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Final

from services.capacity.domain.book import BookCell
from services.capacity.domain.moments import in_units
from services.capacity.domain.rounding import figure
from shared.schemas.cell import CellKey
from shared.schemas.frame import BookingState, MilestoneState
from shared.schemas.plan import Milestone, Plan
from shared.schemas.week import add_weeks, monday, week_of

COMMIT: Final = 0.75
"""Win probability from which on an open stage is one of commitment."""
TREND_WEEKS: Final = 8
EVERYTHING: Final = ""


@dataclass(frozen=True, slots=True)
class Closing:
    """The lines of a cell: how many, how many units, what they are worth; ``day`` is when they close.

    ``weighted`` are the units that are expected: all of those won. ``entered``: they are won or in commitment.
    """

    product: str
    week: str
    day: date
    lines: int
    units: float
    value: float
    weighted: float
    won: bool
    entered: bool


class Bookings:
    """What closes when, under one plan; kept up with the book."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._entered: dict[str, dict[CellKey, Closing]] = {}
        """What is won or in commitment, by week."""
        self._aimed: dict[str, dict[CellKey, Closing]] = {one.product: {} for one in plan.milestones.values()}
        """What milestones are about, by product."""

    def put(self, key: CellKey, cell: BookCell | None) -> None:
        """The cell of ``key`` now sums to this; None: it is gone."""
        closing = closing_of(key, cell, self._plan) if cell is not None else None
        aimed = self._aimed.get(key.product)
        if aimed is not None:
            _put(aimed, key, closing)
        if key.week:
            _put(self._entered.setdefault(key.week, {}), key, closing if closing and closing.entered else None)

    def states(self, today: date) -> list[BookingState]:
        """By product, and of everything first; products of which nothing closes in these weeks are left out."""
        present = week_of(today)
        last = add_weeks(present, -1)
        trend = [add_weeks(last, -number) for number in range(1, TREND_WEEKS + 1)]
        elapsed = 1 + ((today - monday(present)).days + 1) / 7
        now: dict[str, list[float]] = defaultdict(lambda: [0.0] * 3)
        before: dict[str, list[float]] = defaultdict(lambda: [0.0] * 3)
        for into, weeks in ((now, [present, last]), (before, trend)):
            for closing in (each for week in weeks for each in self._entered.get(week, {}).values()):
                for product in (EVERYTHING, closing.product):
                    for at, amount in enumerate((closing.lines, closing.units, closing.value)):
                        into[product][at] += amount
        made = []
        for product in sorted(now.keys() | before.keys()):
            rate, units, value = (figure(amount / elapsed) for amount in now[product])
            rate_then, units_then, value_then = (figure(amount / TREND_WEEKS) for amount in before[product])
            made.append(BookingState(product, rate, rate_then, units, units_then, value, value_then))
        return made

    def milestones(self, today: date) -> list[MilestoneState]:
        """Every milestone of the plan as it stands on ``today``, in the plan's order."""
        milestones = self._plan.milestones.items()
        return [_stands(name, one, self._aimed[one.product].values(), today) for name, one in milestones]


def _put(into: dict[CellKey, Closing], key: CellKey, closing: Closing | None) -> None:
    if closing is None:
        into.pop(key, None)
    else:
        into[key] = closing


def _stands(name: str, milestone: Milestone, aimed: Collection[Closing], today: date) -> MilestoneState:
    """A week across a month's end counts in both parts, so windows that end with a month are exact."""
    inside = [closing for closing in aimed if milestone.from_ <= closing.day <= milestone.due]
    return MilestoneState(
        milestone=name,
        product=milestone.product,
        due=milestone.due.isoformat(),
        quantity=milestone.quantity,
        won=figure(sum(closing.units for closing in inside if closing.won)),
        expected=figure(sum(closing.weighted for closing in inside if not closing.won)),
        planned=figure(planned_by(milestone, today)),
    )


def planned_by(milestone: Milestone, day: date) -> float:
    """Units to be won by the end of ``day``: the linearity's whole parts, and of the present one as much as is over."""
    length = (milestone.due - milestone.from_).days + 1
    over = min(max((day - milestone.from_).days + 1, 0), length) / length * len(milestone.linearity)
    whole = int(over)
    shares = sum(milestone.linearity[:whole])
    if whole < len(milestone.linearity):
        shares += milestone.linearity[whole] * (over - whole)
    return milestone.quantity * shares


@lru_cache(maxsize=4096)
def middle_of(week: str, month: str) -> date:
    """A day in both the week and the month."""
    days = [monday(week) + timedelta(days=number) for number in range(7)]
    inside = [day for day in days if day.isoformat()[:7] == month] or days
    return inside[len(inside) // 2]


def closing_of(key: CellKey, cell: BookCell, plan: Plan) -> Closing | None:
    """What of a cell closes when; None when it is lost, without a close date, or the plan does not know its words."""
    stage, product = plan.stages.get(key.stage), plan.products.get(key.product)
    if stage is None or stage.class_ == "lost" or product is None or not key.week:
        return None
    factor, fixed = in_units(product, key.basis)
    own, of_stage = cell.own, cell.stage
    lines = own.count + of_stage.count
    units = lines * fixed if fixed is not None else (own.q + of_stage.q) * factor
    chance = stage.win_probability
    if fixed is not None:
        weighted = (own.p + of_stage.count * chance) * fixed
    else:
        weighted = (own.pq + of_stage.q * chance) * factor
    won = stage.class_ == "won"
    if won:
        weighted = units  # whatever a CRM still says, what is won is certain
    value = own.net + of_stage.net
    entered = won or chance >= COMMIT
    return Closing(key.product, key.week, middle_of(key.week, key.month), lines, units, value, weighted, won, entered)
