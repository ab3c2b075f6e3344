"""One forecast: what stands of a period and segment, and what changed in it since it was last told."""

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from services.capacity.domain import margin as of
from services.capacity.domain.delivery import Uses
from services.capacity.domain.drift import Drift, break_even
from services.capacity.domain.rounding import figure
from services.capacity.domain.spread import QUANTILE, deviation_of
from shared.schemas.forecast import EVERYTHING, Bridge, Forecast, PoolMove, ProductSum, Target
from shared.schemas.plan import Plan

Floats = npt.NDArray[np.float64]

_NOTHING = 1e-9

MOST_POOLS: Final = 12
"""Pools that a forecast names at most: those that moved most, then the busiest."""


class Level(NamedTuple):
    """What a forecast is made of: ``total`` by column of the margin table, ``rows`` the open ones in it.

    By pool, ``effort`` is what closed and open deals ask, ``open_effort`` what open ones do; ``uses`` of the
    weeks in which its deals are worked on.
    """

    period: str
    segment: str
    total: Floats = np.zeros(of.SUMMED)
    rows: Floats = np.zeros((0, of.COLUMNS))
    products: list[ProductSum] = []  # noqa: RUF012 — never changed
    effort: Mapping[str, float] = {}
    open_effort: Mapping[str, float] = {}
    uses: Uses = Uses({}, [])
    drift: Drift | None = None
    overload_cost: float = 0.0
    revenue: float = 0.0
    at_risk: float = 0.0
    nrr: float | None = None


def forecast_of(level: Level, plan: Plan, at: datetime) -> Forecast:
    """What stands, as if nothing had been told before."""
    total, correlation = level.total, plan.uncertainty.win_correlation
    closed, expected, cost = (float(total[column]) for column in (of.CLOSED, of.EXPECTED, of.COST))
    bookings = closed + expected
    margin = bookings - cost - level.overload_cost
    bookings_sd, margin_sd = _deviations(level, correlation)
    quotes = _open_quotes(level)
    more = _break_even(level)
    assumed = plan.revenue_at_risk
    return Forecast(
        period=level.period,
        segment=level.segment,
        at=at,
        bookings=figure(bookings),
        closed=figure(closed),
        expected=figure(expected),
        bookings_sd=figure(bookings_sd),
        bookings_p20=figure(bookings - QUANTILE * bookings_sd),
        bookings_p80=figure(bookings + QUANTILE * bookings_sd),
        margin=figure(margin),
        margin_share=_share(margin, bookings),
        closed_margin=figure(closed - float(total[of.CLOSED_COST])),
        margin_sd=figure(margin_sd),
        margin_p20=figure(margin - QUANTILE * margin_sd),
        margin_p80=figure(margin + QUANTILE * margin_sd),
        list_value=figure(float(total[of.LIST])),
        cost=figure(cost),
        overload_cost=level.overload_cost,
        lines=round(float(total[of.LINES])),
        unlisted=round(float(total[of.UNLISTED])),
        discount=_discount(float(total[of.LISTED]), float(total[of.LISTED_NET])),
        open_discount=_discount(*quotes),
        discount_before=None if level.drift is None else figure(level.drift.before),
        discount_drift=None if level.drift is None else figure(level.drift.drift),
        discount_cusum=None if level.drift is None else figure(level.drift.cusum),
        break_even=None if more is None else figure(more),
        revenue=level.revenue,
        revenue_at_risk=level.at_risk,
        kappa=assumed.kappa if assumed is not None else None,
        grace_weeks=assumed.grace_weeks if assumed is not None else None,
        nrr=level.nrr,
        target=_target(level, plan, bookings, margin),
        pools=_pools(level, plan, more or 0.0),
    )


def told_anew(
    standing: Forecast, before: Forecast | None, bridge: Bridge, level: Level, former: Level | None, plan: Plan
) -> Forecast:
    """What to tell of what stands: ``before`` itself when nothing but the time differs, else with what changed.

    ``former`` is the level that ``before`` was made of; None after a restart, then only the pools that it names count.
    """
    if before is None:
        return standing
    moves = _moves(level, before, former, plan)
    if not moves and _same(standing, before):
        return before
    named = {pool.pool: pool for pool in standing.pools}
    # Those that moved come first, the others fill the list.
    moved = sorted(moves, key=lambda pool: (-abs(moves[pool][1]), -abs(moves[pool][0]), pool))[:MOST_POOLS]
    rest = [pool for pool in named if pool not in moved][: MOST_POOLS - len(moved)]
    pools = [
        replace(
            named.get(pool) or _pool(level, pool, standing.break_even or 0.0, plan.pools[pool].unit),
            effort_change=moves.get(pool, _STILL)[0],
            utilisation_change=moves.get(pool, _STILL)[1],
        )
        for pool in (*moved, *rest)
    ]
    return replace(
        standing,
        since=before.at,
        bookings_change=figure(standing.bookings - before.bookings),
        margin_change=figure(standing.margin - before.margin),
        bridge=Bridge(*(figure(getattr(bridge, part)) for part in bridge.__struct_fields__)),
        pools=pools,
    )


