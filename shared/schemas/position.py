"""``positions.v1``: one pool in one week — capacity, the bands of demand, and what they mean."""

from datetime import datetime

import msgspec

TYPE = "headroom.position.v1"


class TopDeal(msgspec.Struct, frozen=True, omit_defaults=True):
    """A deal's part in a position: its expected effort in the pool's unit, and its share of all expected demand."""

    deal: str
    effort: float
    share: float
    probability: float = 1.0
    product: str = ""


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """The live capacity table's row, all amounts in the pool's ``unit`` for that week.

    ``capacity`` is what counts: a report's figure, else the plan's (``by_plan``), plus ``decided`` effects (included in
    it). ``base`` is work no deal explains (of recruiters also what people missing elsewhere ask), ``booked`` demand of
    won deals, ``expected`` of open deals weighted by probability, ``planned`` of milestones not yet in the pipeline,
    ``exposure`` of all open deals if they all close. ``utilisation`` = (base + booked + expected) / capacity,
    ``overload`` = P(base + booked + open > capacity) and ``overload_planned`` the same with planned demand added.
    ``headroom`` = capacity - base - booked - expected.
    ``backlog`` is the work carried over at the week's end on expected demand, ``delay_weeks`` how long it takes to
    work off. ``backlog_mean`` and ``backlog_p80`` are of the backlog on whole paths, ``late`` the probability that it
    takes longer to work off than the pool allows. ``top`` are the deals that ask most, ``others`` the share of
    everything not named there.
    """

    pool: str
    week: str
    unit: str
    capacity: float
    by_plan: float = 0.0
    reported: float | None = None
    decided: float = 0.0
    base: float = 0.0
    booked: float = 0.0
    expected: float = 0.0
    planned: float = 0.0
    exposure: float = 0.0
    p50: float = 0.0
    p80: float = 0.0
    p95: float = 0.0
    utilisation: float | None = None
    overload: float = 0.0
    overload_planned: float = 0.0
    headroom: float = 0.0
    backlog: float = 0.0
    delay_weeks: float = 0.0
    backlog_mean: float = 0.0
    backlog_p80: float = 0.0
    late: float = 0.0
    top: list[TopDeal] = []
    others: float = 0.0


class WorkState(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A work item of the plan: when it will be done (ISO week; None: not within the horizon) and how late that is.

    ``slip_weeks`` = finish - due, never below zero; beyond the horizon it is the least it can be. ``without_deals``
    is the slip if no deal took effort from its pool; ``top`` names the deals that pull it. On whole paths the slip has
    ``slip_mean`` and ``slip_p80``, and is more than nothing with probability ``late``.
    """

    work: str
    pool: str
    effort: float
    due: str
    finish: str | None
    slip_weeks: float
    without_deals: float = 0.0
    slip_mean: float = 0.0
    slip_p80: float = 0.0
    late: float = 0.0
    top: list[TopDeal] = []


class PositionRecord(msgspec.Struct, kw_only=True):
    """What ``positions.v1`` holds: the position, and of which moment and plan it speaks."""

    as_of: datetime
    plan: str
    position: Position


def record_key(pool: str, week: str) -> bytes:
    """The Kafka key of a position."""
    return msgspec.json.encode([pool, week])


encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder(PositionRecord).decode
