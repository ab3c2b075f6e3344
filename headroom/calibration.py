"""How often what was called likely came true: predicted overload and lateness against what the weeks turned out to be.

Each day's projection says of each pool how likely the weeks 1, 2, 4 and 8 ahead are overloaded and late. What a week
turned out to be is what was projected on its own last day: overloaded when its booked work and base load asked for more
than the pool could do, late when the work left over would take longer than the pool allows. ``overload_planned``
forecasts the same as ``overload``, with the deals counted that are not in the pipeline yet. The Brier score is the mean
of (p - outcome)², 0 at best; a forecast that always says the base rate b has b(1 - b) (Brier 1950, Murphy 1973).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position
from shared.schemas.week import weeks_between

Event = Literal["overload", "overload_planned", "late"]
EVENTS: Final[tuple[Event, ...]] = ("overload", "overload_planned", "late")
HORIZONS: Final = (1, 2, 4, 8)
"""Weeks ahead."""
DECILES: Final = 10


@dataclass(slots=True)
class Decile:
    """The forecasts of one tenth of the scale: how many, the sum of their probabilities, how many came true."""

    count: int = 0
    predicted: float = 0.0
    came: int = 0


@dataclass(slots=True)
class Reliability:
    """Forecasts of one event, by decile."""

    event: Event
    horizon: int
    deciles: list[Decile] = field(default_factory=lambda: [Decile() for _ in range(DECILES)])
    squares: float = 0.0

    def add(self, predicted: float, came: bool) -> None:
        """One forecast and whether it came true."""
        decile = self.deciles[min(int(predicted * DECILES), DECILES - 1)]
        decile.count += 1
        decile.predicted += predicted
        decile.came += came
        self.squares += (predicted - came) ** 2

    @property
    def count(self) -> int:
        return sum(decile.count for decile in self.deciles)

    @property
    def base_rate(self) -> float | None:
        """The part of all that came true."""
        return sum(decile.came for decile in self.deciles) / self.count if self.count else None

    @property
    def brier(self) -> float | None:
        """The mean square error; see the module."""
        return self.squares / self.count if self.count else None

    @property
    def skill(self) -> float | None:
        """1 - Brier / that of the base rate: 1 at best, 0 no better than the base rate. None: all came, or none."""
        rate, brier = self.base_rate, self.brier
        if rate is None or brier is None or rate in (0.0, 1.0):
            return None
        return 1.0 - brier / (rate * (1.0 - rate))


class Calibration:
    """Sees frames in their order; holds forecasts until their week is over."""

    def __init__(self, plan: Plan) -> None:
        self._allowed = {name: pool.allowed_delay_weeks for name, pool in plan.pools.items()}
        self._rows: dict[tuple[str, str], Position] = {}
        self._open: dict[tuple[str, str], list[tuple[int, tuple[float, ...]]]] = {}
        self._outcomes: dict[tuple[str, str], tuple[bool, ...]] = {}
        self._week = ""
        self._said: dict[tuple[Event, int], Reliability] = {
            (event, horizon): Reliability(event, horizon) for event in EVENTS for horizon in HORIZONS
        }

    def see(self, frame: Frame) -> None:
        """Note what a frame forecasts, and settle the week that it leaves behind."""
        if frame.complete:
            self._rows.clear()
        self._rows.update({(row.pool, row.week): row for row in frame.positions})
        if frame.more or frame.loading:
            return
        if frame.week != self._week:
            self._settle()
            self._week = frame.week
        for place, row in self._rows.items():
            ahead = weeks_between(frame.week, row.week)
            if ahead == 0:
                self._outcomes[place] = self._outcome(row)
            elif ahead in HORIZONS:
                self._open.setdefault(place, []).append((ahead, (row.overload, row.overload_planned, row.late)))

    def found(self) -> list[Reliability]:
        """By event and horizon, of all weeks that are over."""
        return list(self._said.values())

    def _settle(self) -> None:
        for place, outcome in self._outcomes.items():
            for horizon, forecast in self._open.pop(place, []):
                for event, predicted, came in zip(EVENTS, forecast, outcome, strict=True):
                    self._said[event, horizon].add(predicted, came)
        self._outcomes.clear()
        self._open = {place: said for place, said in self._open.items() if place[1] >= self._week}

    def _outcome(self, row: Position) -> tuple[bool, ...]:
        """In the order of ``EVENTS``."""
        overloaded = row.base + row.booked > row.capacity
        return overloaded, overloaded, row.delay_weeks > self._allowed[row.pool]


def pooled(said: Iterable[Reliability], event: Event) -> Reliability:
    """All horizons of one event together; its ``horizon`` is 0."""
    whole = Reliability(event, 0)
    for one in said:
        if one.event == event:
            whole.squares += one.squares
            for into, decile in zip(whole.deciles, one.deciles, strict=True):
                into.count += decile.count
                into.predicted += decile.predicted
                into.came += decile.came
    return whole


def rows(one: Reliability) -> Iterator[tuple[str, int, float, float]]:
    """The deciles that were used: their name, how many forecasts, the mean forecast, and how often it came true."""
    for number, decile in enumerate(one.deciles):
        if decile.count:
            name = f"{number * 10}–{number * 10 + 10} %"
            yield name, decile.count, decile.predicted / decile.count, decile.came / decile.count
