"""Records and rows that the notifier's tests make."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from services.notifier.domain.routing import Filters
from services.notifier.domain.signing import Secret, secret_of
from services.notifier.store.recalibrations import Arrival
from services.notifier.store.subscriptions import Subscription, Subscriptions
from shared.schemas import recalibration as records
from shared.schemas.recalibration import AskedPerson, Recalibration
from shared.streams.shards import Batch
from shared.topics import RECALIBRATIONS
from tests.unit.triggers.scenes import plan_json, published

MOMENT = datetime(2026, 3, 2, 9, tzinfo=UTC)
SECRET = secret_of(bytes(range(32)))


def plan_record(**engineering: Any) -> bytes:
    """A published plan of the pool engineering, owned by ada and escalated to grace, and of one that alan owns."""
    said = plan_json(
        people={person: {"name": person.title()} for person in ("ada", "grace", "alan")},
        pools={
            "engineering": WORK | {"owner": "ada", "escalation": ["grace"]} | engineering,
            "support": WORK | {"owner": "alan"},
        },
        products={},
        work={},
    )
    return published(said)


WORK = {"kind": "work", "unit": "hours", "capacity": {"per_week": 100.0}}


def recalibration(identity: str = "r1", transition: int = 1, kind: str = "firing", **other: Any) -> Recalibration:
    """A recalibration of the pool engineering; ``other`` fields as given."""
    values: dict[str, Any] = {
        "id": identity,
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{identity}/{transition}")),
        "kind": kind,
        "transition": transition,
        "trigger": "engineering-overcommitted",
        "scope": "engineering",
        "watch": "position",
        "severity": "critical",
        "at": MOMENT,
        "fired": MOMENT,
        "plan": "p@1",
        "summary": "Engineering is short by 320 h",
        "pool": "engineering",
        "owners": [AskedPerson("ada", "Ada")],
        "escalation": [AskedPerson("grace", "Grace")],
        "inform": [AskedPerson("alan", "Alan")],
    }
    return Recalibration(**(values | other))


def arrivals(*ones: Recalibration) -> list[Arrival]:
    return [Arrival(one, datetime.now(UTC)) for one in ones]


@dataclass
class Kept:
    """A record as it lies in Kafka."""

    offset: int
    value: bytes | None
    key: bytes | None = b"k"
    headers: tuple[tuple[str, bytes], ...] = ()
    timestamp: int = 1_772_000_000_000


def batch(*values: Recalibration | bytes | None, start: int = 0) -> Batch:
    """A batch of ``recalibrations.v1``."""
    kept = [
        Kept(start + n, records.encode(value) if isinstance(value, Recalibration) else value)
        for n, value in enumerate(values)
    ]
    return Batch(RECALIBRATIONS, 0, kept, start + len(kept))


async def subscribe(
    engine: AsyncEngine, url: str, filters: Filters | None = None, secret: Secret = SECRET
) -> Subscription:
    """A subscription without the API."""
    return await Subscriptions(engine).add("test", url, filters or Filters(), secret, "test")