_STILL = (0.0, 0.0)


def _moves(level: Level, before: Forecast, former: Level | None, plan: Plan) -> dict[str, tuple[float, float]]:
    """By pool, how much its effort and its utilisation changed; those where neither did are left out."""
    effort: Mapping[str, float]
    use: Mapping[str, float | None]
    if former is None:
        effort = {pool.pool: pool.effort for pool in before.pools}
        use = {pool.pool: pool.utilisation for pool in before.pools}
        moved = set(effort) & plan.pools.keys()
        if len(before.pools) < MOST_POOLS:  # it named all that were asked anything
            moved |= level.effort.keys()
    else:
        effort, use = former.effort, former.uses.utilisation
        moved = set()
        if effort is not level.effort:
            asked = effort.keys() | level.effort.keys()
            moved = {pool for pool in asked if effort.get(pool) != level.effort.get(pool)}
        if use is not level.uses.utilisation:
            now_used = level.uses.utilisation
            moved |= {pool for pool in level.effort if use.get(pool) != now_used.get(pool)}
    found = {}
    for pool in moved:
        then, now = use.get(pool), level.uses.utilisation.get(pool)
        away = 0.0 if then is None or now is None else figure(now - then)
        more = figure(figure(level.effort.get(pool, 0.0)) - figure(effort.get(pool, 0.0)))
        if more or away:
            found[pool] = (more, away)
    return found


def _same(standing: Forecast, before: Forecast) -> bool:
    at_rest = replace(
        before,
        at=standing.at,
        since=None,
        bookings_change=0.0,
        margin_change=0.0,
        bridge=Bridge(),
        pools=standing.pools,
    )
    return at_rest == standing


def _deviations(level: Level, correlation: float) -> tuple[float, float]:
    """Of bookings and of margin; what overload costs is taken to be certain."""
    rows, chances = level.rows, level.rows[:, of.CHANCE]
    bookings = rows[:, of.EXPECTED]
    found = []
    for variance, amounts in ((of.VARIANCE, bookings), (of.MARGIN_VARIANCE, bookings - rows[:, of.COST])):
        # Weighted amounts hold p once; the copula's covariances are of winning, so it is taken out again.
        likely = np.maximum(chances / 100, 1e-6)
        whole = np.where(chances > 0, amounts / likely, 0.0)
        total = float(level.total[variance])
        found.append(deviation_of(total, rows[:, variance + 1], chances, whole, correlation))
    return found[0], found[1]


def _open_quotes(level: Level) -> tuple[float, float]:
    return float(level.rows[:, of.QUOTED].sum()), float(level.rows[:, of.QUOTED_NET].sum())


def _break_even(level: Level) -> float | None:
    """Of the open volume; what it costs is measured by its list value."""
    listed = float(level.rows[:, of.LIST].sum())
    if level.drift is None or listed <= _NOTHING:
        return None
    return break_even(level.drift.drift, level.drift.before, float(level.rows[:, of.COST].sum()) / listed)


def _pools(level: Level, plan: Plan, more: float) -> list[PoolMove]:
    """The busiest of those that are asked anything."""
    busiest = islice((pool for pool in level.uses.busiest if pool in level.effort), MOST_POOLS)
    return [_pool(level, pool, more, plan.pools[pool].unit) for pool in busiest]


def _pool(level: Level, pool: str, more: float, unit: str) -> PoolMove:
    return PoolMove(
        pool=pool,
        unit=unit,
        effort=figure(level.effort.get(pool, 0.0)),
        utilisation=level.uses.utilisation.get(pool),
        break_even=figure(more * level.open_effort.get(pool, 0.0)),
    )


def _target(level: Level, plan: Plan, bookings: float, margin: float) -> Target | None:
    wanted = plan.periods.get(level.period)
    if wanted is None or level.segment != EVERYTHING:
        return None
    if wanted.margin is None:
        return Target(wanted.bookings)
    before_overload = margin + level.overload_cost
    return Target(
        bookings=wanted.bookings,
        margin=wanted.margin,
        volume=figure((bookings - wanted.bookings) * wanted.margin),
        rate=figure(before_overload - bookings * wanted.margin),
        overload=figure(-level.overload_cost),
    )


def _share(part: float, whole: float) -> float | None:
    return figure(part / whole) if abs(whole) > _NOTHING else None


def _discount(listed: float, net: float) -> float | None:
    return figure(1 - net / listed) if listed > _NOTHING else None
