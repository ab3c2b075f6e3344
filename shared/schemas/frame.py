"""``frames.v1``: one projection — all that triggers see, in order, replayable."""

from datetime import datetime

import msgspec

from shared.schemas.forecast import Forecast
from shared.schemas.position import Position, WorkState

TYPE = "headroom.frame.v1"


class ListedDeal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deal that the projection lists apart, with the reason.

    Reasons: no-product, unknown-product, no-needs, unknown-stage, no-close-date, stale, no-rate; and
    unused-report, when a report about the deal finds no line of it that is named and asks something.
    """

    deal: str
    reason: str
    exposure: float = 0.0


class ListedCount(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many deals are listed for a reason and what they are worth in the plan's currency, named in a frame or not.

    Lines of cells that are too large to name them count as one deal each.
    """

    reason: str
    deals: int
    value: float = 0.0


class SignalState(msgspec.Struct, frozen=True, omit_defaults=True):
    """One kind of signal, of ``pool`` or (None) of everything, as it stands on a day (UTC).

    ``per_week`` is the rate of the last 7 days, that one included, ``mean`` the average of their observations;
    ``before`` and ``mean_before`` are those of the 28 days before. None: there were none. ``newest`` is the time of the
    newest observation.
    """

    kind: str
    pool: str | None
    newest: datetime
    per_week: float = 0.0
    before: float | None = None
    mean: float | None = None
    mean_before: float | None = None


class BookingState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What enters commit or won of ``product`` (empty: of all), by the week it closes, per week.

    ``rate`` counts deal lines, ``units`` their units, ``value`` their money: of the last whole week and the present one
    so far, divided by that time. The ``_trend`` of each is its mean in the eight weeks before.
    """

    product: str
    rate: float = 0.0
    trend: float = 0.0
    units: float = 0.0
    units_trend: float = 0.0
    value: float = 0.0
    value_trend: float = 0.0


class MilestoneState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A milestone: units won in its window, units expected there still, and units planned by now by its linearity."""

    milestone: str
    product: str
    due: str
    quantity: float
    won: float = 0.0
    expected: float = 0.0
    planned: float = 0.0


class EffortState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What won ``deals`` take of a pool: ``planned`` by their needs, ``reported`` with what is said to be left of them.

    In the pool's unit; only of deals of which somebody said what is left there.
    """

    pool: str
    planned: float
    reported: float
    deals: int = 0


class Frame(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What changed in one projection, or everything when ``complete`` (after each restore and at week rollover).

    ``now`` is the moment it speaks of and the only clock of its readers; ``plan`` is ``id@version``; ``upto`` the
    deals offset applied, by partition; ``book_time`` the newest source time (ms) of a deal in it. ``report_ages`` are
    seconds since each pool's last report, None: never. ``listed`` and ``listed_counts`` (absent in older frames),
    ``signals``, ``bookings``, ``milestones`` and ``efforts`` replace the former ones whenever they are not None.
    ``gone`` are positions (pool, week) that no longer exist, which a complete frame need not name. While ``loading``
    deals come in so fast that only the end of it is worth asking anybody about; a frame that is not loading follows
    within seconds. ``forecasts`` are those that changed, all of them in a complete frame; None: none did. With ``more``
    the rest of the same projection follows in the next frame: only the last of them is to be judged.
    """

    now: datetime
    week: str
    plan: str
    complete: bool
    upto: dict[int, int]
    positions: list[Position] = []
    work: list[WorkState] = []
    gone: list[tuple[str, str]] = []
    report_ages: dict[str, float | None] = {}
    listed: list[ListedDeal] | None = None
    listed_counts: list[ListedCount] | None = None
    book_time: int = 0
    signals: list[SignalState] | None = None
    bookings: list[BookingState] | None = None
    milestones: list[MilestoneState] | None = None
    efforts: list[EffortState] | None = None
    forecasts: list[Forecast] | None = None
    loading: bool = False
    more: bool = False


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(Frame).decode
