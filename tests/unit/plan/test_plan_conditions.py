"""The conditions of triggers: what they accept, what they answer, how they complain, and whether they can hold."""

import operator
from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.schemas import plan_reach
from shared.schemas.plan_conditions import ConditionError, compile_condition
from shared.schemas.plan_fields import WATCHED
from shared.schemas.plan_reach import always_holds, never_holds, overlap

POSITION = WATCHED["position"].fields
NOTHING: dict[str, float | str | None] = dict.fromkeys((field.name for field in POSITION), None)


@pytest.mark.parametrize(
    ("text", "row", "answer"),
    [
        ("overload > 0.30", {"overload": 0.31}, True),
        ("overload > 0.30", {"overload": 0.30}, False),
        ("overload > 0.30", {"overload": None}, None),
        ("headroom < 0", {"headroom": -1.0}, True),
        ("headroom < -5", {"headroom": -4.0}, False),
        ("headroom > +5", {"headroom": 6.0}, True),
        ("utilisation >= 1.", {"utilisation": 1.0}, True),
        ("overload > 0.3 and headroom < 0", {"overload": 0.4, "headroom": -1.0}, True),
        ("overload > 0.3 && headroom < 0", {"overload": 0.4, "headroom": 1.0}, False),
        ("overload > 0.9 or utilisation > 1", {"overload": 0.95, "utilisation": None}, True),
        ("overload > 0.9 or utilisation > 1", {"overload": 0.5, "utilisation": None}, None),
        ("overload > 0.9 and utilisation > 1", {"overload": 0.5, "utilisation": None}, False),
        ("not (overload > 0.3)", {"overload": 0.2}, True),
        ("demand - capacity > 10", {"demand": 115.0, "capacity": 100.0}, True),
        ("pool in ['support', 'sales'] and overload > 0", {"pool": "support", "overload": 0.1}, True),
        ("week >= '2026-W20' && overload > 0.1", {"week": "2026-W09", "overload": 0.5}, False),
    ],
)
def test_answers(text: str, row: dict[str, float | str | None], answer: bool | None) -> None:
    assert compile_condition(text, "position").evaluate(NOTHING | row) is answer


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("overlaod > 0.3", 1, "did you mean overload?"),
        ("overload > 0.3 and utilization > 1", 20, "did you mean utilisation?"),
        ("overload > 'a'", 10, "a number and a text"),
        ("headroom < 0 or pool > 3", 22, "a text and a number"),
        ("overload >", 11, "it ends too early"),
        ("  ", 3, "it ends too early"),
        ("overload > 0.3 xor headroom < 0", 16, "not understood"),
        ("overload > 0.3 and\n headroom > 'x'", 30, "a number and a text"),
        ("overload + 1", 1, "holds or not"),
        ("1 > 2", 1, "speaks of no field"),
        ("pool.owner == 'ana'", 5, "not understood"),
        ("pools == 'support'", 1, "no field 'pools'"),
    ],
)
def test_complaints_name_place_and_remedy(text: str, column: int, words: str) -> None:
    with pytest.raises(ConditionError) as raised:
        compile_condition(text, "position")
    assert raised.value.offset == column - 1
    assert words in raised.value.why


def test_what_cannot_be_watched_is_said() -> None:
    with pytest.raises(ConditionError, match="position, pool, work"):
        compile_condition("margin < 0.5", "weather")


OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
Clause = tuple[str, str, int]
CLAUSES = st.lists(
    st.tuples(st.sampled_from(["headroom", "decided"]), st.sampled_from(sorted(OPERATORS)), st.integers(-2, 2)),
    min_size=1,
    max_size=3,
)
GRID = [quarter / 4 for quarter in range(-16, 17)]


def text_of(clauses: list[Clause], joint: str) -> str:
    return f" {joint} ".join(f"{field} {op} {number}" for field, op, number in clauses)


