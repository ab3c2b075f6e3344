"""Golden files: what is on the log today must be readable tomorrow, and what is written must look as readers expect."""

import json
from pathlib import Path

import msgspec
import pytest

from shared.schemas.events import EVENTS

GOLDEN = Path(__file__).parent / "golden"


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_a_recorded_event_is_read_and_written_back_the_same(event_type: str) -> None:
    recorded = (GOLDEN / f"{event_type}.json").read_bytes()
    value = msgspec.json.decode(recorded, type=EVENTS[event_type])
    assert json.loads(msgspec.json.encode(value)) == json.loads(recorded)


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_a_field_of_a_later_version_is_passed_over(event_type: str) -> None:
    recorded = json.loads((GOLDEN / f"{event_type}.json").read_bytes())
    later = json.dumps({**recorded, "added_in_a_later_version": [1, {"two": 3}]}).encode()
    now = msgspec.json.decode(json.dumps(recorded).encode(), type=EVENTS[event_type])
    assert msgspec.json.decode(later, type=EVENTS[event_type]) == now


@pytest.mark.parametrize("event_type", sorted(EVENTS))
def test_every_field_is_recorded(event_type: str) -> None:
    """A new field must enter the golden file too, else nothing would hold its name."""
    recorded = json.loads((GOLDEN / f"{event_type}.json").read_bytes())
    fields = {field.encode_name for field in msgspec.structs.fields(EVENTS[event_type])}
    optional_and_absent = {
        field.encode_name
        for field in msgspec.structs.fields(EVENTS[event_type])
        if not field.required and field.encode_name not in recorded
    }
    assert set(recorded) <= fields
    assert fields - set(recorded) == optional_and_absent


def test_no_golden_file_is_an_orphan() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(EVENTS)
