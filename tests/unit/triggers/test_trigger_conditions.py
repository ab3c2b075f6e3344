"""Conditions: what they accept, what they answer, and how they complain."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.conditions import FIELDS, ConditionError, compile_condition
from shared.schemas.plan_conditions import WATCHED, parse_condition

NOTHING = dict.fromkeys((field.name for field in FIELDS["position"]), None)


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
        ("overlaod > 0.3", 1, "Did you mean overload?"),
        ("overload > 0.3 and utilization > 1", 20, "Did you mean utilisation?"),
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
    assert raised.value.column == column
    assert words in str(raised.value)


def test_what_cannot_be_watched_is_said() -> None:
    with pytest.raises(ConditionError, match="Watch one of position, work"):
        compile_condition("margin < 0.5", "forecast")


def test_every_field_of_a_plan_can_be_evaluated() -> None:
    for watch, names in WATCHED.items():
        assert set(names) <= {field.name for field in FIELDS[watch]}


_NUMBER = st.floats(-1e6, 1e6).map(lambda number: round(number, 3))
_COMPARISON = st.builds(
    lambda field, operator, number: f"{field} {operator} {number!r}",
    st.sampled_from(WATCHED["position"]),
    st.sampled_from(["<", "<=", ">", ">=", "=="]),
    _NUMBER | st.integers(-1000, 1000),
)


@given(
    st.lists(_COMPARISON, min_size=1, max_size=4),
    st.fixed_dictionaries(dict.fromkeys(WATCHED["position"], _NUMBER)),
    st.sampled_from([" and ", " && "]),
)
def test_agrees_with_the_plan_files_own_reading(comparisons: list[str], values: dict[str, float], joined: str) -> None:
    text = joined.join(comparisons)
    expected = all(c.holds(values[c.field]) for c in parse_condition(text, "position"))
    assert compile_condition(text, "position").evaluate(NOTHING | values) is expected
