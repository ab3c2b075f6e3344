"""Deals, reports, plans, days and restarts in any order: frames tell what one reckons by hand from scratch."""

import datetime as dt
import json
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from services.capacity.domain.pool import Depth
from services.capacity.domain.projector import PlanInForce, Projector
from shared.schemas.deal import Stamp
from shared.schemas.plan import Plan
from shared.schemas.position import Position
from shared.schemas.report import Report, record_key
from tests.unit.capacity import slow_model as slow
from tests.unit.capacity.books import Partition

TODAY = dt.date(2026, 3, 30)
DEALS = [f"crm/{n}" for n in range(5)]
POOLS = ["eng", "ops"]


def plan(per_week: float, **more: Any) -> dict[str, Any]:
    return {
        "plan": "machine",
        "currency": "EUR",
        "horizon_weeks": 14,
        "people": {"ana": {"name": "Ana"}},
        "stages": {
            "qualified": {"class": "open", "probability": 0.4, "stale_after": "40d"},
            "pushed": {"class": "open", "probability": 0.5, "push_weeks": [0.5, 0.25]},
            "won": {"class": "won"},
            "lost": {"class": "lost"},
        },
        "pools": {
            "eng": {"kind": "work", "unit": "h", "owner": "ana", "capacity": {"per_week": per_week}, "base_load": 4},
            "ops": {"kind": "work", "unit": "h", "owner": "ana", "capacity": {"per_week": 0}},
        },
        "products": {
            "basic": {
                "needs": [
                    {"pool": "eng", "effort": 30, "custom_effort": 48, "curve": {"shape": "flat", "weeks": 3}},
                    {"pool": "ops", "effort": 4, "per": "week", "weeks": 2, "after_weeks": 2, "for": ["new"]},
                ]
            },
            "by-amount": {
                "list_price": 100,
                "quantity": {"from": "amount"},
                "needs": [{"pool": "eng", "effort": 10, "curve": {"shape": "flat", "weeks": 1}, "after_weeks": 1}],
            },
            "bare": {},
        },
        **more,
    }


GOALS = {
    "june": {"product": "basic", "from": "2026-06-01", "due": "2026-06-30", "quantity": 6, "linearity": [0.4, 0.6]},
    "may": {"product": "basic", "from": "2026-05-01", "due": "2026-05-31", "quantity": 2},
}
PLANS = [plan(40.0), plan(25.0, milestones=GOALS)]

LINES = st.fixed_dictionaries(
    {"product": st.sampled_from(["basic", "basic", "by-amount", "bare", "unknown"])},
    optional={"quantity": st.sampled_from([-1.0, 0.0, 0.5, 1.0, 3.0]), "amount": st.sampled_from([50.0, 700.0])},
)
CLOSES = st.integers(-60, 80).map(lambda days: (TODAY + dt.timedelta(days=days)).isoformat())
SAID = st.fixed_dictionaries(
    {
        "stage": st.sampled_from(["qualified", "pushed", "won", "won", "lost", "elsewhere"]),
        "lines": st.lists(LINES, min_size=1, max_size=2),
        "close": st.one_of(*[CLOSES] * 5, st.none()),
    },
    optional={
        "probability": st.sampled_from([0.0, 0.25, 1.0]),
        "custom": st.booleans(),
        "type": st.sampled_from(["new", "renewal"]),
    },
)


