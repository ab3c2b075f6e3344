"""A mapping file is read as strictly as a plan, and a missing column is shown where the mapping names it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.load_mapping import MappingError, UnfitCsv, parse_mapping
from tests.unit.load.files import HEADER, MAPPING


def problems_in(text: str) -> list[str]:
    with pytest.raises(MappingError) as caught:
        parse_mapping(text, "tiny.yaml")
    return [f"{problem.place}: {problem.message}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("id: id\n", "idd: id\n", "2:1: unknown key 'idd'; did you mean id? Allowed: name, id"),
        ("  product: product\n", "  produkt: product\n", "4:3: 'produkt' is not known here; did you mean product?"),
        ("      stage: {value: Open}\n", "      stage: {}\n", "19:7: this says one of column, value and cycle_after"),
        ("stage: {value: Open}", "stage: {value: Open, column: stage}", "19:7: this says one of column, value and"),
        ("until_then: 30d", "until_then: 30", "13:15: a duration is text with a unit"),
        ("at_least: 2", "at_least: 0", "12:13: this must be greater than or equal to 1"),
        ("name: closed", "name: engaged", "1:1: two events have the same name"),
        ("on: ended", "on: 7", "23:9: text is needed here, not the number 7; put it in quotes"),
    ],
)
def test_a_problem_of_a_mapping_has_its_place(old: str, new: str, said: str) -> None:
    assert any(problem.startswith(f"tiny.yaml:{said}") for problem in problems_in(MAPPING.replace(old, new, 1)))


def test_a_close_by_cycle_needs_a_cycle() -> None:
    start, end = MAPPING.index("cycle:\n"), MAPPING.index("events:\n")
    assert problems_in(MAPPING[:start] + MAPPING[end:]) == [
        "tiny.yaml:1:1: cycle_after needs a cycle: from which column to which"
    ]


@pytest.mark.parametrize(
    ("column", "places"),
    [
        ("id", ["2:5"]),
        ("product", ["4:12", "8:3"]),
        ("ended", ["11:7", "23:9", "27:14"]),
        ("value", ["28:24"]),
        ("stage", ["17:12", "24:12", "26:14", "28:38", "31:12", "33:14"]),
    ],
)
def test_a_missing_column_is_shown_wherever_the_mapping_names_it(column: str, places: list[str]) -> None:
    mapping_file = parse_mapping(MAPPING, "tiny.yaml")
    header = [name for name in HEADER.split(",") if name != column]
    with pytest.raises(UnfitCsv) as caught:
        mapping_file.check_header(header, "rows.csv")
    assert [f"{p.place.line}:{p.place.column}" for p in caught.value.problems] == places
    assert caught.value.problems[0].message.startswith(f"rows.csv has no column '{column}'; its columns are ")


def test_a_mapping_that_fits_says_nothing() -> None:
    parse_mapping(MAPPING, "tiny.yaml").check_header(HEADER.split(","), "rows.csv")


@given(st.data())
def test_any_damage_gives_a_mapping_or_a_mapping_error(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(MAPPING)))
    text = MAPPING[:start] + data.draw(st.text(max_size=8)) + MAPPING[start + data.draw(st.integers(0, 40)) :]
    try:
        found = parse_mapping(text, "any.yaml").mapping.source
    except MappingError as error:
        found = str(error)
    assert found
