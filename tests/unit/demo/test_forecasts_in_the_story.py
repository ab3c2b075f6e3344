"""The pivot of the story in the forecasts: the new tier's discounts, the margin and the pools they move, in one."""

from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from headroom.replay import Replayer
from headroom.story import read_story
from services.capacity.domain.drift import ALARM
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.plan_file import parse_plan

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
QUARTER = "2026-Q2"


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """From the day before the launch on, for a week."""
    seen: list[Frame] = []
    first, last = STORY.launch - timedelta(days=1), STORY.launch + timedelta(days=7)
    replayer = Replayer(PLAN, first, last, also=seen.append)
    for moment in STORY.moments:
        if not replayer.take(msgspec.json.encode(moment.event)):
            break
    replayer.end()
    return seen


def of(frame: Frame, segment: str) -> Forecast | None:
    found = [each for each in frame.forecasts or [] if (each.period, each.segment) == (QUARTER, segment)]
    return found[0] if found else None


def test_the_pivot_is_caught_within_five_deals(frames: list[Frame]) -> None:
    quoted = [found for frame in frames if (found := of(frame, "enterprise")) is not None]
    alarmed = next(each for each in quoted if (each.discount_cusum or 0.0) > ALARM)
    assert alarmed.lines <= 5
    assert (alarmed.discount_before or 0.0) < 0.07 < 0.12 <= (alarmed.open_discount or 0.0)
    assert (f"{alarmed.open_discount:.0%}", f"{alarmed.discount_before:.0%}") == ("13%", "6%"), "as the README says"
    # What makes up for it is more volume, and that more work.
    assert (alarmed.break_even or 0.0) > 0
    assert {pool.pool for pool in alarmed.pools if pool.break_even > 0} == {"implementation", "engineering", "support"}


def test_it_moves_margin_and_pools_in_one_event(frames: list[Frame]) -> None:
    whole = [found for frame in frames if (found := of(frame, "*")) is not None]
    before, after = whole[0], whole[-1]
    assert after.bookings > 1.5 * before.bookings
    assert (after.margin_share or 0.0) < (before.margin_share or 0.0) - 0.04
    moved = whole[2:]
    assert all(each.bookings_change > 0 for each in moved[:3])
    assert all(each.bridge.mix < 0 for each in moved[:3]), "the new tier earns less of its list price"
    for earlier, each in zip(whole[1:], moved[:3], strict=False):
        assert (each.open_discount or 0.0) > (earlier.open_discount or 0.0)
        assert (each.margin_share or 1.0) < (earlier.margin_share or 0.0)
        pools = {pool.pool: pool for pool in each.pools}
        assert pools["engineering"].effort_change > 0
        assert pools["implementation"].utilisation_change > 0
    assert after.target is not None
    assert after.target.rate < 0


def test_the_customers_who_wait_for_the_release_are_shown_with_their_revenue() -> None:
    last = STORY.launch + timedelta(days=21)
    replayer = Replayer(PLAN, last, last)
    for moment in STORY.moments:
        if not replayer.take(msgspec.json.encode(moment.event)):
            break
    found = replayer.end()
    slip = next(item.slip_weeks for item in found.work if item.work == "core-release")
    (whole,) = [each for each in found.forecasts if (each.period, each.segment) == (QUARTER, "*")]
    assert slip > 2
    # By hand: everybody won by the end of June has a need on engineering, whose release is due before.
    assert whole.revenue_at_risk == pytest.approx(whole.revenue * 0.03 * (slip - 1), rel=0.01)
    assert (whole.kappa, whole.grace_weeks) == (0.03, 1.0)
