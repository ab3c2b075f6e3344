"""A CSV's rows, one at a time, with their line; a row that cannot be read is rejected with the reason, not skipped."""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from headroom.load_mapping import MappingFile
from shared.errors import BadInput

LONGEST_CELL = 10_000
_NOT_TEXT = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One row: the line it begins in, its id, and its cells by column, trimmed and with aliases put right."""

    line: int
    id: str
    cells: dict[str, str]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that is not loaded, and why."""

    line: int
    id: str
    reason: str


def read_rows(lines: Iterable[str], mapping_file: MappingFile, csv_name: str) -> Iterator[Row | Rejected]:
    """The rows of a CSV with a header. Raises BadInput without one, UnfitCsv when a mapped column is missing.

    Empty lines are no rows. Memory grows with the ids only.
    """
    mapping = mapping_file.mapping
    csv.field_size_limit(LONGEST_CELL * 10)
    reader = csv.reader(lines, delimiter=mapping.delimiter, strict=True)
    header = _header(reader, csv_name)
    mapping_file.check_header(header, csv_name)
    used = {column: header.index(column) for column, _ in mapping.columns()}
    seen: dict[str, int] = {}
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Rejected(line, "", f"the row cannot be read: {error}")
            continue
        if not cells:
            continue
        row = _row(line, cells, len(header), used, mapping_file)
        if isinstance(row, Row) and row.id in seen:
            yield Rejected(line, row.id, f"the same {mapping.id} as in line {seen[row.id]}")
            continue
        if isinstance(row, Row):
            seen[row.id] = line
        yield row


def _header(reader: "Iterator[list[str]]", csv_name: str) -> list[str]:
    try:
        header = [cell.strip().removeprefix("\ufeff") for cell in next(reader, [])]
    except csv.Error as error:
        raise BadInput("the header cannot be read", where=f"{csv_name}:1", why=str(error)) from None
    if any(_NOT_TEXT.search(cell) for cell in header):
        raise BadInput("the header is not readable text", where=f"{csv_name}:1", do="Save the file as UTF-8.")
    if not any(header):
        raise BadInput("the file has no header", where=f"{csv_name}:1", do="Its first line names the columns.")
    twice = sorted({column for column in header if header.count(column) > 1})
    if twice:
        raise BadInput(f"two columns are called {twice[0]!r}", where=f"{csv_name}:1", do="Rename one of them.")
    return header


def _row(line: int, cells: list[str], width: int, used: dict[str, int], mapping_file: MappingFile) -> Row | Rejected:
    mapping = mapping_file.mapping
    at = used[mapping.id]
    row_id = cells[at].strip() if at < len(cells) else ""
    if len(cells) != width:
        return Rejected(line, row_id, f"it has {len(cells)} cells where the header has {width}")
    named = {column: cells[index].strip() for column, index in used.items()}
    for column, text in named.items():
        if _NOT_TEXT.search(text):
            return Rejected(line, "", f"{column} is not readable text in UTF-8")
        if len(text) > LONGEST_CELL:
            return Rejected(line, row_id[:80], f"{column} has {len(text):,} characters")
    if not row_id:
        return Rejected(line, "", f"{mapping.id} is empty")
    if len(row_id) > 150:
        return Rejected(line, row_id[:80], f"{mapping.id} has {len(row_id)} characters; at most 150 name a deal")
    return Row(line, row_id, {c: mapping.aliases.get(c, {}).get(text, text) for c, text in named.items()})
