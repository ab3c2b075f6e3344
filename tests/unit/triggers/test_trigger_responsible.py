"""Until when hiring or holding back helps."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.triggers.domain.responsible import end_of, last_hire_week, last_stop_week, people_needed
from shared.schemas.plan_pools import Hire
from shared.schemas.week import add_weeks

RAMP = [0.3, 0.3, 0.7, 0.7, 1.0]
HIRE = Hire(lead_weeks=9, ramp=RAMP, hours=35.0)
GAP = {"2026-W20": 20.0, "2026-W21": 20.0, "2026-W22": 20.0}


@pytest.mark.parametrize(("people", "week"), [(1, "2026-W09"), (2, "2026-W11")])
def test_the_model_pages_example(people: int, week: str) -> None:
    assert last_hire_week(GAP, HIRE, people) == week


def test_no_date_helps_when_there_are_too_few() -> None:
    assert last_hire_week({"2026-W20": 36.0}, HIRE, 1) is None
    assert people_needed({"2026-W20": 36.0}, HIRE) == 2
    assert people_needed({"2026-W20": 35.0}, HIRE) == 1


def test_no_gap_has_no_date() -> None:
    assert last_hire_week({"2026-W20": 0.0}, HIRE, 1) is None


@given(
    st.lists(st.just(0.0) | st.floats(0.5, 60), min_size=1, max_size=6),
    st.lists(st.sampled_from([0.0, 0.2, 0.5, 0.7, 1.0]), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(1, 3),
)
def test_is_the_latest_of_all_weeks_that_help(efforts: list[float], ramp: list[float], lead: int, people: int) -> None:
    hire = Hire(lead_weeks=lead, ramp=ramp, hours=35.0)
    gap = {add_weeks("2026-W20", i): effort for i, effort in enumerate(efforts)}

    def helps(back: int) -> bool:
        """Whether a decision ``back`` weeks before the first week fills every later week, by the formula as written."""
        for i, effort in enumerate(efforts):
            since = i + back - lead
            share = 0.0 if since < 0 else (ramp + [ramp[-1]] * 100)[since]
            if effort > 0 and people * 35.0 * share < effort - 1e-9:
                return False
        return True

    found = [back for back in range(-6, 40) if helps(back)]
    expected = add_weeks("2026-W20", -found[0]) if found and any(effort > 0 for effort in efforts) else None
    assert last_hire_week(gap, hire, people) == expected


@pytest.mark.parametrize(
    ("missing", "week"),
    [(5.0, "2026-W16"), (10.0, "2026-W16"), (11.0, "2026-W15"), (25.0, "2026-W14"), (31.0, None)],
)
def test_last_week_to_hold_back(missing: float, week: str | None) -> None:
    assert last_stop_week(missing, {"2026-W14": 10.0, "2026-W15": 10.0, "2026-W16": 10.0}) == week


def test_a_week_ends_in_its_own_zone() -> None:
    assert end_of("2026-W14", "Europe/Berlin") == datetime(2026, 4, 5, 22, tzinfo=UTC)
