"""Signals by kind and pool, against adding them up one by one."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.signals import BEFORE, KEPT, RECENT, Signals
from shared.schemas.frame import SignalState
from shared.schemas.signal import Signal

TODAY = date(2026, 3, 30)
NOON = datetime(2026, 3, 30, 12, tzinfo=UTC)


def opened(ago: float, value: float = 1.0, pool: str | None = "support", id: str | None = None, **more) -> Signal:
    time = NOON - timedelta(days=ago)
    made = id or f"{ago}/{value}/{pool}/{more}"
    return Signal(id=made, source="desk", kind="tickets-opened", time=time, value=value, pool=pool, **more)


def state(*signals: Signal, pool: str | None = "support", day: date = TODAY) -> SignalState | None:
    folded = Signals()
    for signal in signals:
        folded.put(signal)
    return next((one for one in folded.states(day) if one.pool == pool), None)


def test_a_week_and_the_four_before_it() -> None:
    found = state(*(opened(ago, 10.0 if ago < 7 else 5.0) for ago in range(35)))
    assert found is not None
    assert (found.per_week, found.before, found.mean, found.mean_before) == (70.0, 35.0, 10.0, 5.0)
    assert found.newest == NOON


def test_a_report_over_days_is_spread_over_them() -> None:
    found = state(
        opened(3, 70.0, period_days=7.0), opened(10, 140.0, period_days=7.0), opened(17, 140.0, period_days=7.0)
    )
    assert found is not None
    assert found.per_week == pytest.approx(70.0), "the three days that nothing covers yet say nothing"
    assert found.before == pytest.approx((3 * 10 + 14 * 20) / 17 * 7)
    assert found.mean == 70.0


def test_little_history_says_nothing_of_the_time_before() -> None:
    found = state(opened(9), opened(0))
    assert found is not None
    assert found.before is None
    assert found.mean_before is None


def test_a_part_of_the_weeks_before_is_brought_to_a_week() -> None:
    found = state(*(opened(ago) for ago in range(21)))
    assert found is not None
    assert (found.per_week, found.before) == (7.0, 7.0)


def test_signals_of_a_pool_count_in_everything_too() -> None:
    signals = opened(0, 3.0), opened(0, 4.0, pool="desk"), opened(0, 5.0, pool=None)
    everything, support = state(*signals, pool=None), state(*signals)
    assert everything is not None
    assert support is not None
    assert (everything.per_week, support.per_week) == (12.0, 3.0)


def test_the_same_id_counts_once_and_the_past_not_at_all() -> None:
    folded = Signals()
    assert folded.put(opened(0, id="a"))
    assert not folded.put(opened(0, id="a"))
    assert not folded.put(opened(KEPT + 1, id="b"))


DAYS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 9), st.sampled_from(["a", "b"])), max_size=40)


@given(DAYS, st.randoms(use_true_random=False))
def test_any_order_and_any_age_add_up_the_same(days: list[tuple[int, int, str]], chance) -> None:
    signals = [opened(ago, float(value), pool, id=str(i)) for i, (ago, value, pool) in enumerate(days)]
    expected = sum(value for ago, value, pool in days if pool == "a" and ago < RECENT)
    newest = min((ago for ago, _, pool in days if pool == "a"), default=0)
    chance.shuffle(signals)
    found = state(*signals, pool="a")
    if found is None:
        assert expected == 0
    else:
        assert found.per_week == expected
        assert found.newest == NOON - timedelta(days=newest)


@given(st.lists(st.tuples(st.integers(0, RECENT + BEFORE - 1), st.integers(1, 9)), min_size=1))
def test_the_two_windows_together_hold_everything(days: list[tuple[int, int]]) -> None:
    first = opened(RECENT + BEFORE, 0.0, id="first")
    found = state(first, *(opened(ago, float(value), id=str(i)) for i, (ago, value) in enumerate(days)))
    assert found is not None
    assert found.before is not None
    assert found.per_week + found.before * BEFORE / 7 == pytest.approx(sum(value for _, value in days))
