"""From which frame on the log has to be folded again to know what is known now.

A complete frame replaces the whole table, so folding may begin at the last one, with two exceptions. What was left of
a pool's slack on the days before is kept by day, so it must begin on the oldest of these days or before. And the plan
that was judged by last is known from the first judged frame on, so one must have been judged since.
"""

from collections import deque
from datetime import date


class Beginnings:
    """The complete frames that may still be needed, oldest first."""

    def __init__(self) -> None:
        self._complete: deque[tuple[int, date]] = deque()
        self._unjudged: list[tuple[int, date]] = []

    def complete(self, offset: int, day: date) -> None:
        """A complete frame, of a moment on ``day``."""
        self._unjudged.append((offset, day))

    def judged(self) -> None:
        """A frame was judged: the complete ones up to now will do."""
        self._complete.extend(self._unjudged)
        self._unjudged.clear()

    def needed(self, oldest: date | None) -> int:
        """The offset to begin at when ``oldest`` is the first day kept (None: none is); 0 when nothing is known."""
        while len(self._complete) > 1 and (oldest is None or self._complete[1][1] <= oldest):
            self._complete.popleft()
        return self._complete[0][0] if self._complete else 0
