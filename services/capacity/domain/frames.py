"""A frame in parts that Kafka takes, of the same moment and in one transaction."""

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec.structs import replace

from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.position import Position

POSITIONS_PER_FRAME: Final = 500
"""A record must stay below half a megabyte; a position with its five deals takes up to 700 bytes."""
FORECASTS_PER_FRAME: Final = 50
"""A forecast takes about two kilobytes, and a hundred bytes for each pool that it asks."""
MOVES_PER_FRAME: Final = 2000
"""Pools of all forecasts of a part together."""


def parts_of(made: Frame) -> Iterator[Frame]:
    """A frame of very many positions or forecasts in parts.

    The first holds everything else; the others add to it as a frame of changes does.
    """
    starts = range(0, len(made.positions), POSITIONS_PER_FRAME)
    positions = [made.positions[at : at + POSITIONS_PER_FRAME] for at in starts]
    forecasts = list(_forecasts(made.forecasts or []))
    if len(made.positions) <= POSITIONS_PER_FRAME // 2 and len(forecasts) <= 1:
        yield made
        return
    # Forecasts come in parts of their own, behind the positions they speak of.
    parts: list[tuple[Sequence[Position], list[Forecast] | None]] = [(rows, None) for rows in positions or [[]]]
    parts += [([], each) for each in forecasts]
    last = len(parts) - 1
    for number, (rows, each) in enumerate(parts):
        if number == 0:
            yield replace(made, positions=list(rows), forecasts=each, more=last > 0)
            continue
        yield Frame(
            now=made.now,
            week=made.week,
            plan=made.plan,
            complete=False,
            upto=made.upto,
            positions=list(rows),
            forecasts=each,
            report_ages=made.report_ages,
            book_time=made.book_time,
            loading=made.loading,
            more=number < last,
        )


def _forecasts(made: Sequence[Forecast]) -> Iterator[list[Forecast]]:
    part: list[Forecast] = []
    for each in made:
        if len(part) == FORECASTS_PER_FRAME or sum(len(one.pools) for one in part) + len(each.pools) > MOVES_PER_FRAME:
            yield part
            part = []
        part.append(each)
    if part:
        yield part
