"""Slow, exact answers to what capacity computes fast; nothing here comes from the code under test."""

import datetime as dt
import json
from fractions import Fraction

OWN = ("count", "p", "p2", "p3", "pq", "pq2", "pq3", "p2q2", "p2q3", "p3q3", "q", "p_net", "p_list", "net")
STAGE = ("count", "q", "q2", "q3", "net")
LISTED = ("count", "list", "net", "arr", "no_rate", "own_list", "own_net", "own_arr", "p_net", "p_arr")


def cells_of(deals: dict[str, bytes | None]) -> dict[tuple, dict]:
    """The exact sums of the last record of each deal, by cell; members as tuples, largest first."""
    cells: dict[tuple, dict] = {}
    for deal_id, raw in deals.items():
        deal = json.loads(raw) if raw is not None else {"deleted": True}
        if deal.get("deleted"):
            continue
        lines = deal.get("lines") or [{"product": ""}]
        for number, line in enumerate(lines):
            add_line(cells, deal_id, deal, number, line, alone=len(lines) == 1)
    for cell in cells.values():
        cell["members"].sort(key=lambda m: (-m[2], m[0], m[1]))
        del cell["members"][32:]
    return cells


def add_line(cells: dict, deal_id: str, deal: dict, number: int, line: dict, alone: bool) -> None:
    rate = Fraction(deal["rate"]) if deal.get("rate") is not None else Fraction(0 if deal.get("currency") else 1)
    amount = line.get("amount")
    if amount is None and alone:
        amount = deal.get("amount")
    net = Fraction(amount if amount is not None else 0) * rate
    q, basis = (Fraction(line["quantity"]), "units") if line.get("quantity") is not None else (net, "amount")
    q = max(q, Fraction(0))
    money = any(each is not None for each in (amount, line.get("list_amount"), line.get("arr")))
    bare = bool(deal.get("currency")) and deal.get("rate") is None and money
    p = line.get("probability", deal.get("probability"))
    close = deal.get("close")
    week = month = ""
    if close:
        year, number_of_week, _ = dt.date.fromisoformat(close).isocalendar()
        week, month = f"{year}-W{number_of_week:02d}", close[:7]
    key = (
        line["product"],
        line["segment"] if line.get("segment") is not None else deal.get("segment", ""),
        line["custom"] if line.get("custom") is not None else deal.get("custom", False),
        line.get("type") or deal.get("type", "new"),
        basis,
        deal.get("stage") or "",
        week,
        month,
    )
    blank = {"own": dict.fromkeys(OWN, 0), "stage": dict.fromkeys(STAGE, 0), "listed": dict.fromkeys(LISTED, 0)}
    cell = cells.setdefault(key, {**blank, "members": []})
    listed = line.get("list_amount")
    listed_value = Fraction(listed if listed is not None else 0) * rate
    if p is None:
        terms = {"count": 1, "q": q, "q2": q**2, "q3": q**3, "net": net}
        part = cell["stage"]
    else:
        f = Fraction(p)
        terms = {"count": 1, "p": f, "p2": f**2, "p3": f**3, "pq": f * q, "pq2": f * q**2, "pq3": f * q**3}
        terms |= {"p2q2": f**2 * q**2, "p2q3": f**2 * q**3, "p3q3": f**3 * q**3, "q": q}
        terms |= {"p_net": f * net, "p_list": f * listed_value, "net": net}
        part = cell["own"]
    for name, value in terms.items():
        part[name] += value
    yearly = Fraction(line.get("arr") or 0) * rate
    sums = {"arr": yearly, "no_rate": int(bare)}
    if listed is not None and not bare:
        sums |= {"count": 1, "list": listed_value, "net": net}
    if p is not None:
        own = {name: sums.get(name, 0) for name in ("arr", "list", "net")}
        sums |= {f"own_{name}": value for name, value in own.items()}
        sums |= {"p_net": f * own["net"], "p_arr": f * yearly}
    for name, value in sums.items():
        cell["listed"][name] += value
    cell["members"].append((deal_id, number, float(q), p, float(net), close or "", bare))


def chance(total: Fraction | float, limit: float) -> bool:
    """Strictly more than the limit, an hour's billionth being nothing."""
    return total > limit + 1e-9 * max(abs(limit), 1)


def outcomes_of(deal: tuple[float, float, int, list[float], list[float]], week: int) -> list[tuple[float, float]]:
    """(probability, amount) of each thing a deal may do to ``week``: not won, or won and closing k weeks late.

    A deal is quantity, win probability, close week, effort by week since the close, shares closing k weeks late.
    """
    quantity, p, close, effort, pushes = deal
    found = [(1 - p, 0.0)]
    for late, share in enumerate(pushes):
        since = week - close - late
        found.append((p * share, quantity * effort[since] if 0 <= since < len(effort) else 0.0))
    return found


def distribution(deals: list[tuple], week: int) -> dict[float, float]:
    """The exact distribution of what all deals ask in ``week``, by enumerating every outcome."""
    sums = {0.0: 1.0}
    for deal in deals:
        new: dict[float, float] = {}
        for total, mass in sums.items():
            for p, amount in outcomes_of(deal, week):
                at = round(total + amount, 9)
                new[at] = new.get(at, 0.0) + mass * p
        sums = new
    return sums


def moments(sums: dict[float, float]) -> tuple[float, float, float]:
    """Mean, variance and third central moment of a distribution."""
    mean = sum(x * p for x, p in sums.items())
    return mean, sum((x - mean) ** 2 * p for x, p in sums.items()), sum((x - mean) ** 3 * p for x, p in sums.items())
