"""Of what the read models speak."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Projection:
    """Of which frame, moment and plan the tables speak. ``report_ages`` are seconds by pool, None: never."""

    frame: int
    as_of: datetime
    week: str
    plan: str
    book_time: int = 0
    report_ages: Mapping[str, float | None] = field(default_factory=dict)
