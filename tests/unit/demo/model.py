"""The story through the services' own shards, in one process; what one writes is handed to the next directly."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from headroom.story import Moment
from services.capacity.agents.fold import FoldShard
from services.capacity.agents.project import ProjectShard
from services.capacity.domain.projector import PlanInForce
from services.ingest.domain.change import DealChange
from services.ingest.domain.merge import merge
from services.ingest.normalise import cloudevents
from services.triggers.agents import TriggersShard
from services.triggers.domain.rules import compile_rules
from shared.schemas import deal, decision, frame, position, recalibration, report
from shared.schemas.plan import Plan
from shared.streams.shards import Batch, Outgoing, Shard
from shared.topics import CELLS, DEALS, DECISIONS, EPISODES, FRAMES, POSITIONS, RECALIBRATIONS, REPORTS, Topic


@dataclass(frozen=True, slots=True)
class Lying:
    """A record as it would lie in Kafka."""

    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int = 0
    headers: Sequence[tuple[str, bytes]] = ()


Pairs = Sequence[tuple[bytes | None, bytes | None]]


class Model:
    """Everything between an event and a recalibration."""

    def __init__(self, plan: Plan) -> None:
        name = f"{plan.plan}@1"
        rules = compile_rules(name, plan)
        self.deals: dict[str, deal.Deal] = {}
        self.work: dict[str, position.WorkState] = {}
        self.positions: dict[tuple[str, str], position.Position] = {}
        self._offsets: dict[Topic, itertools.count[int]] = defaultdict(itertools.count)
        self._fold = FoldShard(0)
        self._project = ProjectShard(lambda: PlanInForce(name, plan))
        self._triggers = TriggersShard(lambda wanted: rules)
        self._fold.restored({DEALS: 0})
        self._project.restored({CELLS: 0, REPORTS: 0, DECISIONS: 0, POSITIONS: 0})
        self._triggers.restored({FRAMES: 0, EPISODES: 0})
        self.told: list[recalibration.Recalibration] = []

    def tell(self, moments: Iterable[Moment]) -> None:
        """Take in events."""
        for moment in moments:
            envelope = cloudevents.structured(msgspec.json.encode(moment.event))
            said = cloudevents.read(envelope, moment.at)
            if isinstance(said, DealChange):
                merged = merge(self.deals.get(said.deal_id), said).deal
                if merged is not None:
                    self.deals[merged.id] = merged
                    self._hand(DEALS, [(merged.id.encode(), deal.encode(merged))], self._fold)
            elif isinstance(said, report.Report):
                self._hand(REPORTS, [(report.record_key(said), report.encode(said))], self._project)

    def decide(self, made: decision.Decision) -> None:
        """Take in an owner's decision."""
        self._hand(DECISIONS, [(made.recalibration.encode(), decision.encode(made))], self._project)

    def look(self, now: datetime) -> None:
        """Flush one shard after the other at ``now``."""
        self._hand(CELLS, _of(CELLS, self._fold.flush(now)), self._project)
        frames = _of(FRAMES, self._project.flush(now))
        for _, value in frames:
            seen = frame.decode(value or b"")
            self.work |= {state.work: state for state in seen.work}
            self.positions |= {(row.pool, row.week): row for row in seen.positions}
        self._hand(FRAMES, frames, self._triggers)
        told = _of(RECALIBRATIONS, self._triggers.flush(now))
        self.told += [recalibration.decode(value or b"") for _, value in told]

    def _hand(self, topic: Topic, pairs: Pairs, to: Shard) -> None:
        """Append records to a topic and let its reader take them in."""
        records = [Lying(next(self._offsets[topic]), key, value) for key, value in pairs]
        if records:
            to.apply(Batch(topic, 0, records, records[-1].offset + 1))


def _of(topic: Topic, outgoing: Sequence[Outgoing]) -> Pairs:
    return [(out.key, out.value) for out in outgoing if out.topic == topic]
