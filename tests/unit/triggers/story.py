"""A plan of many triggers and histories made up at random, for whatever must hold over all of them."""

import random
from datetime import timedelta
from typing import Any

from shared.schemas.frame import BookingState, Frame, ListedDeal, MilestoneState, SignalState
from shared.schemas.week import add_weeks
from tests.unit.triggers.scenes import (
    MONDAY,
    POOLS,
    WEEK,
    at,
    plan_json,
    plans,
    position,
    slipping,
    trigger,
)

LATE = trigger(trigger="late", watch="work", where={}, when="slip_weeks > 2", clear="slip_weeks <= 1", for_="3h")
SILENT = trigger(trigger="silent", watch="report", where={}, when="report_age > 2", clear="report_age < 1", for_="1h")
BURNING = trigger(trigger="burning", watch="pool", where={}, when="burn_short > 1.5 or missing > 150", clear=None)
ASK_ANA = {"owners": ["ana"], "decide_within": "2d"}
SURGE = trigger(
    trigger="surge", watch="signal", where={"kind": "tickets"}, when="change > 0.5", clear=None, ask=ASK_ANA
)
BOOKED = trigger(
    trigger="booked",
    watch="deal",
    where={},
    when="untethered >= 2 or booking_change > 0.5",
    clear=None,
    keep="2h",
    severity="info",
    ask=ASK_ANA | {"inform": ["deals.pools.owners"]},
)
AIMED = trigger(trigger="aimed", watch="milestone", where={}, when="of_planned < 0.7", clear=None, ask=ASK_ANA)
Q2 = {"q2": {"product": "enterprise", "from": "2026-04-01", "due": "2026-06-30", "quantity": 40.0}}
FIRST = plan_json(
    trigger(),
    trigger(trigger="held", for_="4h", keep="3h", severity="warning"),
    trigger(trigger="everywhere", where={"within_weeks": 3}, when="utilisation > 1", clear=None),
    trigger(trigger="often", where={"function": "engineering"}, of="2 in 3", severity="info"),
    trigger(trigger="tried", when="overload > 0.25", shadow=True),
    LATE,
    SILENT,
    BURNING,
    SURGE,
    BOOKED,
    AIMED,
    milestones=Q2,
    alert_budget={"per_owner_week": 2},
)
SECOND = plan_json(
    trigger(clear="overload < 0.05"),
    trigger(trigger="held", for_="1h"),
    trigger(trigger="tried", when="overload > 0.25"),
    LATE | {"for": "1h"},
    SILENT | {"severity": "warning"},
    BOOKED,
    AIMED,
    milestones=Q2,
)
KNOWN = plans(FIRST, SECOND)
FORGETFUL = plans(FIRST | {"triggers": [one for one in FIRST["triggers"] if one is not BURNING]}, SECOND)
"""Without the one trigger that looks back over days."""


def story(seed: int, length: int) -> list[Frame]:
    """A made-up history: positions that come, change and go, decided effects, new weeks and another plan."""
    chance = random.Random(seed)
    frames: list[Frame] = []
    hours, name, week = 0.0, "p@1", 0
    for i in range(length):
        hours += chance.choice([0.0, 0.01, 0.5, 1.0, 2.0, 9.0, 30.0])
        if chance.random() < 0.05:
            name = chance.choice(["p@1", "p@2"])
        turned = chance.random() < 0.05
        week += turned
        other_plan = i > 0 and frames[-1].plan != name
        complete = i == 0 or turned or other_plan or chance.random() < 0.1
        spread = range(week - 1, week + 6) if complete else chance.sample(range(week, week + 6), chance.randint(0, 2))
        positions = [
            position(
                ahead,
                chance.choice([0.02, 0.1, 0.2, 0.28, 0.4, 0.7]),
                pool=pool,
                utilisation=chance.choice([None, 0.8, 0.8, 1.2]),
                decided=chance.choice([0.0, 0.0, 0.0, 25.0]),
                booked=chance.choice([60.0, 60.0, 75.0]),
            )
            for ahead in spread
            for pool in POOLS
            if complete or chance.random() < 0.7
        ]
        frames.append(
            at(
                hours,
                *positions,
                complete=complete,
                plan=name,
                week=add_weeks(WEEK, week),
                work=[slipping(chance.choice([0.0, 1.5, 3.0, 5.0]))] if complete or chance.random() < 0.3 else [],
                gone=[("implementation", add_weeks(WEEK, week + 3))] if chance.random() < 0.05 else [],
                loading=chance.random() < 0.05,
                more=chance.random() < 0.05,
                **besides(chance, hours, complete=complete),
            )
        )
    return frames


def besides(chance: random.Random, hours: float, *, complete: bool) -> dict[str, Any]:
    """Report ages in every frame; listed deals, signals, bookings and milestones now and then."""

    def sometimes(made: Any) -> Any:
        return made if complete or chance.random() < 0.2 else None

    newest = MONDAY + timedelta(hours=hours - chance.choice([0.0, 5.0]))
    per_week, units, won = chance.choice([10.0, 16.0]), chance.choice([1.0, 2.0]), chance.choice([1.0, 9.0])
    reasons = chance.sample(["no-product", "no-needs", "stale"], chance.randint(0, 3))
    return {
        "report_ages": {pool: chance.choice([None, 3600.0, 100_000.0, 300_000.0]) for pool in POOLS},
        "listed": sometimes([ListedDeal(f"crm/{i}", reason, 10.0) for i, reason in enumerate(reasons)]),
        "signals": sometimes([SignalState("tickets", None, newest, per_week, 10.0)]),
        "bookings": sometimes([BookingState("", units, 1.0), BookingState("enterprise", units, 1.0, units, 1.0)]),
        "milestones": sometimes([MilestoneState("q2", "enterprise", "2026-06-30", 40.0, won, 5.0, 10.0)]),
    }
