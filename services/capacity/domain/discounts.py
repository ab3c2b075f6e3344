"""Discounts by period and segment, from the margin table: open quotes against closed ones of earlier periods."""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from services.capacity.domain import margin as of
from services.capacity.domain.drift import Against, Drift, Quotes, against, drift_of, usual_of
from shared.schemas.forecast import EVERYTHING
from shared.schemas.period import first_day, period_of

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

YEARS: Final = 2
"""How many years of earlier periods are looked back on."""


def drifts_of(period: str, slices: Mapping[tuple[str, str], slice], numbers: Floats) -> dict[str, Drift]:
    """By segment with open quotes in ``period``, and of everything; left out where no past says what is usual.

    ``slices`` says which rows of the table a period and segment has.
    """
    first = first_day(period)
    since = period_of(first.replace(year=first.year - YEARS)) if first.year > YEARS else period
    past = [(key, rows) for key, rows in slices.items() if since <= key[0] < period]
    by_segment: dict[str, list[Quotes]] = {}
    for (_, segment), rows in past:
        by_segment.setdefault(segment, []).append(_closed(numbers[rows]))
    everybodys = _together([quotes for each in by_segment.values() for quotes in each])
    found: dict[str, Drift] = {}
    parts: list[Against] = []
    for (when, segment), rows in slices.items():
        if when != period:
            continue
        table = numbers[rows]
        opened = _with_price(table) & (table[:, of.STANDING] == of.OPEN)
        usual = usual_of(_together(by_segment.get(segment, [])), everybodys) if opened.any() else None
        if usual is not None:
            parts.append(against(_quotes(table[opened]), table[opened, of.PLACE], usual))
            drift = drift_of(parts[-1:])
            if drift is not None:
                found[segment] = drift
    whole = drift_of(parts)
    return found | ({EVERYTHING: whole} if whole is not None else {})


def _closed(table: Floats) -> Quotes:
    return _quotes(table[_with_price(table) & (table[:, of.STANDING] != of.OPEN)])


def _with_price(table: Floats) -> Flags:
    return np.asarray((table[:, of.QUOTES] > 0) & (table[:, of.QUOTED] > 0))


def _quotes(table: Floats) -> Quotes:
    discount = 1 - table[:, of.QUOTED_NET] / table[:, of.QUOTED]
    return Quotes(table[:, of.WEEK], table[:, of.QUOTES], discount)


def _together(parts: list[Quotes]) -> Quotes:
    if not parts:
        return Quotes(np.zeros(0), np.zeros(0), np.zeros(0))
    week, count, discount = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Quotes(week, count, discount)
