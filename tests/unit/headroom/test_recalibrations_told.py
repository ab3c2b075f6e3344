"""``headroom recalibrations``: what is said of one, in the lines of the list and in the facts of `show`."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from headroom.recalibrations import _facts, _lines
from shared.schemas.recalibration import AskedPerson, Recalibration, Stress, encode

LOCAL = timezone(timedelta(hours=2))


def said(**other: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "id": "11111111-0000-5000-8000-000000000001", "event_id": "e", "kind": "firing", "transition": 1,
        "trigger": "installation-overcommitted", "scope": "implementation", "watch": "position", "severity": "critical",
        "at": datetime(2026, 3, 2, 9, tzinfo=UTC), "fired": datetime(2026, 3, 2, 9, tzinfo=UTC), "plan": "p@1",
        "summary": "short", "from_week": "2026-W15", "to_week": "2026-W17", "owners": [AskedPerson("ana"),
        AskedPerson("ben")], "decide_by": datetime(2026, 3, 9, 17, tzinfo=LOCAL),
        "stressed": [Stress("implementation", 1.6e6, "hours"), Stress("support", 12.5)],
    }  # fmt: skip
    found: dict[str, Any] = json.loads(encode(Recalibration(**values | other)))
    return found


def test_the_list_says_each_in_three_lines_that_can_be_searched() -> None:
    assert _lines("firing", said(), 2) == (
        "11111111-0000-5000-8000-000000000001  firing     critical",
        "  installation-overcommitted on implementation, 2026-W15 to 2026-W17",
        "  ana, ben; decide by 2026-03-09 17:00 UTC+02:00; 2 answers",
    )
    bare = said(owners=[], decide_by=None, from_week=None, to_week=None)
    assert _lines("mitigated", bare, 0)[1:] == (
        "  installation-overcommitted on implementation",
        "  nobody is asked",
    )


def test_moments_have_their_zone_and_amounts_their_unit() -> None:
    facts = dict(_facts(said()))
    assert facts["fired"] == "2026-03-02 09:00 UTC"
    assert facts["presses on"] == "implementation 1,600,000 hours, support 12.5"
