"""What a run of frames and of deals comes to before it is written."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from services.capacity.store.writing import Changes
from services.capacity.views import fold, frames_of, last_of_each
from shared.schemas import deal
from shared.schemas.deal import Deal
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame, ListedDeal
from shared.schemas.frame import encode as encode_frame
from shared.schemas.position import Position, WorkState
from tests.unit.triggers.scenes import MONDAY, WEEK, Written, at, position, slipping

Tables = tuple[dict[tuple[str, str], Position], dict[str, WorkState], list[ListedDeal], dict[tuple[str, str], Forecast]]


def one_by_one(tables: Tables, frames: Sequence[Frame]) -> Tables:
    """The tables after frames, each applied in turn."""
    positions, work, listed, forecasts = dict(tables[0]), dict(tables[1]), list(tables[2]), dict(tables[3])
    for frame in frames:
        if frame.complete:
            positions.clear()
            work.clear()
            forecasts.clear()
        for key in frame.gone:
            positions.pop(key, None)
        positions |= {(p.pool, p.week): p for p in frame.positions}
        work |= {w.work: w for w in frame.work}
        forecasts |= {(f.period, f.segment): f for f in frame.forecasts or []}
        if frame.listed is not None:
            listed = list(frame.listed)
    return positions, work, listed, forecasts


def at_once(tables: Tables, changes: Changes) -> Tables:
    """The tables after the changes that a run of frames was folded to."""
    positions, work, listed, forecasts = dict(tables[0]), dict(tables[1]), list(tables[2]), dict(tables[3])
    if changes.everything:
        positions.clear()
        work.clear()
        forecasts.clear()
    for key in changes.gone:
        positions.pop(key, None)
    positions |= {(p.pool, p.week): p for p in changes.positions}
    work |= {w.work: w for w in changes.work}
    forecasts |= {(f.period, f.segment): f for f in changes.forecasts}
    return positions, work, list(changes.listed) if changes.listed is not None else listed, forecasts


_POSITIONS = st.lists(st.builds(position, st.integers(0, 4), st.sampled_from([0.1, 0.9])), max_size=3)
_FORECASTS = st.lists(
    st.builds(
        Forecast,
        period=st.sampled_from(["2026-Q1", "2026-Q2"]),
        segment=st.sampled_from(["*", "smb"]),
        at=st.just(MONDAY),
        bookings=st.sampled_from([1.0, 2.0]),
    ),
    max_size=3,
)
_FRAMES = st.lists(
    st.builds(
        lambda positions, complete, gone, slip, listed, forecasts: at(
            0,
            *positions,
            complete=complete,
            gone=[("implementation", f"2026-W{14 + ahead}") for ahead in gone],
            work=[] if slip is None else [slipping(slip)],
            listed=None if listed is None else [ListedDeal(name, "stale") for name in sorted(listed)],
            forecasts=forecasts,
        ),
        _POSITIONS,
        st.booleans(),
        st.lists(st.integers(0, 4), max_size=2),
        st.none() | st.sampled_from([0.0, 2.0]),
        st.none() | st.sets(st.sampled_from("abc")),
        st.none() | _FORECASTS,
    ),
    max_size=6,
)


@given(_FRAMES, _FRAMES)
def test_a_run_comes_to_the_same_as_its_frames_one_by_one(before: list[Frame], frames: list[Frame]) -> None:
    tables = one_by_one(({}, {}, [], {}), before)
    changes = fold(list(enumerate(frames)))
    if not frames:
        assert changes is None
    else:
        assert changes is not None
        assert at_once(tables, changes) == one_by_one(tables, frames)
        assert (changes.projection.frame, changes.projection.week) == (len(frames) - 1, WEEK)


def test_a_frame_that_cannot_be_read_is_passed_over() -> None:
    first, second = at(0, position(0, 0.1)), at(1, position(1, 0.9))
    records = [(encode_frame(first), 0), (b"{", 1), (b"\xff", 2), (None, 3), (encode_frame(second), 4)]
    assert frames_of(Written(offset, None, value) for value, offset in records) == [(0, first), (4, second)]


def made(name: str, version: int) -> Deal:
    return Deal(id=name, source="crm", object=name, version=version)


def test_only_the_last_state_of_a_deal_is_written() -> None:
    records = [
        Written(0, b"a", deal.encode(made("a", 1))),
        Written(1, b"b", deal.encode(made("b", 1))),
        Written(2, b"a", deal.encode(made("a", 2))),
        Written(3, b"b", None),
        Written(4, None, None),
    ]
    assert last_of_each(records) == ([made("a", 2)], ["b"])


def test_a_deal_that_cannot_be_read_stays_as_it_was_until_it_is_written_again() -> None:
    one, broken, other = Written(0, b"a", deal.encode(made("a", 1))), Written(1, b"a", b"{}"), Written(2, b"\xff", None)
    assert last_of_each([broken, other]) == ([], [])
    assert last_of_each([one, broken]) == ([made("a", 1)], [])
    assert last_of_each([one, broken, Written(3, b"a", deal.encode(made("a", 2)))]) == ([made("a", 2)], [])
