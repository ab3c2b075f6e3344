"""Answers: who may give one, which effects can be applied, when two are the same."""

import math
from dataclasses import replace

import pytest

from services.notifier.domain.answers import Words, name, objections, refusal
from shared.schemas.decision import Effect
from shared.schemas.recalibration import AskedPerson, Recalibration
from tests.unit.notifier.asked import recalibration

WEEKS = ["2026-W14"]


def asked(kind: str = "firing") -> Recalibration:
    return recalibration(
        kind=kind,
        owners=[AskedPerson("owner")],
        inform=[AskedPerson("informed")],
        escalation=[AskedPerson("chief")],
    )


@pytest.mark.parametrize(
    ("kind", "by", "cause"),
    [
        ("firing", "owner", None),
        ("firing", "chief", None),
        ("mitigated", "owner", None),
        ("firing", "informed", "not-asked"),
        ("firing", "somebody", "not-asked"),
        ("resolved", "owner", "closed"),
    ],
)
def test_who_may_answer(kind: str, by: str, cause: str | None) -> None:
    refused = refusal(asked(kind), by)
    assert (refused and refused.cause) == cause


@pytest.mark.parametrize(
    ("effect", "wrong"),
    [
        (Effect("a", WEEKS, 8.0), 0),
        (Effect("a", WEEKS, -8.0), 0),
        (Effect("a", deals=["d1"]), 0),
        (Effect("a", ["2026-W53"], 1.0), 0),
        (Effect("a", ["2025-W53"], 1.0), 1),
        (Effect("a", ["2026-W1"], 1.0), 1),
        (Effect("a", ["soon"], 1.0), 1),
        (Effect("a", ["2026-W14", "2026-W99"], 1.0), 1),
        (Effect("a"), 2),
        (Effect("a", WEEKS, 0.0), 1),
        (Effect("a", WEEKS, math.inf), 1),
        (Effect("", WEEKS, 1.0), 1),
    ],
)
def test_effects_that_cannot_be_applied_are_objected_to(effect: Effect, wrong: int) -> None:
    assert len(objections((effect,))) == wrong


DECIDED = Words("decided", "owner", "why", "overtime", (Effect("a", WEEKS, 8.0),))
NOTED = Words("acknowledged", "owner", "seen")


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((DECIDED, "r1", 1, None), (DECIDED, "r1", 1, None), True),
        ((DECIDED, "r1", 1, None), (replace(DECIDED, why="else"), "r1", 1, None), False),
        ((DECIDED, "r1", 1, None), (DECIDED, "r2", 1, None), False),
        ((DECIDED, "r1", 1, None), (DECIDED, "r1", 5, None), False),
        ((DECIDED, "r1", 1, "k"), (DECIDED, "r1", 1, "k"), True),
        ((DECIDED, "r1", 1, "k"), (DECIDED, "r1", 1, "l"), False),
        ((NOTED, "r1", 1, None), (replace(NOTED, why="seen again"), "r1", 1, None), True),
        ((NOTED, "r1", 1, None), (replace(NOTED, by="chief"), "r1", 1, None), False),
        ((NOTED, "r1", 1, "k"), (DECIDED, "r1", 1, "k"), False),
    ],
)
def test_when_two_answers_are_the_same(first: tuple, second: tuple, same: bool) -> None:  # type: ignore[type-arg]
    assert (name(*first).id == name(*second).id) == same


def test_going_back_to_former_words_is_a_new_decision_but_repeating_the_standing_one_is_not() -> None:
    first = name(DECIDED, "r1", 1, None)
    second = name(replace(DECIDED, why="else"), "r1", 1, None, first)
    back = name(DECIDED, "r1", 1, None, second)
    assert len({first.id, second.id, back.id}) == 3
    assert name(DECIDED, "r1", 1, None, back) == back
    assert name(DECIDED, "r1", 2, None, back).id != back.id


def test_the_same_key_with_other_words_is_noticed_by_the_fingerprint() -> None:
    one, other = name(DECIDED, "r1", 1, "k"), name(replace(DECIDED, why="else"), "r1", 1, "k")
    assert one.id == other.id
    assert one.fingerprint != other.fingerprint
