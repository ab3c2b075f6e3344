"""Why margin changed: volume, mix, price, cost and overload, parts that sum to the change exactly.

Price–volume–mix analysis of management accounting. Of each product L is its list value, n = net / L, c = cost / L and
m = n - c; m̄₀ is the former margin of everything. Then ΔM = ΔΣL·m̄₀ (volume) + Σm₀L₁ - m̄₀ΣL₁ (mix) + ΣL₁Δn (price)
- ΣL₁Δc (cost) - ΔO (overload). What was not sold before has no former price or cost: it is mix, at its own margin.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from shared.schemas.forecast import Bridge

_NOTHING = 1e-9


class Sold(NamedTuple):
    """List value, net value and cost of what is closed and expected of one product."""

    list: float
    net: float
    cost: float


NOTHING = Sold(0.0, 0.0, 0.0)


class Effects(NamedTuple):
    """Of products together: ``list`` value then and now, former ``margin``, ``at_former`` Σm₀L₁, price and cost.

    They add up: those of segments together are those of everything.
    """

    list: tuple[float, float]
    margin: float
    at_former: float
    price: float
    cost: float


def effects_of(before: Mapping[str, Sold], now: Mapping[str, Sold]) -> Effects:
    """The effects between two states, by product."""
    listed = [0.0, 0.0]
    margin = at_former = price = cost = 0.0
    for product in sorted(before.keys() | now.keys()):
        then, present = before.get(product, NOTHING), now.get(product, NOTHING)
        for at, sold in enumerate((then, present)):
            if abs(sold.list) > _NOTHING:
                listed[at] += sold.list
                margin += 0.0 if at else sold.net - sold.cost
            else:
                # Without any list value there is no rate per list value: such a product changes cost alone.
                cost += (sold.net - sold.cost) * (1 if at else -1)
        if abs(present.list) <= _NOTHING:
            continue
        base = then if abs(then.list) > _NOTHING else present
        n, c = base.net / base.list, base.cost / base.list
        at_former += (n - c) * present.list
        price += present.net - n * present.list
        cost -= present.cost - c * present.list
    return Effects((listed[0], listed[1]), margin, at_former, price, cost)


def bridge_of(effects: Iterable[Effects], overload: tuple[float, float]) -> Bridge:
    """The bridge over all of ``effects`` together; ``overload`` is its cost then and now."""
    every = list(effects)
    then, now = (sum(each.list[at] for each in every) for at in (0, 1))
    margin_then = sum(each.margin for each in every)
    at_former = sum(each.at_former for each in every)
    # Where nothing was sold before, all that is now is volume.
    volume = (now - then) * margin_then / then if abs(then) > _NOTHING else at_former - margin_then
    return Bridge(
        volume=volume,
        mix=at_former - margin_then - volume,
        price=sum(each.price for each in every),
        cost=sum(each.cost for each in every),
        overload=overload[0] - overload[1],
    )
