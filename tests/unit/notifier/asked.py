"""A recalibration as the notifier reads one."""

from datetime import UTC, datetime
from typing import Any

from shared.schemas.recalibration import Recalibration

MOMENT = datetime(2026, 3, 2, 9, tzinfo=UTC)


def recalibration(**more: Any) -> Recalibration:
    """One that fires about a position; ``more`` goes over what is said here."""
    said: dict[str, Any] = {
        "id": "r1",
        "event_id": "e1",
        "kind": "firing",
        "transition": 1,
        "trigger": "overcommitted",
        "scope": "s",
        "watch": "position",
        "severity": "warning",
        "at": MOMENT,
        "fired": MOMENT,
        "plan": "p@1",
        "summary": "",
    }
    return Recalibration(**said | more)
