"""When work items are done, and how far deals push them."""

from datetime import date, timedelta

import pytest

from shared.schemas.deal import Line
from tests.unit.capacity.books import by_week, projected
from tests.unit.capacity.deals import deal
from tests.unit.capacity.plans import plan, work_pool

RELEASE = {"pool": "eng", "effort": 3840.0, "start": "2026-W14", "due": "2026-W25"}


def release(per_week: float = 320.0, curve: dict | None = None, **more):
    need = {"pool": "eng", "effort": 10.0, "custom_effort": 60.0, "curve": curve or {"shape": "flat", "weeks": 4}}
    said = {"work": {"core-release": RELEASE | more}}
    return plan({"eng": work_pool(per_week)}, {"basic": {"needs": [need]}}, **said)


def custom_deals(count: int, stage: str = "won", spread_days: int = 50) -> dict[str, bytes]:
    first = date(2026, 4, 1)
    return {
        f"crm/{n}": deal(
            n,
            Line("basic", quantity=1.0, custom=True),
            close=(first + timedelta(days=n * spread_days // count)).isoformat(),
            stage=stage,
        )
        for n in range(count)
    }


@pytest.mark.parametrize(
    ("deals", "finish", "slip"),
    [
        # 3,840 h at 320 h a week are twelve weeks; each 320 h of deals is a week more.
        (0, "2026-W25", 0.0),
        (5, "2026-W26", 1.0),
        (32, "2026-W31", 6.0),
    ],
)
def test_custom_deals_pull_the_release_from_week_12_to_13_or_18(deals, finish, slip):
    (item,) = projected(release(), custom_deals(deals)).work
    assert (item.finish, item.slip_weeks, item.without_deals) == (finish, slip, 0.0)
    assert len(item.top) == min(deals, 5)
    assert all(top.effort == pytest.approx(60.0) for top in item.top)


def test_effort_pulled_all_at_once_still_takes_all_its_weeks():
    curve = {"shape": "flat", "weeks": 1}
    (item,) = projected(release(curve=curve), custom_deals(32, spread_days=1)).work
    assert (item.finish, item.slip_weeks) == ("2026-W31", 6.0)


def test_open_deals_pull_by_their_probability_while_they_are_open():
    (item,) = projected(release(), custom_deals(32, stage="qualified")).work
    # 0.4 × 1,920 h = 768 h = 2.4 weeks.
    assert (item.finish, item.slip_weeks) == ("2026-W28", 3.0)


def test_not_done_within_the_horizon_is_at_least_so_late():
    (item,) = projected(release(per_week=50.0), {}).work
    # 39 weeks from W14 end with 2026-W52.
    assert (item.finish, item.slip_weeks) == (None, 28.0)


def test_what_begins_in_the_past_counts_what_was_left_then():
    (item,) = projected(release(start="2026-W08"), {}).work
    assert (item.finish, item.slip_weeks) == ("2026-W19", 0.0)


def test_items_share_a_pool_by_due_date():
    work = {"late": RELEASE | {"due": "2026-W40"}, "early": RELEASE | {"effort": 640.0, "due": "2026-W20"}}
    made = plan({"eng": work_pool(320.0)}, {}, work=work)
    found = {item.work: item.finish for item in projected(made, {}).work}
    assert found == {"early": "2026-W15", "late": "2026-W27"}


def test_work_before_deals_is_a_load_that_no_deal_explains():
    frame = projected(release(priority="before-deals"), custom_deals(32))
    (item,) = frame.work
    assert (item.finish, item.slip_weeks, item.without_deals, item.top) == ("2026-W25", 0.0, 0.0, [])
    rows = by_week(frame)
    assert (rows["2026-W14"].base, rows["2026-W26"].base) == (320.0, 0.0)
    assert rows["2026-W20"].overload == 1.0
