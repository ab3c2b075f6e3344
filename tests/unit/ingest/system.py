"""The normaliser's shard beside what it reads and writes, and the records that tests feed it with."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from services.ingest.agents import NormaliseShard, ReportTable
from services.ingest.domain.rates import Rates
from services.ingest.normalise.hubspot import Connection
from services.ingest.normalise.record import Adapters
from shared.schemas import deal
from shared.schemas.inbox import RECEIVED_HEADER, SOURCE_HEADER
from shared.streams.shards import Batch, Outgoing
from shared.topics import DEALS, INBOX, Topic

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
TRACE = b"00-12345678901234567890123456789012-1234567890123456-01"


@dataclass
class Lying:
    """A record as it lies in Kafka."""

    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]] = ()
    timestamp: int = int(NOW.timestamp() * 1000)


@dataclass
class System:
    """One shard, the plan's currency and the reports beside it, and the log it writes."""

    partitions: int = 1
    rates: Rates = field(default_factory=Rates)
    reports: ReportTable = field(default_factory=ReportTable)
    log: list[Outgoing] = field(default_factory=list)
    offset: int = 0

    def __post_init__(self) -> None:
        self.shard = self.fresh()

    def fresh(self) -> NormaliseShard:
        adapters = Adapters({"acme": Connection("acme", ZoneInfo("UTC"))})
        shard = NormaliseShard(0, adapters, lambda: self.rates, self.reports, self.partitions)
        on_deals = [Lying(n, out.key, out.value) for n, out in enumerate(self.on(DEALS))]
        if on_deals:
            shard.apply(Batch(DEALS, 0, on_deals, len(on_deals), restoring=True))
        shard.restored({DEALS: len(on_deals)})
        return shard

    def take(self, *records: Lying) -> list[Outgoing]:
        """Feed records and flush; what the flush writes."""
        for record in records:
            record.offset = self.offset
            self.offset += 1
        if records:
            self.shard.apply(Batch(INBOX, 0, records, self.offset))
        out = list(self.shard.flush(NOW))
        self.log += out
        return out

    def on(self, topic: Topic) -> list[Outgoing]:
        return [out for out in self.log if out.topic is topic]

    def deal(self, key: bytes = b"crm/42") -> deal.Deal:
        last = [out for out in self.on(DEALS) if out.key == key][-1]
        assert last.value is not None
        return deal.decode(last.value)


def event(type: str = "com.headroom.deal.changed", subject: str | None = "42", **more: Any) -> Lying:
    base = {"specversion": "1.0", "id": "e1", "source": "crm", "type": type, "time": "2026-04-01T12:00:00Z"}
    said = {**base, **({"subject": subject} if subject else {}), **more}
    headers = [
        (SOURCE_HEADER, b"cloudevents"),
        (RECEIVED_HEADER, NOW.isoformat().encode()),
        ("content-type", b"application/cloudevents+json"),
        ("ce_traceparent", TRACE),
    ]
    return Lying(0, f"crm/{subject or 'e1'}".encode(), json.dumps(said).encode(), headers)


def reported(amount: float, time: str, subject: str = "r1") -> Lying:
    data = {"kind": "capacity", "pool": "p", "week": "2026-W20", "amount": amount}
    return event("com.headroom.capacity.reported", subject, time=time, data=data)


def topics(out: Sequence[Outgoing]) -> list[str]:
    return [one.topic.name for one in out]
