"""What a frame tells the projection's series. Overload is counted anew only for pools of which the frame has positions:
a series by pool costs a microsecond to touch, and plans have hundreds of them."""

from collections import defaultdict

from services.capacity import metrics
from shared.schemas.frame import Frame


class FrameMeasures:
    """The series that count by pool, as the frames so far have left them."""

    def __init__(self) -> None:
        self._overloaded: defaultdict[str, set[str]] = defaultdict(set)
        self._aged: set[str] = set()

    def see(self, made: Frame, cells: int) -> None:
        """A frame was made of so many ``cells``; a complete one begins anew, for its plan may have other pools."""
        metrics.FRAMES.labels("complete" if made.complete else "changes").inc()
        metrics.POSITIONS_CHANGED.inc(len(made.positions))
        metrics.BOOK_CELLS.set(cells)
        metrics.BOOK_TIME.set(made.book_time / 1000)
        metrics.AS_OF.set(made.now.timestamp())
        metrics.FRAME_PUBLISHED.set_to_current_time()
        if made.complete:
            self._overloaded.clear()
            metrics.POSITIONS_OVERLOADED.clear()
            self._aged.clear()
            metrics.REPORT_AGE.clear()
        self._count_overloaded(made)
        self._tell_ages({pool: age for pool, age in made.report_ages.items() if age is not None})

    def _count_overloaded(self, made: Frame) -> None:
        # A frame's report_ages name every pool of the plan, whether it ever reported or not.
        touched = set(made.report_ages) if made.complete else set()
        for row in made.positions:
            weeks = self._overloaded[row.pool]
            (weeks.add if row.headroom < 0 else weeks.discard)(row.week)
            touched.add(row.pool)
        for pool in touched:
            metrics.POSITIONS_OVERLOADED.labels(pool).set(len(self._overloaded[pool]))

    def _tell_ages(self, ages: dict[str, float]) -> None:
        for pool, age in ages.items():
            metrics.REPORT_AGE.labels(pool).set(age)
        for pool in self._aged - ages.keys():
            metrics.REPORT_AGE.remove(pool)
        self._aged = set(ages)
