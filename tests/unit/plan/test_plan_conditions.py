"""The conditions of triggers: what they mean, and that one which can never hold is told apart from one that can."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.conditions import FIELDS, compile_condition
from shared.schemas.plan_conditions import WATCHED, Comparison, both_hold, can_hold, parse_condition

OPERATORS = ["<", "<=", ">", ">=", "=="]
comparisons = st.builds(Comparison, st.just("headroom"), st.sampled_from(OPERATORS), st.integers(-3, 3).map(float))


def test_what_a_plan_may_name_is_what_the_triggers_service_reads() -> None:
    numbers = {watch: {f.name for f in fields if f.type == "number"} for watch, fields in FIELDS.items()}
    assert numbers == {watch: set(fields) for watch, fields in WATCHED.items()}


@pytest.mark.parametrize("text", ["overload > 0.3", "overload>.3 and headroom < -10", "backlog >= 1e3 && p80 == 2"])
def test_a_condition_of_a_plan_compiles_in_the_triggers_service(text: str) -> None:
    assert parse_condition(text, "position")
    compile_condition(text, "position")


@given(st.lists(comparisons, min_size=1, max_size=4))
def test_can_hold_agrees_with_trying_every_value(conditions: list[Comparison]) -> None:
    values = [quarter / 4 for quarter in range(-20, 21)]
    assert can_hold(conditions) == any(all(c.holds(value) for c in conditions) for value in values)


@pytest.mark.parametrize(
    ("text", "holds"),
    [("overload > 1", False), ("overload >= 1", True), ("overload < 0", False), ("backlog < 0", False)],
)
def test_bounds_of_fields_are_known(text: str, holds: bool) -> None:
    assert can_hold(parse_condition(text, "position")) is holds


def test_overlap_is_judged_on_the_same_fields_only() -> None:
    when, clear = parse_condition("overload > 0.3", "position"), parse_condition("overload < 0.5", "position")
    assert both_hold(when, clear)
    assert not both_hold(when, parse_condition("overload < 0.3", "position"))
    assert not both_hold(when, parse_condition("backlog < 5", "position"))


@given(st.sampled_from(OPERATORS), st.integers(-3, 3), st.integers(-3, 3))
def test_a_comparison_means_what_it_says_there_too(operator: str, value: int, number: int) -> None:
    text = f"headroom {operator} {number}"
    (ours,) = parse_condition(text, "position")
    assert compile_condition(text, "position").evaluate({"headroom": float(value)}) == ours.holds(float(value))


@pytest.mark.parametrize(("spaces", "joint"), list(product(["", " ", "  "], ["and", "&&"])))
def test_spaces_do_not_matter(spaces: str, joint: str) -> None:
    text = f"{spaces}overload{spaces}>{spaces}0.3 {joint} p50 < 1{spaces}"
    assert [c.field for c in parse_condition(text, "position")] == ["overload", "p50"]
