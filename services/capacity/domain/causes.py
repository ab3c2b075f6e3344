"""Why a position is as it is, and the reverse: what one deal stresses.

A position's causes are its largest deals, each with its share of expected demand and of the tail (what it contributes
on average in the cases where there is too much), and how likely there is too much without it. Base load and all deals
that are not named are ``others``, so that each set of shares sums to one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.axis import Axis
from services.capacity.domain.lines import Lines
from services.capacity.domain.members import Members, members_of
from services.capacity.domain.pool import Asked
from services.capacity.domain.projector import Projector
from services.capacity.domain.rounding import figure
from services.capacity.domain.tail_causes import TailCauses, Tails
from services.capacity.domain.work import finish_all, items_on, left_by, slip_of
from shared.schemas.plan import Plan
from shared.schemas.position import Position

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

NAMED: Final = 10
"""Deals named as causes of a position, unless more or fewer are asked for."""
LIKELY: Final = 0.001
"""Of a position that is overloaded less likely than this, only expected demand is looked at per deal."""
_ASKS: Final = 1e-9


@dataclass(frozen=True)
class Cause:
    """One deal behind a position: expected ``effort`` in the pool's unit, and that as ``share`` of expected demand.

    ``tail_effort`` is what it contributes on average when there is too much, ``tail_share`` that of all demand then;
    ``overload_without`` is P(overload) if the deal did not exist. The three are None where overload is next to
    impossible.
    """

    deal: str
    product: str
    probability: float
    effort: float
    share: float
    tail_effort: float | None = None
    tail_share: float | None = None
    overload_without: float | None = None


@dataclass(frozen=True)
class Others:
    """Everything that is not named, as shares of expected demand and of the tail; ``base`` of them is no deal's."""

    share: float
    base: float
    tail_share: float | None = None
    tail_base: float | None = None


@dataclass(frozen=True)
class Causes:
    """Why a position is as it is. ``demand`` is expected, ``tail_demand`` its mean in the cases of too much."""

    position: Position
    demand: float
    tail_demand: float | None
    deals: list[Cause]
    others: Others


@dataclass(frozen=True)
class StressedPosition:
    """A position to which one deal contributes; the figures of the deal are those of a ``Cause``."""

    pool: str
    week: str
    unit: str
    overload: float
    effort: float
    share: float
    tail_share: float | None = None
    overload_without: float | None = None


@dataclass(frozen=True)
class StressedWork:
    """A work item from whose pool the deal takes ``effort`` before it is done; slips in weeks, on expected demand."""

    work: str
    pool: str
    due: str
    effort: float
    share: float
    slip_weeks: float
    slip_without: float


@dataclass(frozen=True)
class Stresses:
    """What one deal stresses."""

    positions: list[StressedPosition]
    work: list[StressedWork]


class _Pool(NamedTuple):
    """A pool with everything about its deals."""

    axis: Axis
    asked: Asked
    members: Members
    tails: Tails

    @property
    def lines(self) -> Lines:
        return self.asked.lines

    @property
    def total(self) -> Floats:
        """Expected demand by week."""
        return np.asarray(self.asked.base + self.asked.of_deals.booked + self.asked.of_deals.expected)


def causes_of(projector: Projector, pool: str, week: str, named: int = NAMED) -> Causes:
    """The causes of a position of the last projection; KeyError when there is none of this pool and week."""
    position = projector.positions[pool, week]
    of = _pool(projector, pool)
    at = of.axis.place(week)
    effort, demand, base = of.lines.expected[:, at], float(of.total[at]), float(of.asked.base[at])
    tail = of.tails.at(at)
    part = np.zeros(len(of.lines.deals))
    np.add.at(part, _deals(of, tail.deals), tail.parts)
    whole = base + tail.whole
    there = position.overload >= LIKELY and tail.over > 0 and whole > 0
    order = np.lexsort((np.arange(len(effort)), -effort, -part if there else np.zeros(len(effort))))[:named]
    chosen = [deal for deal in order.tolist() if effort[deal] > _ASKS]
    deals = []
    for deal in chosen:
        name, product, chance = _about(of.lines, deal)
        asks = float(effort[deal])
        share = figure(min(asks / demand, 1.0)) if demand > 0 else 0.0
        told: tuple[float | None, ...] = (None, None, None)
        if there:
            without = figure(position.overload * min(_without(of, tail, at, deal) / tail.over, 1.0))
            told = figure(float(part[deal])), figure(min(float(part[deal]) / whole, 1.0)), without
        deals.append(Cause(name, product, chance, figure(asks), share, *told))
    shared = figure(max(1.0 - sum(cause.share for cause in deals), 0.0)) if demand > 0 else 1.0
    others = Others(shared, figure(base / demand) if demand > 0 else 0.0)
    if there:
        rest = figure(max(1.0 - sum(cause.tail_share or 0.0 for cause in deals), 0.0))
        others = Others(shared, others.base, rest, figure(base / whole))
    return Causes(position, figure(demand), figure(whole) if there else None, deals, others)


