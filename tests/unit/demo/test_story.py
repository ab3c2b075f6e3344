"""The margin–volume trap's story against the example's own arithmetic, worked out here on its own."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from headroom.demo.facts import bookings
from headroom.story import Moment, read_story
from services.ingest.domain.change import DealChange
from services.ingest.normalise import cloudevents
from shared.errors import BadInput
from shared.schemas.deal import Deal
from shared.schemas.plan_file import parse_plan
from shared.schemas.week import week_of, weeks_between

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
STORY = read_story(EXAMPLE / "story.yaml")
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
ENTERPRISE = next(group for group in STORY.deals if group.group == "enterprise")


def known_at(moment: datetime) -> dict[str, dict[str, object]]:
    """Every deal's fields as said until ``moment``."""
    deals: dict[str, dict[str, object]] = defaultdict(dict)
    for told in STORY.moments:
        if told.deal and told.at <= moment:
            deals[told.deal] |= told.event["data"]
    return deals


def as_deal(id: str, fields: dict[str, object]) -> Deal:
    """A deal as the system has it after these fields were said."""
    return msgspec.convert({"id": id, "source": "crm", "object": id, "version": 1, **fields}, Deal)


def finish(effort: float, capacity: float, taken: dict[int, float]) -> int:
    """The first week (from 1) in which the work is done when ``taken`` hours go to deals in each."""
    left, week = effort, 0
    while left > 1e-9:
        week += 1
        left -= max(0.0, capacity - taken.get(week, 0.0))
    return week


def custom_hours(deals: Iterable[dict[str, object]], *, since: str) -> dict[int, float]:
    """Hours that custom deals take from engineering if all close, by week from ``since`` (week 1)."""
    taken: dict[int, float] = defaultdict(float)
    for deal in deals:
        first = weeks_between(since, week_of(date.fromisoformat(str(deal["close"])))) + 1
        for week in range(first, first + 6):
            taken[week] += 10.0 if deal["custom"] else 0.0
    return taken


def test_every_event_is_one_that_the_door_takes() -> None:
    for moment in STORY.moments:
        envelope = cloudevents.structured(msgspec.json.encode(moment.event))
        said = cloudevents.read(envelope, datetime.now(UTC))
        assert moment.deal is None or (isinstance(said, DealChange) and said.deal_id == moment.deal)


def test_the_story_is_told_in_order_with_ids_that_differ() -> None:
    assert [m.at for m in STORY.moments] == sorted(m.at for m in STORY.moments)
    assert set(Counter(m.event["id"] for m in STORY.moments).values()) == {1}
    assert read_story(EXAMPLE / "story.yaml").moments == STORY.moments


def test_thirty_two_custom_deals_pull_the_release_from_week_12_to_18_and_five_to_13() -> None:
    work = PLAN.work["core-release"]
    assert weeks_between(work.start, work.due) + 1 == 12
    deals = [d for name, d in known_at(STORY.moments[-1].at).items() if name.startswith("crm/E-")]
    assert len(deals) == 32
    assert sum(custom_hours(deals, since=work.start).values()) == 32 * 60
    assert finish(work.effort, 320, {}) == 12
    assert finish(work.effort, 320, custom_hours(deals, since=work.start)) == 18
    assert finish(work.effort, 320, custom_hours(deals[:5], since=work.start)) == 13


def test_the_eight_custom_deals_of_the_control_quarter_fit() -> None:
    work = PLAN.work["winter-release"]
    deals = [d for name, d in known_at(STORY.moments[-1].at).items() if name.startswith("crm/B-") and d["custom"]]
    taken = custom_hours(deals, since=work.start)
    assert len(deals) == 8
    assert {d["stage"] for d in deals} == {"won"}
    assert finish(work.effort, 320, taken) <= weeks_between(work.start, work.due) + 1
    assert max(taken) < weeks_between(work.start, PLAN.work["core-release"].start) + 1


def test_when_the_slip_reaches_six_weeks_all_of_the_new_deals_are_still_open() -> None:
    committed = ENTERPRISE.path[2].at(ENTERPRISE.count - 1)
    first_won = ENTERPRISE.path[3].at(0)
    assert committed + timedelta(days=7) < first_won
    expected = 32 * 60 * PLAN.stages["commit"].win_probability
    assert expected > (18 - 13) * 320  # more than five whole weeks of engineering are expected to go


@pytest.mark.parametrize(("first", "last"), [("2026-01-01", "2026-03-31"), ("2026-04-01", "2026-06-30")])
def test_bookings_look_green_all_the_while(first: str, last: str) -> None:
    day = date.fromisoformat(first)
    while day <= date.fromisoformat(last):
        deals = {id: as_deal(id, fields) for id, fields in known_at(STORY.start_of(day)).items()}
        seen = bookings(PLAN, deals, day)
        assert seen is not None
        assert seen.green, seen
        day += timedelta(days=1)
    assert seen.won > seen.target


def test_discounts_grow_in_the_second_quarter() -> None:
    discounts = [1 - ENTERPRISE.price(n) / ENTERPRISE.list for n in range(ENTERPRISE.count)]
    assert discounts == sorted(discounts)
    assert (round(discounts[0], 2), round(discounts[-1], 2)) == (0.12, 0.26)


def test_assumed_churn_is_fifteen_percent_at_six_weeks_and_none_at_one() -> None:
    risk = PLAN.revenue_at_risk
    assert risk is not None
    lost = [risk.kappa * max(0.0, slip - risk.grace_weeks) for slip in (6, 1)]
    assert lost == pytest.approx([0.15, 0.0])


def test_a_requote_says_only_that_the_deal_is_standard() -> None:
    at = datetime(2026, 5, 24, tzinfo=UTC)
    requoted = STORY.requote("crm/E-07", at)
    assert requoted == Moment(at, requoted.event, "crm/E-07")
    assert (requoted.event["subject"], requoted.event["data"]) == ("E-07", {"custom": False})


def test_a_slip_in_the_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "story.yaml"
    file.write_text((EXAMPLE / "story.yaml").read_text().replace("every: 52h", "every: fortnight", 1))
    with pytest.raises(BadInput, match=r"deals\.1\.path\.0\.every: .*duration"):
        read_story(file)
