"""The alarm of the story as the demo hears it."""

from datetime import datetime
from typing import Any

from shared.schemas.position import TopDeal
from shared.schemas.recalibration import AskedPerson, Recalibration


def slipping(fired: datetime, **more: Any) -> Recalibration:
    """The core release slips because of a deal; ``more`` goes over what is said here."""
    said: dict[str, Any] = {
        "id": "r",
        "event_id": "e",
        "kind": "firing",
        "transition": 1,
        "trigger": "release-slipping",
        "scope": "core-release",
        "watch": "work",
        "severity": "critical",
        "at": fired,
        "fired": fired,
        "plan": "margin-volume-trap@1",
        "summary": "core-release slips 3 weeks.",
        "cause": [TopDeal("crm/E-00", 30.0, 0.04, 0.5, "enterprise")],
        "owners": [AskedPerson("head-of-engineering", "Head of Engineering")],
    }
    return Recalibration(**said | more)
