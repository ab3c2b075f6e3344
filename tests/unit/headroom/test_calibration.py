"""Calibration against sums by hand: forecasts are settled by what their week turned out to be, and by nothing later."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headroom.backtest_calibration import as_json, section
from headroom.calibration import EVENTS, HORIZONS, Calibration, Reliability, pooled
from shared.schemas.frame import Frame
from shared.schemas.position import Position
from shared.schemas.week import add_weeks
from tests.unit.triggers.scenes import MONDAY, WEEK, plan


def frame(ahead: int, rows: list[Position], *, more: bool = False, loading: bool = False) -> Frame:
    """The frame of the Monday so many weeks on."""
    return Frame(
        now=MONDAY + timedelta(weeks=ahead), week=add_weeks(WEEK, ahead), plan="p@1", complete=False, upto={},
        positions=rows, more=more, loading=loading,
    )  # fmt: skip


def row(
    pool: str, ahead: int, overload: float = 0.0, booked: float = 0.0, delay: float = 0.0, late: float = 0.0
) -> Position:
    return Position(
        pool=pool, week=add_weeks(WEEK, ahead), unit="hours", capacity=100.0, by_plan=100.0, booked=booked,
        overload=overload, late=late, delay_weeks=delay,
    )  # fmt: skip


def of(found: list[Reliability], event: str, horizon: int) -> Reliability:
    return next(one for one in found if one.event == event and one.horizon == horizon)


def test_a_forecast_is_settled_when_its_week_is_over() -> None:
    made = plan()
    pool = next(iter(made.pools))
    seen = Calibration(made)
    seen.see(frame(0, [row(pool, 1, overload=0.7, late=0.2)]))
    assert not any(one.count for one in seen.found())
    seen.see(frame(1, [row(pool, 1, overload=0.9, booked=101.0, delay=0.0)]))
    assert not any(one.count for one in seen.found()), "the week is not over"
    seen.see(frame(2, []))
    overload, late = of(seen.found(), "overload", 1), of(seen.found(), "late", 1)
    assert (overload.count, overload.base_rate, overload.deciles[7].came) == (1, 1.0, 1)
    assert overload.brier == pytest.approx(0.3**2)
    assert (late.count, late.base_rate) == (1, 0.0)
    assert late.brier == pytest.approx(0.2**2)
    assert of(seen.found(), "overload", 2).count == 0


def test_exactly_at_capacity_is_no_overload_and_open_deals_are_none() -> None:
    made = plan()
    pool = next(iter(made.pools))
    seen = Calibration(made)
    seen.see(frame(0, [row(pool, 1, overload=0.5)]))
    seen.see(frame(1, [row(pool, 1, booked=100.0)]))
    seen.see(frame(2, []))
    assert of(seen.found(), "overload", 1).base_rate == 0.0


def test_half_a_projection_and_a_load_are_not_judged() -> None:
    made = plan()
    pool = next(iter(made.pools))
    seen = Calibration(made)
    seen.see(frame(0, [row(pool, 1, overload=0.5)], more=True))
    seen.see(frame(0, [row(pool, 1, overload=0.5)], loading=True))
    seen.see(frame(1, [row(pool, 1)]))
    seen.see(frame(2, []))
    assert not any(one.count for one in seen.found())


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1))
def test_scores_are_the_sums_they_say(said: list[tuple[float, bool]]) -> None:
    one = Reliability("late", 4)
    for predicted, came in said:
        one.add(predicted, came)
    rate = sum(came for _, came in said) / len(said)
    assert one.count == len(said) == sum(decile.count for decile in one.deciles)
    assert one.base_rate == pytest.approx(rate)
    assert one.brier == pytest.approx(sum((p - came) ** 2 for p, came in said) / len(said))
    for number, decile in enumerate(one.deciles):
        assert number * decile.count / 10 - 1e-9 <= decile.predicted <= (number + 1) * decile.count / 10 + 1e-9
    if rate not in (0.0, 1.0):
        always = Reliability("late", 4)
        for _, came in said:
            always.add(rate, came)
        assert always.skill == pytest.approx(0.0, abs=1e-9)


def test_all_horizons_together_are_their_sum() -> None:
    parts = [Reliability("late", horizon) for horizon in HORIZONS]
    for number, part in enumerate(parts):
        part.add(number / 4, came=number % 2 == 0)
    whole = pooled([*parts, Reliability("overload", 1)], "late")
    assert whole.count == 4
    assert whole.brier == pytest.approx(sum(part.squares for part in parts) / 4)


def test_json_and_picture_say_the_same() -> None:
    one = Reliability("overload", 1)
    one.add(0.25, came=True)
    said = as_json([one])
    assert [each["event"] for each in said] == ["overload", "overload", "overload_planned", "late"]
    assert said[0]["deciles"] == [{"forecast": "20–30 %", "count": 1, "mean_forecast": 0.25, "came_true": 1.0}]
    assert "20–30 %: 1 forecasts, 25.0% on average, 100.0% came true" in section([one])
    assert section([Reliability(event, 1) for event in EVENTS]) == ""
