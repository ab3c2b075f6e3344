"""What deals ask of a pool on whole paths: ``SCENARIOS`` ways in which everything may turn out, week after week.

The largest deals of a pool draw whether they are won, how late they close and what effort they take, once for all
weeks and for all pools. Of everything else the lines that ask alike and close in one week draw the quantity that is
won. Weeks on a path belong together: a deal that is won late is late in all its weeks, and what is not done waits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain.copula import given
from services.capacity.domain.demand import Demand
from services.capacity.domain.draws import SCENARIOS, SCORES, Ranks, efforts, positive, ranks
from services.capacity.domain.groups import PoolGroup
from services.capacity.domain.members import Members

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.intp]

DRAWN: Final = 64
"""Deals of a pool drawn one by one; the others go into the quantities of the rest."""

_ALONE: Final = 192
"""Quantities of the rest drawn one by one; the smaller ones are drawn together by close week."""
_NOTHING: Final = 1e-9
_AT_ONCE: Final = 12
"""Weeks."""


def paths_of(demand: Demand, pool: str, members: Members, rho: float) -> Floats:
    """What deals ask of ``pool`` by week and scenario."""
    groups = demand.groups(pool)
    drawn = _largest(members)
    certain, rows, factors = _rest(demand, pool, groups, members, drawn, rho)
    found = np.empty((members.count, SCENARIOS))
    found[:] = certain[:, None]
    _add(found, rows, factors)
    _add(found, *_drawn(members, drawn, rho))
    return found


def _add(found: Floats, rows: Floats, factors: Floats) -> None:
    """Add what rows ask by week, times their factors by scenario, to what is found by week and scenario.

    Each row asks in few of the weeks: so many weeks at a time, with the rows that ask in them.
    """
    for begin in range(0, len(found), _AT_ONCE):
        here = rows[:, begin : begin + _AT_ONCE]
        some = np.flatnonzero(here.any(axis=1))
        if len(some):
            found[begin : begin + _AT_ONCE] += here[some].T @ factors[some]


def _situation() -> Floats:
    """The common factor in each scenario."""
    found: Floats = SCORES.take(ranks(["everything"], "factor")[0])
    return found


def _largest(members: Members) -> Places:
    size = members.variance.sum(axis=1)
    return np.sort(np.argsort(-size, kind="stable")[:DRAWN])


def _drawn(members: Members, drawn: Places, rho: float) -> tuple[Floats, Floats]:
    """What the drawn deals ask if they close so late (a row for each), and how much of that comes in each scenario."""
    names = [members.deals[number] for number in drawn.tolist()]
    p, which = np.unique(members.probability[drawn], return_inverse=True)
    chance = given(p, rho, _situation()).T if rho > 0 else p[:, None]
    effort = np.concatenate([efforts(cv) for cv in members.cvs])
    factor = effort.take(ranks(names, "effort") + SCENARIOS * members.effort[drawn][:, None])
    factor *= ranks(names, "outcome") < _places(chance)[which]
    pushes = members.pushes[drawn]
    late = ranks(names, "push")
    parts = np.empty((*pushes.shape, SCENARIOS))
    parts[:, 0] = factor
    # Each is what comes so late or later, less what comes later still.
    for number, upto in enumerate(_places(np.cumsum(pushes, axis=1)[:, :-1]).T):
        np.multiply(parts[:, number], late >= upto[:, None], out=parts[:, number + 1])
        parts[:, number] -= parts[:, number + 1]
    return members.asked[drawn].reshape(-1, members.count), parts.reshape(-1, SCENARIOS)


def _places(chance: Floats) -> Ranks:
    """At how many places in the order the uniform number is less than that."""
    found: Ranks = np.ceil(chance * SCENARIOS - 0.5).astype(np.uint16)
    return found


@dataclass(frozen=True)
class _Quantities:
    """What is won besides the drawn deals, in rows of lines that ask alike and close in one week.

    ``asked`` is expected by row, lateness and week, ``deviation`` that of the quantity and ``push`` that of how much of
    it comes how late, both relative; ``more`` is what the common factor makes of it in each scenario.
    """

    asked: Floats
    pushes: Floats
    deviation: Floats
    push: Floats
    more: Floats
    keys: list[str]


def _rest(
    demand: Demand, pool: str, groups: Sequence[PoolGroup], members: Members, drawn: Places, rho: float
) -> tuple[Floats, Floats, Floats]:
    """What is certain by week; what each uncertain quantity is expected to ask, and its factor in each scenario."""
    group, column, mean, variance, pushed = _quantities(groups, members, drawn)
    if not len(group):
        return np.zeros(members.count), np.zeros((0, members.count)), np.zeros((0, SCENARIOS))
    places = column - groups[0].lead
    kernels = [groups[number].kernel for number in group.tolist()]
    shapes = demand.shapes(pool, kernels, places)
    asked = mean[:, None, None] * shapes.pushes[..., None] * shapes.asked
    uncertain = (variance > 0) | (np.array([not one.won for one in groups])[group] & (rho > 0))
    certain = asked[~uncertain].sum(axis=(0, 1))
    group, places, mean = group[uncertain], places[uncertain], mean[uncertain]
    weeks = [demand.week(place) for place in places.tolist()]
    rows = _Quantities(
        asked=asked[uncertain],
        pushes=shapes.pushes[uncertain],
        deviation=np.maximum(np.sqrt(variance[uncertain]) / mean, 1e-6),
        push=np.sqrt(pushed[uncertain]) / mean,
        more=_more(groups, members, drawn, rho)[group],
        keys=[f"{groups[g].name}|{week}" for g, week in zip(group.tolist(), weeks, strict=True)],
    )
    rows = _together(rows, weeks)
    return certain, rows.asked.reshape(-1, members.count), _factors(rows).reshape(-1, SCENARIOS)


def _factors(rows: _Quantities) -> Floats:
    """By row, lateness and scenario: how many times what is expected is asked.

    Of a quantity parts come late as each of its lines does: beside the quantity's own chance every part has one, and
    these cancel each other.
    """
    count, late = rows.pushes.shape
    whole = np.take_along_axis(positive(np.ones(count), rows.deviation), ranks(rows.keys, "rest").astype(np.intp), 1)
    if late == 1:
        return (whole * rows.more)[:, None]
    keys = [f"{key}|{number}" for key in rows.keys for number in range(late)]
    there = rows.pushes > 0
    width = np.where(there, rows.push[:, None] / np.sqrt(np.where(there, rows.pushes, 1.0)), 0.0)
    factors = SCORES.take(ranks(keys, "part")).reshape(count, late, SCENARIOS)
    factors *= width[..., None]
    factors -= np.einsum("rk,rks->rs", rows.pushes, factors)[:, None]
    factors += whole[:, None]
    np.maximum(factors, 0.0, out=factors)
    factors *= 1.0 / np.maximum(factors.mean(axis=2, keepdims=True), _NOTHING)
    factors *= rows.more[:, None]
    return factors


def _quantities(
    groups: Sequence[PoolGroup], members: Members, drawn: Places
) -> tuple[Places, Places, Floats, Floats, Floats]:
    """Of what is not drawn: group, column of the close week, mean and variance of the quantity won, and Σpq²(1+v²)."""
    if not groups:
        nobody, nothing = np.zeros(0, np.intp), np.zeros(0)
        return nobody, nobody, nothing, nothing, nothing
    weights = np.array([group.weights[[0, 2, 3]] for group in groups])
    spread = np.array([1 + group.kernel.effort_cv**2 for group in groups])[:, None]
    mean, pushed = weights[:, 0].copy(), spread * weights[:, 1]
    variance = pushed - weights[:, 2]
    whole = mean.copy(), np.abs(variance)
    group, column, p, units = _named(members, drawn, groups[0].lead, mean.shape[1])
    np.subtract.at(mean, (group, column), p * units)
    np.subtract.at(pushed, (group, column), units**2 * p * spread[group, 0])
    np.subtract.at(variance, (group, column), units**2 * (p * spread[group, 0] - p**2))
    mean[mean <= _NOTHING * whole[0]] = 0.0
    variance[variance <= _NOTHING * whole[1]] = 0.0
    at = np.nonzero(mean)
    return at[0], at[1], mean[at], variance[at], np.maximum(pushed[at], 0.0)


def _named(members: Members, drawn: Places, lead: int, columns: int) -> tuple[Places, Places, Floats, Floats]:
    """Group, column, win probability and units of the lines of the drawn deals."""
    lines = members.lines
    line = members.line[np.isin(members.of, drawn)]
    column = lines.place[line] + lead
    there = (column >= 0) & (column < columns)
    line = line[there]
    return lines.group[line], column[there], lines.probability[line], lines.units[line]


def _more(groups: Sequence[PoolGroup], members: Members, drawn: Places, rho: float) -> Floats:
    """How many times its expected quantity each group wins in each scenario's situation, by group and scenario."""
    if rho <= 0:
        return np.ones((len(groups), SCENARIOS))
    lines = members.lines
    line = members.line[~np.isin(members.of, drawn)]
    chances, of = np.unique(np.maximum(np.round(lines.probability[line], 2), 0.01), return_inverse=True)
    share = np.zeros((len(groups), len(chances)))
    np.add.at(share, (lines.group[line], of), lines.units[line] * lines.probability[line])
    total = share.sum(axis=1)
    situation = _situation()
    by_line = share @ (given(chances, rho, situation) / chances).T
    p = np.array([0.0 if group.won else group.probability for group in groups])
    by_group = np.where(p > 0, given(p, rho, situation) / np.where(p > 0, p, 1.0), 1.0).T
    named = np.array([not group.won for group in groups]) & (total > 0)
    return np.where(named[:, None], by_line / np.where(total > 0, total, 1.0)[:, None], by_group)