class Machine(RuleBasedStateMachine):
    """The model on the one side, what was said to it on the other."""

    @initialize(which=st.sampled_from([0, 1]), said=st.dictionaries(st.sampled_from(DEALS), SAID, max_size=3))
    def begin(self, which: int, said: dict[str, dict[str, Any]]) -> None:
        self.today, self.which, self.version, self.time = TODAY, which, 1, 0
        self.deals: dict[str, bytes] = {deal: json.dumps(one).encode() for deal, one in said.items()}
        self.reports: dict[bytes, Report] = {}
        self.table: dict[tuple[str, str], Position] = {}
        self.restart()

    @rule()
    def restart(self) -> None:
        """Another process reads everything from the beginning."""
        self.projector = Projector(Depth(tails=True, paths=False))
        self.partition = Partition(self.projector.book)
        self.projector.cells_changed(self.partition.put(dict(self.deals)))
        for key, report in self.reports.items():
            self.projector.reported(self.projector.reports.put(key, report))

    @rule(said=st.dictionaries(st.sampled_from(DEALS), SAID, min_size=1, max_size=3))
    def say(self, said: dict[str, dict[str, Any]]) -> None:
        for deal, one in said.items():
            self._put(deal, json.dumps(one).encode())

    @rule(deal=st.sampled_from(DEALS), days=st.integers(1, 110), quantity=st.sampled_from([1.0, 4.0]))
    def win(self, deal: str, days: int, quantity: float) -> None:
        """What was won lately says what is to come where no milestone does."""
        said = {"stage": "won", "close": (self.today - dt.timedelta(days=days)).isoformat()}
        self._put(deal, json.dumps(said | {"lines": [{"product": "basic", "quantity": quantity}]}).encode())

    @rule(deal=st.sampled_from(DEALS))
    def delete(self, deal: str) -> None:
        self._put(deal, b'{"deleted": true}')

    @rule(pool=st.sampled_from(POOLS), ahead=st.integers(0, 9), amount=st.sampled_from([0.0, 10.0, 60.0]))
    def report_capacity(self, pool: str, ahead: int, amount: float) -> None:
        self._report("capacity", pool=pool, week=slow.name(slow.number(TODAY) + ahead), amount=amount)

    @rule(pool=st.sampled_from(POOLS), ahead=st.integers(0, 9), amount=st.sampled_from([5.0, 500.0]))
    def report_absence(self, pool: str, ahead: int, amount: float) -> None:
        self._report("absence", pool=pool, week=slow.name(slow.number(TODAY) + ahead), amount=amount)

    @rule(deal=st.sampled_from(DEALS), days=st.integers(-20, 60), pool=st.sampled_from([None, None, *POOLS]))
    def report_start(self, deal: str, days: int, pool: str | None) -> None:
        self._report("delivery-start", deal=deal, day=TODAY + dt.timedelta(days=days), pool=pool)

    @rule(
        deal=st.sampled_from(DEALS),
        ahead=st.integers(-3, 9),
        pool=st.sampled_from(POOLS),
        amount=st.sampled_from([0.0, 9.0, 80.0]),
    )
    def report_left(self, deal: str, ahead: int, pool: str, amount: float) -> None:
        self._report(
            "remaining-effort", deal=deal, pool=pool, week=slow.name(slow.number(TODAY) + ahead), amount=amount
        )

    @rule()
    def change_plan(self) -> None:
        self.which, self.version = 1 - self.which, self.version + 1

    @rule(days=st.integers(1, 12))
    def pass_time(self, days: int) -> None:
        self.today += dt.timedelta(days=days)

    @rule()
    def look(self) -> None:
        """Frames add up to the table that one reckons by hand."""
        moment = dt.datetime.combine(self.today, dt.time(8), dt.UTC)
        force = PlanInForce(f"machine@{self.version}", Plan.model_validate(PLANS[self.which]))
        made = self.projector.project(moment, force)
        if made is not None:
            if made.complete:
                self.table = {}
            self.table.update({(row.pool, row.week): row for row in made.positions})
        self._compare()

    teardown = look

    def _put(self, deal: str, raw: bytes) -> None:
        self.deals[deal] = raw
        self.projector.cells_changed(self.partition.put({deal: raw}))

    def _report(self, kind: str, **said: Any) -> None:
        self.time += 1
        report = Report(kind=kind, source="test", object="one", reporter="ana", stamp=Stamp(self.time), **said)  # type: ignore[arg-type]
        key = record_key(report)
        self.reports[key] = report
        self.projector.reported(self.projector.reports.put(key, report))

    def _compare(self) -> None:
        said = PLANS[self.which]
        now = slow.number(self.today)
        shown = range(now, now + said["horizon_weeks"])
        lines = [
            slow.Line(said, deal, one, line, self.today)
            for deal, raw in sorted(self.deals.items())
            for one in [json.loads(raw)]
            for line in one.get("lines", ())
        ]
        pools = slow.asked(said, lines, self._actual())
        plans = slow.planned(said, lines, self.today, shown)
        assert set(self.table) == {(pool, slow.name(week)) for pool in POOLS for week in shown}
        for pool, found in pools.items():
            self._compare_pool(pool, found, slow.planned_on(said, pool, plans), shown)

    def _compare_pool(self, pool: str, found: slow.Pool, planned: slow.Effort, shown: range) -> None:
        base = PLANS[self.which]["pools"][pool].get("base_load", 0.0)
        backlog = 0.0
        for week in range(shown.start - slow.LOOK_BACK, shown.stop):
            capacity = self._capacity(pool, week)
            booked, expected = found.booked.get(week, 0.0), found.expected.get(week, 0.0)
            backlog = max(0.0, backlog + base + booked + expected - capacity)
            if week not in shown:
                continue
            row = self.table[pool, slow.name(week)]
            told = (row.capacity, row.base, row.booked, row.expected, row.exposure, row.planned, row.backlog)
            wanted = (capacity, base, booked, expected, found.exposure.get(week, 0.0), planned.get(week, 0.0), backlog)
            assert told == pytest.approx(wanted, rel=1e-7, abs=1e-6), (pool, row.week)
            named = [deal for deal, _, _ in found.uncertain]
            if len(named) == len(set(named)):  # lines of one deal are won together, which enumeration leaves out
                chance, clear = slow.overload(found.uncertain, base + booked, week, capacity)
                assert not clear or row.overload == pytest.approx(chance, abs=0.01), (pool, row.week)

    def _capacity(self, pool: str, week: int) -> float:
        about = [one for one in self.reports.values() if one.pool == pool and one.week == slow.name(week)]
        for one in about:
            if one.kind == "capacity":
                return one.amount or 0.0
        per_week = PLANS[self.which]["pools"][pool]["capacity"]["per_week"]
        return max(per_week - sum(one.amount or 0.0 for one in about if one.kind == "absence"), 0.0)

    def _actual(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = {deal: {"starts": {}, "left": {}} for deal in DEALS}
        for one in sorted(self.reports.values(), key=lambda report: report.stamp):
            if one.kind == "delivery-start" and one.deal:
                found[one.deal]["starts"][one.pool or ""] = one.day
            elif one.kind == "remaining-effort" and one.deal and one.week:
                since = slow.number(dt.date.fromisocalendar(int(one.week[:4]), int(one.week[6:]), 1))
                found[one.deal]["left"][one.pool] = (since, one.amount)
        return found


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=50, stateful_step_count=12, deadline=None)
