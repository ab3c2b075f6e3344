"""Which version a plan gets."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import msgspec

from shared.schemas.published_plan import PublishedPlan

Outcome = Literal["created", "reinstated", "unchanged"]


@dataclass(frozen=True, slots=True)
class Draft:
    """A plan that was checked and has no version yet. ``content``: canonical JSON, ``sha256``: its hash."""

    id: str
    text: str
    content: bytes
    sha256: str
    publisher: str


def decide(
    draft: Draft, published: Sequence[PublishedPlan], now: datetime, unreadable: Collection[str] = ()
) -> tuple[PublishedPlan, Outcome]:
    """The plan as it is to be published, and what that does.

    ``published`` in the order of the log. The same content keeps its version: ``unchanged`` when it is in force
    already, ``reinstated`` when another was published since, for the plan written last is the one in force. Other
    content gets the version after the highest, those among the names of ``unreadable`` records counted: another process
    may have read one.
    """
    same_id = [plan for plan in published if plan.id == draft.id]
    before = next((plan for plan in same_id if plan.sha256 == draft.sha256), None)
    if before is not None and published[-1].name == before.name:
        return published[-1], "unchanged"
    taken = [plan.version for plan in same_id] + [_version(name) for name in unreadable if _id(name) == draft.id]
    version = before.version if before else max(taken, default=0) + 1
    plan = PublishedPlan(
        id=draft.id,
        version=version,
        sha256=draft.sha256,
        published=now,
        publisher=draft.publisher,
        text=draft.text,
        plan=msgspec.Raw(_with_version(draft.content, version)),
    )
    return plan, "reinstated" if before else "created"


def _id(name: str) -> str:
    return name.rpartition("@")[0]


def _version(name: str) -> int:
    number = name.rpartition("@")[2]
    return int(number) if number.isdecimal() else 0


def _with_version(content: bytes, version: int) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(content) | {"version": version})