def _together(rows: _Quantities, weeks: list[str]) -> _Quantities:
    """The largest quantities by themselves and the others by close week."""
    if len(rows.keys) <= _ALONE:
        return rows
    total = rows.asked.sum(axis=(1, 2))
    order = np.argsort(-total * rows.deviation, kind="stable")
    alone, small = np.sort(order[:_ALONE]), np.sort(order[_ALONE:])
    names, of = np.unique(np.array(weeks)[small], return_inverse=True)

    def summed(each: Floats) -> Floats:
        found = np.zeros((len(names), *each.shape[1:]))
        np.add.at(found, of, each[small])
        return found

    asked, whole = summed(rows.asked), np.maximum(summed(total), _NOTHING)
    parts = asked.sum(axis=2)
    pairs = (
        (rows.asked, asked),
        (rows.pushes, parts / np.maximum(parts.sum(axis=1, keepdims=True), _NOTHING)),
        (rows.deviation, np.maximum(np.sqrt(summed((total * rows.deviation) ** 2)) / whole, 1e-6)),
        (rows.push, np.sqrt(summed((total * rows.push) ** 2)) / whole),
        (rows.more, summed(total[:, None] * rows.more) / whole[:, None]),
    )
    merged = [np.concatenate((one[alone], other)) for one, other in pairs]
    keys = [rows.keys[number] for number in alone.tolist()] + [f"|{week}" for week in names.tolist()]
    asked, pushes, deviation, push, more = merged
    return _Quantities(asked, pushes, deviation, push, more, keys)
