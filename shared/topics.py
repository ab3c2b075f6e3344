"""Every topic of the system, in one place; nothing else names a topic and nothing relies on auto-creation.

A physical topic is ``prefix + name``. Only inbox, deals and history are sharded by key; for the others, owning the one
partition is what "one owner" means.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from shared.schemas import (
    cell,
    dead_letter,
    deal,
    decision,
    episode,
    forecast,
    frame,
    position,
    published_plan,
    recalibration,
    report,
    signal,
)

DAY = timedelta(days=1)
LARGEST_REQUEST = 8 * 1024 * 1024
"""Bytes that a producer sends at once at most."""


@dataclass(frozen=True, slots=True)
class Topic:
    """What a topic is called, how it is cut and how long it is kept.

    ``keep`` is the retention of a topic that is deleted by age; a compacted topic keeps the last record of each key.
    ``key`` and ``doc`` are for people: they go into the generated AsyncAPI document. ``events`` are the types on it; a
    topic without any carries what others sent, as they sent it. ``largest``: the bytes of its largest batch, where the
    broker's usual megabyte is too few.
    """

    name: str
    key: str
    doc: str
    cleanup: Literal["compact", "delete"]
    keep: timedelta | None = None
    sharded: bool = False
    events: tuple[str, ...] = ()
    largest: int | None = None

    def partitions(self, shards: int) -> int:
        """How many partitions the topic has in a system of ``shards`` shards."""
        return shards if self.sharded else 1

    def config(self) -> dict[str, str]:
        """The topic's configuration as Kafka spells it."""
        larger = {"max.message.bytes": str(self.largest)} if self.largest is not None else {}
        if self.cleanup == "compact":
            return {
                "cleanup.policy": "compact",
                "min.compaction.lag.ms": "0",
                "delete.retention.ms": str(int(7 * DAY / timedelta(milliseconds=1))),
                **larger,
            }
        assert self.keep is not None, f"{self.name}: a topic deleted by age says how long it is kept"
        return {"cleanup.policy": "delete", "retention.ms": str(int(self.keep / timedelta(milliseconds=1))), **larger}


INBOX = Topic(
    "inbox.v1",
    "deal id, or source object",
    "the exact bytes of one object and its request's headers",
    "delete",
    7 * DAY,
    sharded=True,
)
DEALS = Topic("deals.v1", "deal id", "the whole deal as last known", "compact", sharded=True, events=(deal.TYPE,))
REPORTS = Topic(
    "reports.v1",
    "pool or deal, week, kind, source object",
    "who reported what capacity, and when",
    "compact",
    events=(report.TYPE,),
)
SIGNALS = Topic("signals.v1", "source event id", "observed operations", "delete", 90 * DAY, events=(signal.TYPE,))
PLANS = Topic(
    "plans.v1",
    "id@version",
    "published plans, whole",
    "compact",
    events=(published_plan.TYPE,),
    largest=LARGEST_REQUEST,
)
CELLS = Topic(
    "cells.v1",
    "deals partition, cell or mark",
    "absolute sums of one cell in one deals partition",
    "compact",
    events=(cell.TYPE, cell.MARK_TYPE),
)
FRAMES = Topic(
    "frames.v1", "none", "one projection: all that triggers see, in order", "delete", 90 * DAY, events=(frame.TYPE,)
)
POSITIONS = Topic("positions.v1", "pool, week", "the live capacity table", "compact", events=(position.TYPE,))
FORECASTS = Topic(
    "forecasts.v1",
    "period, segment",
    "the live re-forecast: margin and delivery of a quarter",
    "compact",
    events=(forecast.TYPE,),
)
EPISODES = Topic(
    "episodes.v1",
    "trigger, scope",
    "state of each episode and the frame it is applied to",
    "compact",
    events=(episode.TYPE, episode.EVALUATED_TYPE),
)
RECALIBRATIONS = Topic(
    "recalibrations.v1",
    "recalibration id",
    "what an episode asks of whom by when",
    "compact",
    events=(recalibration.TYPE,),
)
DECISIONS = Topic(
    "decisions.v1", "recalibration id", "what the owners answered", "delete", 730 * DAY, events=(decision.TYPE,)
)
HISTORY = Topic(
    "history.v1",
    "as in its own topic",
    "every normalised deal, report and plan, uncompacted",
    "delete",
    730 * DAY,
    sharded=True,
    events=(deal.TYPE, report.TYPE, published_plan.TYPE),
    largest=LARGEST_REQUEST,
)
DEAD_LETTERS = Topic(
    "dead-letters.v1",
    "as the origin",
    "what could not be used, and why",
    "delete",
    30 * DAY,
    events=(dead_letter.TYPE,),
)

ALL = (
    INBOX,
    DEALS,
    REPORTS,
    SIGNALS,
    PLANS,
    CELLS,
    FRAMES,
    POSITIONS,
    FORECASTS,
    EPISODES,
    RECALIBRATIONS,
    DECISIONS,
    HISTORY,
    DEAD_LETTERS,
)
