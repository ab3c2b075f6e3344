"""Whether deals come in so fast that a load is under way: whoever asks people about the book then waits for its end."""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

DEALS_A_SECOND: Final = 1000
"""From so many on it is a load; what people and CRMs do by hand is far below."""
STILL: Final = DEALS_A_SECOND // 2
"""With fewer it is over: below where one begins, so that a load which stutters is one, and well above what goes on
arriving in a busy system, or whoever waits for the end of a load would wait for ever."""
_WINDOW: Final = timedelta(seconds=1)
_LOOKS: Final = 50
"""So many looks without a load end it too, for a clock that stands still."""


class Bulk:
    """Watches how far the deals are applied."""

    def __init__(self) -> None:
        self._before: int | None = None
        self._applied: deque[tuple[datetime, int]] = deque()
        self._looks = 0
        self.loading = False

    def see(self, applied: int, now: datetime) -> None:
        """``applied`` deal records are in by ``now``; the first time it only says where it begins."""
        came = applied - self._before if self._before is not None else 0
        self._before = applied
        self._looks = 0 if came > 0 else self._looks + 1
        if came > 0:
            self._applied.append((now, came))
        while self._applied and now - self._applied[0][0] > _WINDOW:
            self._applied.popleft()
        enough = STILL if self.loading else DEALS_A_SECOND
        self.loading = self._looks < _LOOKS and sum(count for _, count in self._applied) >= enough