def answers(clauses: list[Clause], joint: str) -> set[bool]:
    """By trying every quarter, without the language."""
    return {
        (all if joint in ("and", "&&") else any)(
            OPERATORS[op]({"headroom": h, "decided": d}[field], number) for field, op, number in clauses
        )
        for h, d in product(GRID, GRID)
    }


@given(CLAUSES, st.sampled_from(["and", "or", "&&", "||"]))
def test_reach_agrees_with_trying_every_value(clauses: list[Clause], joint: str) -> None:
    condition = compile_condition(text_of(clauses, joint), "position")
    found = answers(clauses, joint)
    assert never_holds(condition) is (found == {False})
    assert always_holds(condition) is (found == {True})


@given(CLAUSES, st.sampled_from(["and", "or"]), st.floats(-3, 3), st.floats(-3, 3))
def test_a_condition_means_what_it_says(clauses: list[Clause], joint: str, headroom: float, decided: float) -> None:
    row = {"headroom": headroom, "decided": decided}
    parts = [OPERATORS[op](row[field], number) for field, op, number in clauses]
    expected = all(parts) if joint == "and" else any(parts)
    assert compile_condition(text_of(clauses, joint), "position").evaluate(NOTHING | row) is expected


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("overload > 1", True),
        ("overload >= 1", False),
        ("overload < 0", True),
        ("backlog < 0", True),
        ("headroom < -1e9", False),
        ("not (overload <= 1)", True),
        ("overload > 0.5 && !(overload > 0.4)", True),
        ("pool == 'a' and pool == 'b'", True),
        ("pool in ['a', 'b'] and pool != 'a'", False),
        ("pool > 'a' and pool < 'b'", False),
        ("week < '2026-W10' and week > '2026-W12'", True),
        pytest.param("demand - capacity > 10 and demand < capacity", False, id="what calculates is not judged"),
    ],
)
def test_what_can_never_hold_is_found(text: str, never: bool) -> None:
    assert never_holds(compile_condition(text, "position")) is never


@pytest.mark.parametrize(
    ("clear", "overlaps"),
    [
        ("overload < 0.3", False),
        ("overload <= 0.3", False),
        ("overload < 0.5", True),
        ("backlog < 5", False),
        ("overload < 0.2 and backlog < 5", False),
        ("overload < 0.5 and backlog < 5", True),
        ("overload < 0.2 or backlog < 5", True),
        ("not (overload > 0.3)", False),
    ],
)
def test_a_clear_that_holds_while_when_does_is_found(clear: str, overlaps: bool) -> None:
    assert overlap(compile_condition("overload > 0.3", "position"), compile_condition(clear, "position")) is overlaps


@pytest.mark.parametrize(("spaces", "joint"), list(product(["", " ", "  "], ["and", "&&"])))
def test_spaces_do_not_matter(spaces: str, joint: str) -> None:
    condition = compile_condition(f"{spaces}overload{spaces}>{spaces}0.3 {joint} p50 < 1{spaces}", "position")
    assert condition.fields == {"overload", "p50"}
    assert condition.evaluate(NOTHING | {"overload": 0.4, "p50": 0.5}) is True


@pytest.mark.parametrize(
    "text",
    [
        f"overload in [{'1' * 60} * 1.0]",
        f"overload in [{'1.' * 30} 1]",
        f"overload in [{'1 , ' * 60}x]",
        "overload in [" + '"" ' * 60 + "x",
    ],
)
def test_whether_it_only_compares_is_seen_in_one_way_through_it(text: str) -> None:
    """Where digits could be parted in many ways, all of them were tried: for ever, and nothing else ran meanwhile."""
    assert not plan_reach._compares_only(text)


@pytest.mark.parametrize("items", ["", "1", "1,2.5", " -1.5e3 , 2. , .5 ", '"a", "b"', "1,"])
def test_lists_of_fixed_values_are_comparisons(items: str) -> None:
    assert plan_reach._compares_only(f"overload in [{items}]")


def test_a_condition_has_an_end() -> None:
    with pytest.raises(ConditionError, match="1,001 characters"):
        compile_condition("overload > 1" + " " * 989, "position")
