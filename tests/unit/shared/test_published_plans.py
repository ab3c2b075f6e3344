"""Published plans as processes follow them, also where a record is none."""

import json

import pytest

from services.capacity.agents.plans import Plans as CapacityPlans
from services.triggers.plans import Plans as TriggerPlans
from shared.plans import PublishedPlans
from shared.streams import metrics
from tests.unit.triggers.scenes import Written, plan_json, published, trigger

ONE, TWO = b"p@1", b"p@2"

NO_PLANS = {
    "no JSON": b"{",
    "no text": b"\xff\xfe",
    "no publication": b"{}",
    "no plan": published({"plan": "p", "currency": 7}, 2),
    "nothing": b"",
}


def written(*records: tuple[bytes | None, bytes | None], into: PublishedPlans | None = None) -> PublishedPlans:
    plans = into if into is not None else PublishedPlans()
    for offset, (key, value) in enumerate(records):
        plans.add(Written(offset, key, value))
    return plans


def of(version: int) -> bytes:
    return published(plan_json(), version)


def in_force(plans: PublishedPlans) -> str | None:
    return plans.last[0] if plans.last else None


def unreadable() -> float:
    return next(iter(metrics.PLANS_UNREADABLE.collect())).samples[0].value


def test_a_plan_is_known_once_it_is_read_and_the_last_is_in_force() -> None:
    plans = PublishedPlans()
    assert plans.get("p@1") is plans.last is None
    written((ONE, of(1)), into=plans)
    plan = plans.get("p@1")
    assert plan is not None
    assert plan.owner_of("engineering") == "eve"
    assert plans.get("p@1") is plan
    assert plans.last == ("p@1", plan)
    assert in_force(written((TWO, of(2)), into=plans)) == "p@2"
    assert in_force(written((ONE, of(1)), into=plans)) == "p@1"  # put in force again
    assert plans.get("p@2") is not None


@pytest.mark.parametrize("broken", NO_PLANS.values(), ids=NO_PLANS)
def test_what_is_no_plan_leaves_the_one_before_in_force(broken: bytes) -> None:
    plans = written((ONE, of(1)), (TWO, broken))
    assert in_force(plans) == "p@1"
    assert plans.get("p@2") is None
    assert unreadable() == 1


def test_what_is_no_plan_replaces_the_plan_under_its_key_as_compaction_does() -> None:
    assert in_force(written((ONE, of(1)), (TWO, of(2)), (TWO, b"{}"))) == "p@1"
    assert written((ONE, of(1)), (ONE, b"{}")).last is None


def test_a_later_plan_or_a_tombstone_heals_it() -> None:
    plans = written((ONE, of(1)), (TWO, b"{}"))
    assert in_force(written((b"p@3", of(3)), into=plans)) == "p@3"
    assert unreadable() == 1
    written((TWO, None), into=plans)
    assert (in_force(plans), unreadable()) == ("p@3", 0)
    again = written((ONE, b"{}"), (ONE, of(1)))
    assert (in_force(again), unreadable()) == ("p@1", 0)


def test_a_tombstone_takes_a_plan_back() -> None:
    assert in_force(written((ONE, of(1)), (TWO, of(2)), (TWO, None))) == "p@1"


def test_the_projection_keeps_the_object_of_the_plan_in_force() -> None:
    plans = CapacityPlans()
    assert plans.in_force is None
    written((ONE, of(1)), into=plans)
    before = plans.in_force
    assert before is not None
    written((TWO, published({"plan": "p"}, 2)), into=plans)
    assert plans.in_force is before
    written((b"p@3", of(3)), into=plans)
    assert plans.in_force is not None
    assert (plans.in_force.name, plans.in_force is plans.in_force) == ("p@3", True)


def test_triggers_have_no_rules_of_what_is_no_plan() -> None:
    plans = TriggerPlans()
    written((ONE, of(1)), (TWO, json.dumps({}).encode()), into=plans)
    book = plans.book("p@1")
    assert book is not None
    assert plans.book("p@2") is None


def test_a_version_that_was_taken_back_and_given_again_has_its_own_rules() -> None:
    plans = TriggerPlans()
    written((ONE, published(plan_json(trigger()), 1)), into=plans)
    former = plans.book("p@1")
    assert former is not None
    assert plans.book("p@1") is former
    written((ONE, None), into=plans)
    assert plans.book("p@1") is None
    written((ONE, of(1)), into=plans)
    assert plans.book("p@1") not in (None, former)
