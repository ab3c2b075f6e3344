"""What a file of dated deals says about stages, pushes, cycles, quantities and prices, each with how many say so."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from statistics import median
from typing import Any, Final

from headroom.load_events import Event

LATEST: Final = 26
"""Weeks late from which on pushes are taken together."""
TRAILING: Final = timedelta(weeks=13)


@dataclass
class _Deal:
    """What was known of a deal from event to event, and which stages it was in."""

    said: list[tuple[date, dict[str, Any]]] = field(default_factory=list)

    @property
    def last(self) -> dict[str, Any]:
        return self.said[-1][1]


@dataclass(frozen=True)
class StageSeen:
    """An open stage: how many deals that were in it were won, lost, or are open still; how late the won ones closed.

    ``probability`` is won / (won + lost), None when none ended; ``pushes`` are shares of the ``pushed`` won deals,
    which closed 0, 1, 2 … weeks after what was expected in this stage, ``latest`` the most days that was.
    """

    name: str
    won: int
    lost: int
    open: int
    pushes: list[float]
    pushed: int
    latest: int | None

    @property
    def probability(self) -> float | None:
        ended = self.won + self.lost
        return self.won / ended if ended else None


@dataclass(frozen=True)
class ProductSeen:
    """A product: lines won, their median units and price of one, median days from engaged to closed, recent wins."""

    name: str
    won: int
    units: float | None
    price: float | None
    cycle_won: float | None
    cycle_lost: float | None
    recent_units: float


@dataclass(frozen=True)
class History:
    """What the events come to. ``ends`` are won and lost stages by name; ``last`` the newest day."""

    stages: list[StageSeen]
    ends: dict[str, str]
    products: list[ProductSeen]
    currency: str | None
    deals: int
    last: date | None


def class_of(stage: str, won: Iterable[str], lost: Iterable[str]) -> str:
    """won, lost or open: as said, else by what the stage is called."""
    if stage in won:
        return "won"
    if stage in lost:
        return "lost"
    words = set(re.findall(r"[a-z]+", stage.casefold()))
    for kind in ("won", "lost"):
        if any(word.endswith(kind) for word in words) and not (won if kind == "won" else lost):
            return kind
    return "open"


def history_of(events: Iterable[Event], won: Iterable[str] = (), lost: Iterable[str] = ()) -> History:
    """Measure dated ``events`` in their order; ``won`` and ``lost`` name stages, absent: told by their names."""
    won, lost = list(won), list(lost)
    deals: dict[str, _Deal] = defaultdict(_Deal)
    for event in events:
        before = deals[event.deal].said
        known = dict(before[-1][1]) if before else {}
        before.append((event.day, known | event.body["data"]))
    names = Counter(str(data["stage"]) for deal in deals.values() for _, data in deal.said if data.get("stage"))
    kinds = {name: class_of(name, won, lost) for name in names}
    last = max((day for deal in deals.values() for day, _ in deal.said), default=None)
    currencies = Counter(
        str(data["currency"]) for deal in deals.values() for _, data in deal.said if data.get("currency")
    )
    everything = list(deals.values())
    return History(
        stages=[_stage(name, everything, kinds) for name in sorted(kinds) if kinds[name] == "open"],
        ends={name: kind for name, kind in sorted(kinds.items()) if kind != "open"},
        products=list(_products(everything, kinds, last)),
        currency=currencies.most_common(1)[0][0] if currencies else None,
        deals=len(deals),
        last=last,
    )


def _kind(deal: _Deal, kinds: dict[str, str]) -> str:
    return kinds.get(str(deal.last.get("stage")), "open")


def _stage(name: str, deals: list[_Deal], kinds: dict[str, str]) -> StageSeen:
    count: Counter[str] = Counter()
    late: list[int] = []
    for deal in deals:
        there = [data for _, data in deal.said if data.get("stage") == name]
        if not there:
            continue
        kind = _kind(deal, kinds)
        count[kind] += 1
        expected, closed = _date(there[-1].get("close")), _date(deal.last.get("close"))
        if kind == "won" and expected is not None and closed is not None:
            late.append(max((closed - expected).days, 0))
    weeks = Counter(min(days // 7, LATEST) for days in late)
    pushes = [weeks[number] / len(late) for number in range(max(weeks, default=-1) + 1)]
    return StageSeen(name, count["won"], count["lost"], count["open"], pushes, len(late), max(late, default=None))


def _products(deals: list[_Deal], kinds: dict[str, str], last: date | None) -> Iterator[ProductSeen]:
    units: dict[str, list[float]] = defaultdict(list)
    prices: dict[str, list[float]] = defaultdict(list)
    cycles: dict[tuple[str, str], list[int]] = defaultdict(list)
    won: Counter[str] = Counter()
    recent: Counter[str] = Counter()
    seen: set[str] = set()
    for deal in deals:
        kind, closed, engaged = _kind(deal, kinds), _date(deal.last.get("close")), _date(deal.last.get("engaged"))
        for line in deal.last.get("lines", ()):
            product = str(line["product"])
            seen.add(product)
            if kind != "open" and closed is not None and engaged is not None:
                cycles[product, kind].append((closed - engaged).days)
            if kind != "won":
                continue
            quantity = line.get("quantity")
            won[product] += 1
            if quantity is not None:
                units[product].append(float(quantity))
            money = line.get("list_amount", deal.last.get("amount"))
            if money is not None and (quantity is None or quantity > 0):
                prices[product].append(float(money) / float(quantity or 1))
            if last is not None and closed is not None and last - TRAILING < closed <= last:
                recent[product] += float(1 if quantity is None else quantity)  # type: ignore[assignment]
    for name in sorted(seen):
        yield ProductSeen(
            name=name,
            won=won[name],
            units=_median(units[name]),
            price=_median(prices[name]),
            cycle_won=_median(cycles[name, "won"]),
            cycle_lost=_median(cycles[name, "lost"]),
            recent_units=recent[name],
        )


def _median(values: list[Any]) -> float | None:
    return float(median(values)) if values else None


def _date(said: Any) -> date | None:
    return date.fromisoformat(said) if isinstance(said, str) else None
