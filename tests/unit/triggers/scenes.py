"""Plans, frames and logs for the triggers' tests."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from services.triggers.agents import Begin, TriggersShard
from services.triggers.plans import Plans
from shared.schemas import episode, frame, published_plan, recalibration
from shared.schemas.frame import Frame
from shared.schemas.plan import Plan
from shared.schemas.position import Position, TopDeal, WorkState
from shared.schemas.week import add_weeks
from shared.streams.shards import Batch, Outgoing
from shared.topics import EPISODES, FRAMES, RECALIBRATIONS, Topic

MONDAY = datetime(2026, 3, 30, 8, tzinfo=UTC)
WEEK = "2026-W14"
POOLS = ("implementation", "engineering")


def trigger(**changes: Any) -> dict[str, Any]:
    """A trigger as the plan's JSON has it; ``for_`` stands for ``for``."""
    made = {
        "trigger": "overcommitted",
        "watch": "position",
        "where": {"pool": "implementation", "within_weeks": 8},
        "when": "overload > 0.30",
        "clear": "overload < 0.15",
        "severity": "critical",
        "ask": {
            "owners": ["pool.owner"],
            "inform": ["deals.pools.owners"],
            "acknowledge_within": "4h",
            "decide_within": "2d",
        },
    } | changes
    if "for_" in made:
        made["for"] = made.pop("for_")
    return {name: value for name, value in made.items() if value is not None}


