"""A CSV of deals and its mapping as the events they come to."""

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import typer

from headroom.files import cannot_be_read
from headroom.load_events import Loadable, loadable
from headroom.load_mapping import Mapping, MappingError, parse_mapping
from headroom.load_rows import Rejected, Row, read_rows

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


def read_events(file: Path, map_file: Path, mapping_text: str, as_of: date | None) -> tuple[Mapping, Loadable, str]:
    """Mapping, events, and the SHA-256 of the CSV, whose content is read once: it may be a pipe.

    A mapping that is wrong ends the command with 2, naming its line.
    """
    try:
        mapping_file = parse_mapping(mapping_text, str(map_file))
        mapping = mapping_file.mapping
        with opened_csv(file) as (lines, content):
            rows: Iterator[Row | Rejected] = read_rows(lines, mapping_file, str(file))
            found = loadable(rows, mapping, as_of or mapping.as_of)
            return mapping, found, content.digest()
    except MappingError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


class Content(io.RawIOBase):
    """The bytes of a file as they are read, and what they hash to."""

    def __init__(self, opened: BinaryIO) -> None:
        self._opened, self._hash = opened, hashlib.sha256()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        view = memoryview(buffer).cast("B")
        piece = self._opened.read(len(view))
        view[: len(piece)] = piece
        self._hash.update(piece)
        return len(piece)

    def digest(self) -> str:
        """The SHA-256 of all of it, in hex; reads what nobody has read yet."""
        while piece := self._opened.read(1 << 20):
            self._hash.update(piece)
        return self._hash.hexdigest()


@contextmanager
def opened_csv(file: Path) -> Iterator[tuple[io.TextIOWrapper, Content]]:
    """The lines of a CSV, and the content that they come from."""
    try:
        with file.open("rb") as opened:
            content = Content(opened)
            buffered = io.BufferedReader(content, 1 << 16)
            yield io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline=""), content
    except OSError as error:
        raise cannot_be_read(file, error) from None
