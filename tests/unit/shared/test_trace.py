"""The trace context that is carried on, after the W3C test suite's cases."""

import json
from pathlib import Path

import pytest

from shared.schemas.trace import traceparent

VECTORS = Path(__file__).parents[3].parent / "shared" / "data" / "vectors" / "traceparent.json"
GOOD = "00-12345678901234567890123456789012-1234567890123456-01"


def test_a_valid_header_is_carried_on() -> None:
    assert traceparent([GOOD]) == GOOD.encode()
    assert traceparent([f"\t {GOOD} "]) == GOOD.encode()


@pytest.mark.parametrize("values", [[], [GOOD, GOOD], [""], ["00-" + "0" * 32 + "-1234567890123456-01"]])
def test_anything_else_begins_a_new_trace(values: list[str]) -> None:
    assert traceparent(values) is None


def test_the_published_vectors() -> None:
    if not VECTORS.exists():
        pytest.skip("the customer's data (../shared) is not here")
    vectors = json.loads(VECTORS.read_text())
    for carried in vectors["continue"]:
        value = carried.removesuffix(" (random flag)")
        assert traceparent([value]) == value.strip().encode(), carried
    for dropped in vectors["restart_new_trace"]:
        values = [GOOD, GOOD] if dropped == "two traceparent headers" else [dropped]
        assert traceparent(values) is None, dropped
