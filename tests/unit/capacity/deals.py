"""Deals at random, as they lie on ``deals.v1``."""

from datetime import date, timedelta

from hypothesis import strategies as st

from shared.schemas.deal import Deal, Line, encode

AMOUNTS = st.one_of(st.none(), st.sampled_from([0.0, 1.0, 2.5, 1e-3, 48_000.0, 1e9]))
PROBABILITIES = st.one_of(st.none(), st.sampled_from([0.0, 0.01, 0.3, 0.5, 1.0]))
TYPES = st.sampled_from(["new", "expansion", "renewal"])

LINES = st.builds(
    Line,
    product=st.sampled_from(["basic", "enterprise"]),
    quantity=AMOUNTS,
    amount=AMOUNTS,
    list_amount=AMOUNTS,
    arr=AMOUNTS,
    segment=st.sampled_from([None, "smb"]),
    custom=st.sampled_from([None, True]),
    type=st.one_of(st.none(), TYPES),
    probability=PROBABILITIES,
)

DEALS = st.builds(
    Deal,
    id=st.sampled_from([f"crm/{n}" for n in range(6)]),
    source=st.just("crm"),
    object=st.just("x"),
    version=st.just(1),
    deleted=st.sampled_from([False, False, False, True]),
    stage=st.sampled_from([None, "qualified", "won"]),
    close=st.one_of(st.none(), st.integers(0, 60).map(lambda n: date(2026, 3, 20) + timedelta(days=n))),
    amount=AMOUNTS,
    currency=st.sampled_from([None, "USD"]),
    rate=st.sampled_from([None, 0.5]),
    segment=st.sampled_from(["", "enterprise"]),
    type=TYPES,
    custom=st.booleans(),
    probability=PROBABILITIES,
    lines=st.lists(LINES, max_size=3),
)


def deal(number: int, *lines: Line, close: str = "2026-04-01", stage: str = "qualified", **more: object) -> bytes:
    """The bytes of one deal with ``lines``."""
    made = Deal(
        id=f"crm/{number}",
        source="crm",
        object=str(number),
        version=1,
        close=date.fromisoformat(close),
        stage=stage,
        lines=list(lines),
        **more,  # type: ignore[arg-type]
    )
    return encode(made)
