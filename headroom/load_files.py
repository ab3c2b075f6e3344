"""A CSV of deals and its mapping as the events they come to."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import typer

from headroom.files import cannot_be_read
from headroom.load_events import Loadable, loadable
from headroom.load_mapping import Mapping, MappingError, parse_mapping
from headroom.load_rows import Rejected, Row, read_rows


def read_events(file: Path, map_file: Path, mapping_text: str, as_of: date | None) -> tuple[Mapping, Loadable]:
    """Mapping and events; a mapping that is wrong ends the command with 2, naming its line."""
    try:
        mapping_file = parse_mapping(mapping_text, str(map_file))
        mapping = mapping_file.mapping
        with opened_csv(file) as lines:
            rows: Iterator[Row | Rejected] = read_rows(lines, mapping_file, str(file))
            return mapping, loadable(rows, mapping, as_of or mapping.as_of)
    except MappingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


@contextmanager
def opened_csv(file: Path) -> Iterator[Any]:
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as opened:
            yield opened
    except OSError as error:
        raise cannot_be_read(file, error) from None
