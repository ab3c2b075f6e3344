"""The capacity model as one would do it by hand: every deal, week by week, from plain data. No code of the model's."""

import datetime as dt
from typing import Any

LOOK_BACK = 26
Effort = dict[int, float]
"""By number of the week (Mondays since the first year)."""


def number(day: dt.date) -> int:
    return (day.toordinal() - 1) // 7


def name(week: int) -> str:
    year, iso, _ = dt.date.fromordinal(week * 7 + 1).isocalendar()
    return f"{year}-W{iso:02d}"


def units(line: dict[str, Any], product: dict[str, Any]) -> float:
    if line.get("quantity") is not None:
        return max(line["quantity"], 0.0)
    if product.get("quantity") == {"from": "amount"}:
        return max(line.get("amount") or 0.0, 0.0) / product["list_price"]
    return 1.0


def curve(need: dict[str, Any], custom: bool) -> list[float]:
    effort = need.get("custom_effort", need["effort"]) if custom else need["effort"]
    if need.get("per") == "week":
        shape = [effort] * need["weeks"]
    else:
        shape = [effort / need["curve"]["weeks"]] * need["curve"]["weeks"]
    return [0.0] * need.get("after_weeks", 0) + shape


class Line:
    """One line: what it is, how likely, and when it closes."""

    def __init__(self, plan: dict[str, Any], deal: str, said: dict[str, Any], line: dict[str, Any], today: dt.date):
        self.deal, self.name = deal, line["product"]
        self.product = plan["products"].get(line["product"])
        stage = plan["stages"].get(said["stage"])
        self.kind = stage["class"] if stage else "unknown"
        own = said.get("probability")
        usual = (stage or {}).get("probability", 0.0)
        self.p = {"won": 1.0, "lost": 0.0}.get(self.kind, usual if own is None else own)
        self.close = dt.date.fromisoformat(said["close"]) if said.get("close") else None
        self.units = units(line, self.product) if self.product else 0.0
        pushes = (stage or {}).get("push_weeks", [1.0])
        rest = 1.0 - sum(pushes)
        self.pushes = [*pushes, rest] if rest > 1e-9 else pushes
        self.stale = self._is_stale(stage or {}, today)
        now = number(today)
        self.only_exposure = self.kind in ("open", "unknown") and (self.close is None or self.stale)
        self.at: int | None = None if self.close is None else number(self.close)
        if self.kind in ("open", "unknown"):
            self.at = now if self.only_exposure or self.at is None else max(self.at, now)
        self.of_one = self._of_one(said)
        self.curves = {pool: [self.units * each for each in effort] for pool, effort in self.of_one.items()}

    def _is_stale(self, stage: dict[str, Any], today: dt.date) -> bool:
        if "stale_after" not in stage or self.close is None:
            return False
        last = self.close
        while last.isoweekday() < 7 and (last + dt.timedelta(days=1)).month == last.month:
            last += dt.timedelta(days=1)
        return last + dt.timedelta(days=int(stage["stale_after"][:-1])) < today

    def _of_one(self, said: dict[str, Any]) -> dict[str, list[float]]:
        """What one unit asks of each pool."""
        found: dict[str, list[float]] = {}
        for need in (self.product or {}).get("needs", []):
            if said.get("type", "new") in need.get("for", ["new", "expansion", "renewal"]):
                found[need["pool"]] = curve(need, bool(said.get("custom")))
        return found

    @property
    def first(self) -> int:
        """Weeks after the close in which some pool is first asked, were there one unit of it."""
        return min((begin_of(each) for each in self.of_one.values() if any(each)), default=0)

    def outcomes(self, pool: str) -> list[tuple[float, Effort]]:
        """What it asks of a pool if it is won, however late, with the chance of that."""
        effort = self.curves.get(pool, [])
        at = self.at or 0
        return [
            (share, {at + late + i: each for i, each in enumerate(effort) if each})
            for late, share in enumerate(self.pushes)
        ]


def begin_of(effort: list[float]) -> int:
    """The first week in which something is asked."""
    return next((week for week, each in enumerate(effort) if each), 0)


def replaced(lines: list[Line], pool: str, said: dict[str, Any]) -> list[Effort] | None:
    """What the lines of one deal ask of a pool instead of their curves; None: by their curves."""
    start = said["starts"].get(pool, said["starts"].get("")), pool in said["starts"]
    left = said["left"].get(pool)
    if start[0] is None and left is None:
        return None
    found: list[Effort] = []
    for line in lines:
        effort, at = line.curves[pool], line.at or 0
        if start[0] is not None:
            at = number(start[0]) - (begin_of(line.of_one[pool]) if start[1] else line.first)
        found.append({at + i: each for i, each in enumerate(effort)})
    if left is None:
        return found
    since, amount = left
    rest = sum(each for one in found for week, each in one.items() if week >= since)
    total = sum(each for one in found for each in one.values())
    new: list[Effort] = []
    for one in found:
        kept = {week: each for week, each in one.items() if week < since}
        if rest > 0:
            kept |= {week: each * amount / rest for week, each in one.items() if week >= since}
        elif total > 0:
            begin = min((week for week, each in one.items() if each), default=since)  # nothing of nothing
            kept |= {since + week - begin: each * amount / total for week, each in one.items() if week >= begin}
        else:
            begin = max(since, min(one))  # of a deal that asks nothing, from when it would begin
            kept[begin] = kept.get(begin, 0.0) + amount / len(found)
        new.append(kept)
    return new


