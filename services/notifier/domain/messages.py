"""What is sent: the body of a message, frozen when the delivery is planned so that every attempt sends the same."""

import json
from datetime import datetime
from typing import Any

import msgspec

from shared.schemas import recalibration as recalibrations
from shared.schemas.recalibration import Recalibration

TEST = "test"


def type_of(recalibration: Recalibration) -> str:
    """The event type, such as ``recalibration.firing``."""
    return f"recalibration.{recalibration.kind}"


def body(recalibration: Recalibration) -> str:
    """The message about one transition of a recalibration: type, the moment it speaks of, the whole record."""
    data = msgspec.Raw(recalibrations.encode(recalibration))
    message = {"type": type_of(recalibration), "timestamp": recalibration.at, "data": data}
    return msgspec.json.encode(message).decode()


def test_body(subscription: str, now: datetime) -> str:
    """The message that only tests whether a subscription's receiver answers."""
    data = {"subscription": subscription, "text": "Headroom can reach you here."}
    return json.dumps({"type": TEST, "timestamp": now.isoformat(), "data": data}, separators=(",", ":"))


def plain_data(**data: Any) -> str:
    """One line of JSON about something of the notifier's own."""
    return json.dumps(data, separators=(",", ":"))
