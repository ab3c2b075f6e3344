"""Every row of a CSV is read or rejected with its line and the reason."""

import pytest

from headroom.load_mapping import parse_mapping
from headroom.load_rows import Rejected, Row, read_rows
from shared.errors import BadInput
from tests.unit.load.files import HEADER, MAPPING, load

OPNE = "no event of the mapping takes stage 'Opne'; did you mean Open? Allowed: Open, Won, Lost, Prospect"
GOOD = "a,Widget,,Open,2025-01-01,,"


def read(text: str) -> list[Row | Rejected]:
    return list(read_rows(text.splitlines(keepends=True), parse_mapping(MAPPING, "tiny.yaml"), "tiny.csv"))


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",Widget,,Open,2025-01-01,,", "id is empty"),
        ("x,Widget,,Open", "it has 4 cells where the header has 7"),
        ("x,Widget,,Open,2025-01-01,,,", "it has 8 cells where the header has 7"),
        ("a,Widget,,Open,2025-01-01,,", "the same id as in line 2"),
        ("x,Widget,,Open,2025-01-01,,\udcff", "value is not readable text in UTF-8"),
        ("x,Wid\x00get,,Open,2025-01-01,,", "product is not readable text in UTF-8"),
        (f"{'x' * 151},Widget,,Open,2025-01-01,,", "id has 151 characters; at most 150 name a deal"),
        (f"x,{'w' * 20_000},,Open,2025-01-01,,", "product has 20,000 characters"),
        (f"x,{'w' * 200_000},,Open,2025-01-01,,", "the row cannot be read: field larger than field limit (100000)"),
        ('x,"Widget"x,,Open,2025-01-01,,', "the row cannot be read: ',' expected after '\"'"),
        ("x,Widget,,Opne,2025-01-01,,", OPNE),
        ("x,Widget,,Opne,,,", OPNE),
        ("x,Widget,,Open,,,", "began is empty although stage 'Open'"),
        ("x,Widget,,Won,2025-01-01,,5", "ended is empty although stage 'Won'"),
        ("x,Widget,,Open,2025-01-01,2025-01-02,", "ended is 2025-01-02, which does not fit stage 'Open'"),
        ("x,Widget,,Open,2025-02-30,,", "began is '2025-02-30', not a day like %Y-%m-%d"),
        ("x,Widget,,Open,1825-02-03,,", "began is 1825-02-03, not a day from 1990 to 2099"),
        ("x,Widget,,Won,2025-01-05,2025-01-04,5", "ended 2025-01-04 is before began 2025-01-05"),
        ("x,Widget,,Won,2025-01-01,2025-01-04,free", "value is 'free', not a number"),
        ("x,Widget,,Won,2025-01-01,2025-01-04,nan", "value is 'nan', not a number"),
    ],
)
def test_a_row_that_cannot_be_loaded_says_why(row: str, reason: str) -> None:
    found = load([GOOD, row, "z,Widget,,Open,2025-01-03,,"])
    assert [(one.line, one.reason) for one in found.rejected] == [(3, reason)]
    assert (found.rows, found.sent) == (3, 2)


def test_an_unfinished_quotation_costs_the_rows_it_swallows_but_is_named_at_its_line() -> None:
    found = read(f'{HEADER}\n{GOOD}\nx,"Widget,,Open,2025-01-01,,\ny,Widget,,Open,2025-01-01,,\n')
    assert [(one.line, type(one).__name__) for one in found] == [(2, "Row"), (3, "Rejected")]


def test_lines_count_what_a_quoted_cell_spans_and_empty_lines_are_no_rows() -> None:
    found = read(f'{HEADER}\na,"two\nlines",,Open,2025-01-01,,\n\nb,Widget,,Open,2025-01-01,,\n')
    assert [(one.line, one.id) for one in found] == [(2, "a"), (5, "b")]


def test_cells_are_trimmed_and_aliases_put_right() -> None:
    (row,) = read(f"{HEADER}\n a , WidgetPro ,,Open,2025-01-01,,\n")
    assert isinstance(row, Row)
    assert (row.id, row.cells["product"]) == ("a", "Widget Pro")


def test_other_columns_than_the_mapped_ones_do_not_matter() -> None:
    rows = read(f"note,{HEADER}\n\x01\x02,{GOOD}\n")
    assert [type(row) for row in rows] == [Row]


@pytest.mark.parametrize(
    ("text", "what"),
    [("", "tiny.csv:1: the file has no header"), ("a,b,a\n", "two columns are called 'a'"), ("i\udcffd\n", "readable")],
)
def test_a_file_without_a_usable_header_is_refused_whole(text: str, what: str) -> None:
    with pytest.raises(BadInput, match=what):
        read(text)