class Pool:
    """Everything that is asked of one pool."""

    def __init__(self) -> None:
        self.booked: Effort = {}
        self.expected: Effort = {}
        self.exposure: Effort = {}
        self.uncertain: list[tuple[str, float, list[tuple[float, Effort]]]] = []

    def add(self, line: Line, outcomes: list[tuple[float, Effort]]) -> None:
        into = self.booked if line.kind == "won" else self.expected
        for share, effort in outcomes:
            for week, amount in effort.items():
                if line.kind != "won":
                    self.exposure[week] = self.exposure.get(week, 0.0) + share * amount
                if not line.only_exposure:
                    into[week] = into.get(week, 0.0) + line.p * share * amount
        if line.kind != "won" and not line.only_exposure and any(any(effort.values()) for _, effort in outcomes):
            self.uncertain.append((line.deal, line.p, outcomes))


def asked(plan: dict[str, Any], lines: list[Line], actual: dict[str, Any]) -> dict[str, Pool]:
    """What all lines ask, by pool."""
    pools = {pool: Pool() for pool in plan["pools"]}
    counting = [line for line in lines if line.product and line.kind != "lost" and line.at is not None]
    for pool, found in pools.items():
        for deal in sorted({line.deal for line in counting}):
            own = [line for line in counting if line.deal == deal and line.curves.get(pool)]
            usual = [line for line in own if not line.only_exposure]
            instead = replaced(usual, pool, actual[deal]) if usual and deal in actual else None
            for line in own:
                if instead is None or line.only_exposure:
                    found.add(line, line.outcomes(pool))
                else:
                    found.add(line, [(1.0, instead[usual.index(line)])])
    return pools


def planned(plan: dict[str, Any], lines: list[Line], today: dt.date, weeks: range) -> dict[str, dict[int, float]]:
    """Units of each product that are planned to be won, by week."""
    found: dict[str, dict[int, float]] = {}
    for product in plan["products"]:
        sold = [line for line in lines if line.name == product and line.close and line.kind in ("open", "won")]
        sold = [line for line in sold if not line.stale]
        days = [(line, line.close if line.kind == "won" else max(line.close, today)) for line in sold]  # type: ignore[type-var]
        units_of: dict[int, float] = {}
        covered: set[int] = set()
        for milestone in plan.get("milestones", {}).values():
            first, last = dt.date.fromisoformat(milestone["from"]), dt.date.fromisoformat(milestone["due"])
            if milestone["product"] != product or last < today:
                continue
            covered.update(range(number(first), number(last) + 1))
            there = sum(line.p * line.units for line, day in days if first <= day <= last)  # type: ignore[operator]
            length = (last - first).days + 1
            parts = milestone.get("linearity", [1.0])
            weight = {
                first + dt.timedelta(days=n): parts[n * len(parts) // length] for n in range(length)
            }  # windows are cut so that every part has whole days
            ahead = {day: each for day, each in weight.items() if day >= today}
            if not sum(ahead.values()):
                ahead = dict.fromkeys(ahead, 1.0)
            missing = max(milestone["quantity"] - there, 0.0)
            own: dict[int, float] = {}
            for day, each in ahead.items():
                own[number(day)] = own.get(number(day), 0.0) + missing * each / sum(ahead.values())
            for week, each in own.items():
                units_of[week] = max(units_of.get(week, 0.0), each)
        now = number(today)
        won = sum(line.units for line in sold if line.kind == "won" and now - 13 <= number(line.close) < now)  # type: ignore[arg-type]
        for begin in range(now, weeks.stop, 13):
            bare = [week for week in range(begin, min(begin + 13, weeks.stop)) if week not in covered]
            there = sum(line.p * line.units for line, day in days if number(day) in bare)  # type: ignore[arg-type]
            for week in bare:
                units_of[week] = units_of.get(week, 0.0) + max(won * len(bare) / 13 - there, 0.0) / len(bare)
        found[product] = units_of
    return found


def planned_on(plan: dict[str, Any], pool: str, by_product: dict[str, dict[int, float]]) -> Effort:
    """What the planned units ask of a pool."""
    found: Effort = {}
    for product, units_of in by_product.items():
        for need in plan["products"][product].get("needs", []):
            if need["pool"] == pool and "new" in need.get("for", ["new"]):
                for week, many in units_of.items():
                    for i, each in enumerate(curve(need, False)):
                        found[week + i] = found.get(week + i, 0.0) + many * each
    return found


def overload(uncertain: list[tuple[str, float, list[tuple[float, Effort]]]], certain: float, week: int,
             capacity: float) -> tuple[float, bool]:  # fmt: skip
    """P(more than capacity) by enumeration, and whether no sum lies so close to it that rounding decides."""
    sums = {certain: 1.0}
    for _, p, outcomes in uncertain:
        new: dict[float, float] = {}
        for total, mass in sums.items():
            for chance, amount in [(1 - p, 0.0), *((p * share, effort.get(week, 0.0)) for share, effort in outcomes)]:
                at = round(total + amount, 9)
                new[at] = new.get(at, 0.0) + mass * chance
        sums = new
    clear = all(abs(total - capacity) > 0.02 * max(capacity, 1.0) for total, mass in sums.items() if mass > 1e-9)
    return sum(mass for total, mass in sums.items() if total > capacity + 1e-7 * max(capacity, 1.0)), clear
