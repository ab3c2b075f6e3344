"""Changes of one deal for tests: short to write, and every one of them drawn at random."""

from typing import Any

from hypothesis import strategies as st

from services.ingest.domain.change import DealChange
from shared.schemas.deal import Line, Stamp


def change(time: int = 1, sequence: int = 0, mapping: int = 0, **values: Any) -> DealChange:
    return DealChange("crm", "42", Stamp(time, sequence, mapping), values)


_LINES = st.lists(
    st.builds(Line, product=st.sampled_from(["a", "b"]), quantity=st.sampled_from([None, 1.0, 2.0])), max_size=2
)
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "deleted": st.booleans(),
    "stage": st.sampled_from([None, "open", "won"]),
    "segment": st.sampled_from([None, "", "smb"]),
    "amount": st.sampled_from([None, 0.0, -0.0, 10.0, 9.0]),
    "custom": st.sampled_from([None, True, False]),
    "scale": st.sampled_from([None, {}, {"seats": 1.0, "sites": 2.0}, {"sites": 2.0, "seats": 1.0}]),
    "currency": st.sampled_from([None, "EUR", "USD"]),
    "rate": st.sampled_from([None, 1.0, 1.1]),
    "lines": st.one_of(st.none(), _LINES),
    "product": st.sampled_from([None, "a", "b"]),
    "quantity": st.sampled_from([None, 3.0]),
}

# Few moments, so that equal stamps are common.
stamps = st.builds(Stamp, st.integers(1, 4), st.integers(0, 1), st.integers(0, 1))
changes = st.builds(
    DealChange,
    source=st.just("crm"),
    object_id=st.just("42"),
    stamp=stamps,
    values=st.fixed_dictionaries({}, optional=_VALUES),
    defaults=st.sampled_from([{}, {"product": "a", "segment": "smb"}]),
)