def plan_json(*triggers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A plan of two pools, one product that needs both, and one work item."""
    return {
        "plan": "p",
        "currency": "EUR",
        "timezone": "Europe/Berlin",
        "people": {
            "ana": {"name": "Ana Costa", "email": "ana@example.com"}, "ben": {"name": "Ben"}, "eve": {"name": "Eve"},
        },
        "stages": {"won": {"class": "won"}},
        "pools": {
            "implementation": {
                "function": "delivery", "kind": "work", "unit": "hours", "owner": "ana", "escalation": ["ben"],
                "capacity": {"per_week": 100.0},
                "hire": {"lead_weeks": 2, "ramp": [0.3, 0.3, 0.7, 0.7, 1.0], "hours": 35.0},
            },
            "engineering": {
                "function": "engineering", "kind": "work", "unit": "hours", "owner": "eve", "escalation": ["ben"],
                "capacity": {"per_week": 100.0},
            },
        },
        "products": {
            "enterprise": {
                "needs": [{"pool": "implementation", "effort": 50.0}, {"pool": "engineering", "effort": 10.0}]
            }
        },
        "work": {"release": {"pool": "engineering", "effort": 400.0, "start": "2026-W14", "due": "2026-W18"}},
        "triggers": list(triggers),
        **changes,
    }  # fmt: skip


def plan(*triggers: dict[str, Any], **changes: Any) -> Plan:
    """The same as a plan."""
    return Plan.model_validate_json(json.dumps(plan_json(*triggers, **changes)))


def position(ahead: int, overload: float, **changes: Any) -> Position:
    """A position ``ahead`` weeks from ``WEEK``: 100 h of capacity, p80 of demand 100 h + overload · 100 h."""
    made: dict[str, Any] = {
        "pool": "implementation",
        "week": add_weeks(WEEK, ahead),
        "unit": "hours",
        "capacity": 100.0,
        "by_plan": 100.0,
        "booked": 60.0,
        "expected": 20.0,
        "p80": 100.0 + 100.0 * overload,
        "utilisation": 0.8,
        "overload": overload,
        "headroom": 20.0,
        "top": [TopDeal("crm/1", 40.0, 0.5, 0.9, "enterprise"), TopDeal("crm/2", 8.0, 0.1, 0.4, "unknown")],
    }
    return Position(**(made | changes))


def slipping(weeks: float, **changes: Any) -> WorkState:
    """The release, ``weeks`` late."""
    made: dict[str, Any] = {
        "work": "release",
        "pool": "engineering",
        "effort": 400.0,
        "due": "2026-W18",
        "finish": add_weeks("2026-W18", int(weeks)),
        "slip_weeks": weeks,
        "top": [TopDeal("crm/1", 30.0, 0.6, 1.0, "enterprise")],
    }
    return WorkState(**(made | changes))


def at(hours: float, *positions: Position, complete: bool = False, **changes: Any) -> Frame:
    """A frame so many hours after ``MONDAY``."""
    now = MONDAY + timedelta(hours=hours)
    made: dict[str, Any] = {"now": now, "week": WEEK, "plan": "p@1", "complete": complete, "upto": {}}
    return Frame(positions=list(positions), **(made | changes))


def published(content: Mapping[str, Any], version: int = 1) -> bytes:
    """A plan as ``plans.v1`` holds it."""
    return published_plan.encode(
        published_plan.PublishedPlan(
            id=str(content["plan"]),
            version=version,
            sha256="",
            published=MONDAY,
            publisher="ana",
            text="",
            plan=msgspec.Raw(json.dumps(dict(content)).encode()),
        )
    )


@dataclass(frozen=True)
class Written:
    """A record as it lies in Kafka."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = 0


def plans(*contents: Mapping[str, Any]) -> Plans:
    """Plans p@1, p@2, … as they were read."""
    read = Plans()
    for version, content in enumerate(contents, start=1):
        read.add(Written(version, b"", published(content, version)))
    return read


@dataclass
class Log:
    """The topics a shard reads and writes; episodes are compacted as thoroughly as Kafka ever would."""

    frames: list[bytes] = field(default_factory=list)
    episodes: dict[bytes | None, Written] = field(default_factory=dict)
    told: list[recalibration.Recalibration] = field(default_factory=list)
    forgotten: list[str] = field(default_factory=list)
    """Ids of the recalibrations whose tombstones were written."""
    ends: dict[Topic, int] = field(default_factory=dict)

    def keep(self, outgoing: Iterable[Outgoing]) -> None:
        """A transaction that was committed."""
        for record in outgoing:
            if record.topic == RECALIBRATIONS and record.value is None:
                self.forgotten.append((record.key or b"").decode())
            elif record.topic == RECALIBRATIONS:
                self.told.append(recalibration.decode(record.value or b""))
            else:
                assert record.topic == EPISODES
                offset = self.ends[EPISODES] = self.ends.get(EPISODES, 0) + 1
                self.episodes[record.key] = Written(offset, record.key, record.value, record.headers)

    def restored(self, known: Plans, upto: int, *, frames_first: bool = False) -> TriggersShard:
        """A new shard restored from this log when its frames ended at ``upto``."""
        shard = TriggersShard(known.book)
        begin = self.begin
        if frames_first:
            feed(shard, self.frames[begin:upto], begin, restoring=True)
        rows(shard, list(self.episodes.values()))
        if not frames_first:
            feed(shard, self.frames[begin:upto], begin, restoring=True)
        shard.restored({FRAMES: upto, EPISODES: self.ends.get(EPISODES, 0) + 1})
        return shard

    @property
    def begin(self) -> int:
        """The frame from which on a restore reads, as ``Begin`` finds it."""
        found = Begin()
        for record in self.episodes.values():
            found.add(record)
        return found.frame

    def rows(self) -> dict[tuple[str, str], episode.Episode]:
        """The episodes as they stand."""
        decoded = [episode.decode(r.value) for k, r in self.episodes.items() if k != episode.EVALUATED_KEY and r.value]
        return {(row.trigger, row.scope): row for row in decoded}


def rows(shard: TriggersShard, records: Sequence[Written]) -> None:
    """Give a shard episodes as a restore does."""
    if records:
        shard.apply(Batch(EPISODES, 0, records, records[-1].offset + 1, restoring=True))


def feed(shard: TriggersShard, values: Sequence[bytes], first: int, restoring: bool = False) -> None:
    """Give a shard frames that lie from offset ``first`` on."""
    records = [Written(first + i, None, value) for i, value in enumerate(values)]
    if records:
        shard.apply(Batch(FRAMES, 0, records, first + len(records), restoring))


def undisturbed(frames: Sequence[Frame], known: Plans) -> Log:
    """What one shard that never stops makes of these frames, one flush each."""
    log = Log([frame.encode(one) for one in frames])
    shard = log.restored(known, 0)
    for offset, value in enumerate(log.frames):
        feed(shard, [value], offset)
        log.keep(shard.flush(MONDAY))
    return log
