"""What owners said about capacity: reports, and decisions that count until a report confirms them or time is over."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime

import msgspec

from services.capacity.domain.contribution import ABSURD
from shared.schemas.decision import Decision, Effect
from shared.schemas.report import Report
from shared.schemas.week import monday


class Reports:
    """The reports that count, by pool. Of one key the newest stamp wins; what is withdrawn does not count."""

    def __init__(self) -> None:
        self._by_key: dict[bytes, Report] = {}
        self._on_pool: dict[str, dict[bytes, Report]] = defaultdict(dict)
        self._newest: dict[str, int | None] = {}
        """When the newest report that counts was made; of a pool whose reports changed since, not there."""
        self._on_deals: dict[bytes, Report] = {}
        self.deals_changed = False
        """Something was said of a deal since somebody set this back."""

    def put(self, key: bytes, report: Report) -> str | None:
        """Take a report in; answers the pool it is about when it counts there. ValueError: its week is none.

        An absurd amount is held to ``ABSURD``.
        """
        if report.week is not None:
            monday(report.week)
        if report.amount is not None and abs(report.amount) > ABSURD:
            report = msgspec.structs.replace(report, amount=_held(report.amount))
        before = self._by_key.get(key)
        if before is not None and before.stamp > report.stamp:
            return None
        self._by_key[key] = report
        if report.deal is not None:
            self._on_deals[key], self.deals_changed = report, True
        if report.pool is not None:
            self._on_pool[report.pool][key] = report
            self._newest.pop(report.pool, None)
        return report.pool

    def drop(self, key: bytes) -> str | None:
        """The record was deleted from the log; answers the pool it was about."""
        report = self._by_key.pop(key, None)
        self.deals_changed |= self._on_deals.pop(key, None) is not None
        if report is None or report.pool is None:
            return None
        self._on_pool[report.pool].pop(key, None)
        self._newest.pop(report.pool, None)
        return report.pool

    def of(self, pool: str, kind: str) -> list[Report]:
        """The reports of one kind about a pool that say a number, oldest first."""
        found = [report for report in self._counting(pool) if report.kind == kind and report.amount is not None]
        return sorted(found, key=lambda report: (report.stamp, report.source, report.object))

    def on_deals(self) -> list[Report]:
        """The reports about deals, oldest first."""
        found = [report for report in self._on_deals.values() if not report.withdrawn]
        return sorted(found, key=lambda report: (report.stamp, report.source, report.object))

    def _counting(self, pool: str) -> Iterator[Report]:
        return (report for report in self._on_pool.get(pool, {}).values() if not report.withdrawn)

    def confirmed(self) -> frozenset[str]:
        """The recalibrations whose decided effect somebody has reported as there."""
        return frozenset(r.confirms for r in self._by_key.values() if r.confirms and not r.withdrawn)

    def ages(self, pools: Iterable[str], now: datetime) -> dict[str, float | None]:
        """By pool, seconds since its last report that still counts; None when there is none."""
        found: dict[str, float | None] = {}
        at = now.timestamp()
        for pool in pools:
            if pool not in self._newest:
                self._newest[pool] = max((r.stamp.time for r in self._counting(pool)), default=None)
            newest = self._newest[pool]
            found[pool] = None if newest is None else max(at - newest / 1000, 0.0)
        return found

    def age(self, pool: str, now: datetime) -> float | None:
        """The same of one pool."""
        return self.ages([pool], now)[pool]


class Decisions:
    """The decided effects. A later decision on the same recalibration replaces the earlier one's."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._decided: dict[str, Decision] = {}

    def put(self, decision: Decision) -> bool:
        """Take a decision in; answers whether it may change capacity. One already seen changes nothing.

        Raises ValueError when a week of its effects is none.
        """
        for effect in decision.effects:
            for week in effect.weeks:
                monday(week)
        if decision.id in self._seen:
            return False
        self._seen.add(decision.id)
        if decision.kind not in ("decided", "overridden"):
            return False
        # By the order of the log, which is that of the notifier's transactions: clocks may be set back, or differ.
        self._decided[decision.recalibration] = decision
        return True

    def amounts(self, now: datetime, confirmed: frozenset[str]) -> dict[str, dict[str, float]]:
        """Decided capacity by pool and week. Once confirmed it is in the report that confirmed it.

        A week that an effect names twice counts once, as it does where it is held against what its owner may decide.
        """
        found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for recalibration, effect in self._effects():
            if not effect.deals and recalibration not in confirmed and not _over(effect, now):
                for week in dict.fromkeys(effect.weeks):
                    found[effect.pool][week] += _held(effect.amount)
        return found

    def withheld(self, now: datetime, confirmed: frozenset[str]) -> dict[str, frozenset[str]]:
        """The deals that by decision ask nothing of a pool. What is confirmed stays so."""
        found: dict[str, set[str]] = defaultdict(set)
        for recalibration, effect in self._effects():
            if effect.deals and (recalibration in confirmed or not _over(effect, now)):
                found[effect.pool].update(effect.deals)
        return {pool: frozenset(deals) for pool, deals in found.items()}

    def _effects(self) -> Iterator[tuple[str, Effect]]:
        for recalibration in sorted(self._decided):
            for effect in self._decided[recalibration].effects:
                yield recalibration, effect


def _held(amount: float) -> float:
    return max(min(amount, ABSURD), -ABSURD)


def _over(effect: Effect, now: datetime) -> bool:
    return effect.confirm_by is not None and now > effect.confirm_by
