"""Records that were applied already are not applied again."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from shared.streams.runtime import unseen


@given(st.lists(st.integers(0, 50), unique=True).map(sorted), st.integers(0, 60))
def test_what_lies_below_is_left_out(offsets: list[int], applied: int) -> None:
    records = [SimpleNamespace(offset=offset) for offset in offsets]
    assert [r.offset for r in unseen(records, applied)] == [offset for offset in offsets if offset >= applied]  # type: ignore[arg-type]
