"""What a command is at, told on the error stream of a terminal while somebody waits for it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

Tell = Callable[[str], None]


@contextmanager
def under_way(what: str, *, quiet: bool = False) -> Iterator[Tell]:
    """Show ``what`` until all inside is done; what comes hears what to show instead. In pipes nothing is said."""
    if quiet or not sys.stderr.isatty():  # not what rich thinks: FORCE_COLOR must not put it into a log
        yield lambda _: None
        return
    with Console(stderr=True).status(escape(what)) as status:
        yield lambda now: status.update(escape(now))
