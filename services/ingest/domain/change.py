"""What one record of the inbox says, whoever sent it: a change of a deal, a report, a signal, or nothing of use."""

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from shared.errors import BadInput
from shared.schemas.deal import Stamp

Reason = Literal[
    "malformed",  # not JSON, or not JSON that every reader takes the same way
    "wrong-shape",  # JSON, but a field is missing, unknown, of the wrong type or beyond its limits
    "unknown-type",  # an event type or an adapter that ingest does not know
    "unknown-connection",  # a vendor's connection that is not in the settings
    "other-portal",  # signed by the connection's secret, but for an account it does not serve
    "wrong-key",  # the record's key is not the id of the object it speaks of, or lies in another partition
    "far-ahead",  # its time lies so far ahead of its receipt that it would outlive whatever is said after it
    "same-id",  # two sources whose deals would have one id
]


class Unusable(BadInput):
    """An event that cannot be used: 400 at the door, or a dead letter with ``reason``."""

    def __init__(self, reason: Reason, why: str) -> None:
        super().__init__("the event cannot be used", why=why)
        self.reason: Reason = reason


class DealChange(msgspec.Struct, frozen=True, gc=False):
    """Fields of one deal as a source said them at one moment.

    ``values`` holds only what was said: None clears a field. Besides the names of ``Deal`` there are those of the
    single-line form (``merge.LINE_FIELDS``). ``defaults`` is what the connection assumes of all its deals; anything
    that was ever said goes before it.
    """

    source: str
    object_id: str
    stamp: Stamp
    values: dict[str, Any]
    defaults: dict[str, Any] = {}

    @property
    def deal_id(self) -> str:
        return deal_id(self.source, self.object_id)


@dataclass(frozen=True, slots=True)
class Ignored:
    """A genuine event that says nothing about capacity; ``reason`` is counted."""

    reason: Literal["not-a-deal", "association", "unmapped-property"]


def deal_id(source: str, object_id: str) -> str:
    """The id of a deal in the whole system, which is also its key on every topic."""
    return f"{source}/{object_id}"
