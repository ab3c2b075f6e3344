"""One pool under the plan: its positions and its work items, from what deals ask and what it can do."""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.capacity.domain.attribution import Askers
from services.capacity.domain.axis import Axis
from services.capacity.domain.capacity import PoolCapacity
from services.capacity.domain.demand import Demand
from services.capacity.domain.exact_tail import from_moments, tail_of
from services.capacity.domain.groups import PoolDemand
from services.capacity.domain.lateness import Slip, Waiting, slip_of_paths, slips_of, undone, waiting_of
from services.capacity.domain.lines import Lines
from services.capacity.domain.members import Members, members_of
from services.capacity.domain.overtime import StopLoss, by_moments, on_paths, overload_cost
from services.capacity.domain.paths import paths_of
from services.capacity.domain.positions import PoolState, positions_of
from services.capacity.domain.remembered import Remembered
from services.capacity.domain.rounding import figure
from services.capacity.domain.work import Finish, finish_all, items_on, left_by, slip_of
from shared.schemas.plan import Plan
from shared.schemas.position import Position, WorkState

Floats = npt.NDArray[np.float64]


class Depth(NamedTuple):
    """What is computed besides expected demand: exact tails, and whole paths."""

    tails: bool = True
    paths: bool = True


WHOLE: Final = Depth()


class Asked(NamedTuple):
    """What is asked of one pool: ``base`` is work that no deal explains, ``limit`` what deals may ask before there is
    too much, both by week of the axis; ``first`` are the work items that come before deals."""

    base: Floats
    limit: Floats
    of_deals: PoolDemand
    lines: Lines
    capacity: PoolCapacity
    first: dict[str, Finish]


def asked_of(name: str, plan: Plan, axis: Axis, demand: Demand, capacity: PoolCapacity) -> Asked:
    """What is asked of pool ``name``."""
    base = plan.pools[name].base_load + demand.hiring(name)
    if demand.is_cumulative(name):
        base = np.cumsum(np.where(np.arange(axis.count) >= axis.start, base, 0.0))
    # Work that comes before deals is one more load that no deal explains.
    first, taken = finish_all(items_on(plan, name, "before-deals"), axis, capacity.counts - base)
    base = base + taken
    return Asked(base, capacity.counts - base, demand.on(name), demand.lines(name), capacity, first)


class Projected(NamedTuple):
    """The positions of the weeks shown, the work items, and what overload costs by week of the axis, from now on."""

    positions: list[Position]
    work: list[WorkState]
    overload_cost: Floats


def project_pool(
    name: str, plan: Plan, axis: Axis, demand: Demand, capacity: PoolCapacity, depth: Depth,
    remembered: Remembered | None = None,
) -> Projected:  # fmt: skip
    """What becomes of pool ``name``, whose tails may be ``remembered`` from an earlier projection."""
    pool, cumulative = plan.pools[name], demand.is_cumulative(name)
    base, limit, of_deals, lines, _, first = asked_of(name, plan, axis, demand, capacity)
    planned = demand.planned_on(name)
    members = members_of(lines) if any(depth) else None
    waiting: Waiting | None = None
    slips: dict[str, Slip] = {}
    beyond = by_moments(base + of_deals.booked + of_deals.expected, of_deals.variance)
    if depth.tails and members is not None:
        rho, since = plan.uncertainty.win_correlation, axis.shown[0]
        tail = tail_of(limit, of_deals, demand.groups(name), members, rho, planned, since, remembered)
    else:
        tail = from_moments(limit, of_deals, planned if planned.mean.any() else None)
    if tail.never and not capacity.backlog and not items_on(plan, name, "after-deals"):
        nothing = np.zeros(axis.count)
        waiting = Waiting(nothing, nothing, nothing)
    elif depth.paths and members is not None and not cumulative:
        waiting, slips, beyond = _on_paths(name, plan, axis, base, demand, members, capacity)
    state = PoolState(name, pool.unit, cumulative, capacity, base, of_deals, planned.mean, Askers(lines), tail, waiting)
    cost = np.zeros(axis.count) if cumulative else overload_cost(pool, capacity.counts, beyond)
    cost[: axis.shown[0]] = 0.0
    return Projected(positions_of(state, axis), _items(name, plan, axis, state, first, slips), cost)


def _on_paths(
    name: str, plan: Plan, axis: Axis, base: Floats, demand: Demand, members: Members, capacity: PoolCapacity
) -> tuple[Waiting, dict[str, Slip], StopLoss]:
    asked = paths_of(demand, name, members, plan.uncertainty.win_correlation)
    asked += base[:, None]
    can, reported = capacity.counts, capacity.backlog
    backlog = undone(asked, can, reported)
    waiting = waiting_of(backlog, can, plan.pools[name].allowed_delay_weeks)
    after = items_on(plan, name, "after-deals")
    return waiting, slips_of(after, axis, asked, backlog, can, reported) if after else {}, on_paths(asked)


def _items(
    name: str, plan: Plan, axis: Axis, state: PoolState, first: dict[str, Finish], slips: dict[str, Slip]
) -> list[WorkState]:
    """``first`` are the items before deals, whose slip is certain."""
    if not any(work.pool == name for work in plan.work.values()):
        return []
    left = left_by(state.base + state.of_deals, state.capacity.counts, state.capacity.backlog)
    alone = left_by(state.base, state.capacity.counts, state.capacity.backlog)
    after = items_on(plan, name, "after-deals")
    then, without = finish_all(after, axis, left)[0], finish_all(after, axis, alone)[0]
    items = []
    for item, finish in {**first, **then}.items():
        work = plan.work[item]
        last = finish.last if finish.last is not None else axis.count - 1
        weeks = slice(finish.first, last + 1)
        top = state.askers.top(weeks, float(state.of_deals[weeks].sum()))[0] if item in then else []
        slip = slip_of(work, finish, axis)
        chance = slips.get(item) or slip_of_paths(np.array([slip]))
        items.append(
            WorkState(
                work=item,
                pool=name,
                effort=figure(work.effort),
                due=work.due,
                finish=axis.weeks[finish.last] if finish.last is not None else None,
                slip_weeks=float(slip),
                without_deals=float(slip_of(work, without.get(item, finish), axis)),
                slip_mean=chance.mean,
                slip_p80=chance.p80,
                late=chance.late,
                top=top,
            )
        )
    return items