def stresses_of(projector: Projector, deal: str) -> Stresses:
    """The positions and work items of the last projection to which ``deal`` contributes; most effort first."""
    assert projector.in_force is not None, "asked before the first projection"
    plan = projector.in_force.plan
    positions: list[StressedPosition] = []
    work: list[StressedWork] = []
    for pool in plan.pools:
        known = projector.asked_of(pool)[2].lines.deals
        if deal in known:
            of = _pool(projector, pool)
            positions += _stressed(projector, of, pool, known.index(deal))
            work += _pulled(plan, of, pool, known.index(deal))
    positions.sort(key=lambda one: (-one.share, one.pool, one.week))
    return Stresses(positions, sorted(work, key=lambda one: (-one.effort, one.work)))


def _pool(projector: Projector, pool: str) -> _Pool:
    assert projector.in_force is not None, "asked before the first projection"
    axis, demand, asked = projector.asked_of(pool)
    members = members_of(asked.lines, certain=True)
    rho = projector.in_force.plan.uncertainty.win_correlation
    return _Pool(axis, asked, members, Tails(asked.limit, demand.groups(pool), members, rho))


def _deals(of: _Pool, members: Places) -> Places:
    """Whose these members are, as places in the lines' deals: a deal whose lines differ in chance is several."""
    place = {name: number for number, name in enumerate(of.lines.deals)}
    return np.array([place[of.members.deals[member]] for member in members.tolist()], np.intp)


def _without(of: _Pool, tail: TailCauses, week: int, deal: int) -> float:
    own = np.flatnonzero(_deals(of, tail.deals) == deal)
    if len(own) == 1:
        return float(tail.without[own[0]])
    return of.tails.without(week, tail.deals[own]) if len(own) else tail.over


def _about(lines: Lines, deal: int) -> tuple[str, str, float]:
    """Name, and product and probability of the line that asks most."""
    own = np.flatnonzero(lines.deal == deal)
    line = int(own[np.argmax(lines.effort[own])])
    return lines.deals[deal], lines.products[int(lines.group[line])], figure(float(lines.probability[line]))


def _stressed(projector: Projector, of: _Pool, pool: str, deal: int) -> Iterator[StressedPosition]:
    own = np.flatnonzero(np.array([name == of.lines.deals[deal] for name in of.members.deals], bool))
    for at in range(*of.axis.shown):
        effort, demand = float(of.lines.expected[deal, at]), float(of.total[at])
        position = projector.positions.get((pool, of.axis.weeks[at]))
        if effort <= _ASKS or position is None:
            continue
        told: tuple[float | None, ...] = (None, None)
        if position.overload >= LIKELY:
            tail = of.tails.at(at, own)
            whole = float(of.asked.base[at]) + tail.whole
            if tail.over > 0 and whole > 0:
                without = figure(position.overload * min(_without(of, tail, at, deal) / tail.over, 1.0))
                told = figure(min(float(tail.parts.sum()) / whole, 1.0)), without
        share = figure(min(effort / demand, 1.0)) if demand > 0 else 0.0
        yield StressedPosition(pool, position.week, position.unit, position.overload, figure(effort), share, *told)


def _pulled(plan: Plan, of: _Pool, pool: str, deal: int) -> Iterator[StressedWork]:
    """The work items after deals that are done later, or from whose weeks the deal takes effort."""
    items = items_on(plan, pool, "after-deals")
    can, own = of.asked.capacity, of.lines.expected[deal]
    deals = of.asked.of_deals.booked + of.asked.of_deals.expected
    then = finish_all(items, of.axis, left_by(of.total, can.counts, can.backlog))[0]
    rest = np.maximum(of.total - own, 0.0)
    without = finish_all(items, of.axis, left_by(rest, can.counts, can.backlog))[0]
    for name, work in items:
        finish = then[name]
        weeks = slice(finish.first, (finish.last if finish.last is not None else of.axis.count - 1) + 1)
        effort, all_deals = float(own[weeks].sum()), float(deals[weeks].sum())
        if effort > _ASKS:
            slips = (float(slip_of(work, each[name], of.axis)) for each in (then, without))
            yield StressedWork(name, pool, work.due, figure(effort), figure(min(effort / all_deals, 1.0)), *slips)
