"""The story on the full model: what is above its trigger when, how long before it happens, and that the README says so.

A work item is late when its due week has gone by without it, and a pool when a week has gone by with work left over.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from services.triggers.domain.gap import missing
from services.triggers.domain.responsible import end_of, last_hire_week, people_needed
from shared.schemas.forecast import Forecast
from shared.schemas.frame import Frame
from shared.schemas.plan_file import parse_plan
from shared.schemas.plan_pools import WorkPool
from shared.schemas.position import Position, WorkState
from shared.schemas.week import add_weeks
from tests.unit.headroom.story_told import Told

EXAMPLE = Path(__file__).parents[3] / "examples" / "margin-volume-trap"
PLAN = parse_plan((EXAMPLE / "plan.yaml").read_text(), "plan.yaml")
README = (EXAMPLE / "README.md").read_text()
ZONE = ZoneInfo(PLAN.timezone)
IMPLEMENTATION = PLAN.pools["implementation"]
assert isinstance(IMPLEMENTATION, WorkPool)
assert IMPLEMENTATION.hire is not None
HIRE = IMPLEMENTATION.hire
BAR = timedelta(weeks=4)
LIKELY = 0.50
"""Of the trigger ``implementation-late``; that it is, is tested too."""


@dataclass
class Standing:
    """How things stand in one frame: what it says, and what stays from those before."""

    now: datetime
    week: str
    implementation: dict[str, Position] = field(default_factory=dict)
    release: WorkState | None = None
    quarter: Forecast | None = None

    @property
    def likely_late(self) -> list[str]:
        """The weeks ahead at whose end work is left over, more likely than not."""
        ahead = sorted(week for week in self.implementation if self.week <= week < add_weeks(self.week, 13))
        return [week for week in ahead if self.implementation[week].late > LIKELY]

    @property
    def slip(self) -> float:
        assert self.release is not None
        return self.release.slip_weeks


@pytest.fixture(scope="module")
def days(told: Told) -> list[Standing]:
    return list(standings(told.frames))


def standings(frames: list[Frame]) -> Iterator[Standing]:
    known: dict[str, Position] = {}
    release, quarter = None, None
    for frame in frames:
        known |= {row.week: row for row in frame.positions if row.pool == "implementation"}
        release = next((item for item in frame.work if item.work == "core-release"), release)
        told = {(each.period, each.segment): each for each in frame.forecasts or []}
        quarter = told.get(("2026-Q2", "*"), quarter)
        yield Standing(frame.now, frame.week, dict(known), release, quarter)


def first_above(days: list[Standing], *, release: bool) -> Standing:
    return next(day for day in days if (day.slip > 2 if release else len(day.likely_late) >= 2))


def first_late_week(days: list[Standing]) -> str:
    """The first week that went by with work left over, as it was known when the week was nearly over."""
    ends = {day.week: day for day in days}
    return next(week for week, day in ends.items() if day.implementation[week].backlog > 0)


def gap_of(day: Standing, weeks: list[str]) -> dict[str, float]:
    return {week: missing(day.implementation[week]) for week in weeks}


def people(day: Standing, weeks: list[str]) -> int:
    return people_needed(gap_of(day, weeks), HIRE)


def hire_by(day: Standing, weeks: list[str]) -> datetime:
    """The end of the last week in which hiring for these weeks helps, as they stand on that day."""
    week = last_hire_week(gap_of(day, weeks), HIRE, people(day, weeks))
    assert week is not None
    return end_of(week, PLAN.timezone)


def local(moment: datetime) -> str:
    return f"{moment.astimezone(ZONE):%-d %B}"


def weeks(length: timedelta) -> str:
    return f"{length / timedelta(weeks=1):.1f} weeks"


def fired(told: Told, trigger: str) -> datetime:
    (episode,) = [one for one in told.replay.hindsight.episodes if one.trigger == trigger]
    assert isinstance(episode.fired, datetime)
    return episode.fired


def test_nothing_is_above_its_trigger_on_the_day_of_the_launch(days: list[Standing]) -> None:
    assert (days[0].slip, days[0].likely_late) == (0.0, [])
    assert max(row.late for row in days[0].implementation.values()) < 0.05


def test_the_release_is_announced_weeks_before_its_due_week_has_gone_by(told: Told, days: list[Standing]) -> None:
    happens = end_of("2026-W25", PLAN.timezone)
    (then,) = [day for day in days if day.now == happens]
    assert then.slip == 6.0
    above, asked = first_above(days, release=True).now, fired(told, "release-slipping")
    assert above < asked
    assert asked <= happens - BAR
    said = f"{local(above)} | {local(asked)} | {local(happens)}, 2026-W25 gone by | {weeks(happens - asked)}"
    assert said in README, said


def test_implementation_is_announced_weeks_before_work_is_late_and_before_hiring_is_too_late(
    told: Told, days: list[Standing]
) -> None:
    rule = next(one for one in PLAN.triggers if one.trigger == "implementation-late")
    assert (rule.when, rule.min_weeks, rule.where.within_weeks) == (f"late > {LIKELY:.2f}", 2, 13)
    late = first_late_week(days)
    happens = end_of(late, PLAN.timezone)
    above, asked = first_above(days, release=False), fired(told, "implementation-late")
    assert above.now < asked
    assert asked <= happens - BAR

    # As it is told with the alarm, and as the weeks turned out to be.
    at_alarm = next(day for day in days if day.now == asked)
    foreseen = hire_by(at_alarm, at_alarm.likely_late)
    so_far = [week for week in days[-1].implementation if late <= week <= days[-1].week]
    in_the_end = hire_by(days[-1], so_far)
    assert asked < min(foreseen, in_the_end)
    last_day = local(min(foreseen, in_the_end) - timedelta(days=1))
    said = f"{local(above.now)} | {local(asked)} | {local(happens)}, {late} gone by | {weeks(happens - asked)}"
    assert said in README, said
    assert f"hiring helps until {last_day}" in README, last_day
    assert (people(at_alarm, at_alarm.likely_late), people(days[-1], so_far)) == (4, 18)
    assert "names four people" in README
    assert "18 would have been needed" in README
    # And to the week's beginning, when the pool is asked for more than it can do.
    begins = end_of(add_weeks(late, -1), PLAN.timezone)
    assert f"{weeks(begins - asked)} before that week begins" in README, weeks(begins - asked)


def row(day: Standing) -> str:
    """The README's line of a day."""
    assert day.quarter is not None
    ahead = [each for week, each in sorted(day.implementation.items()) if week >= day.week]
    worst = max(ahead, key=lambda each: each.late)
    late = f"{worst.late:.0%} ({worst.week})" if worst.late >= 0.005 else "0%"
    return (
        f"| {local(day.now)} | {day.slip:g} | {late} | {day.quarter.bookings / 1e6:.2f} M€ | "
        f"{day.quarter.margin_share:.0%} |"
    )


def test_the_table_of_the_readme_is_what_the_model_says(days: list[Standing]) -> None:
    by_day = {local(day.now): day for day in days}
    _, _, table = README.partition("| day begins |")
    named = re.findall(r"^\| (\d+ \w+) \|.*\|$", table.partition("\n\n")[0], re.MULTILINE)
    assert len(named) >= 5
    shown = [row(by_day[day]) for day in named]
    assert [one for one in shown if one not in README] == []


def test_the_bridge_of_the_readme_sums_up(days: list[Standing]) -> None:
    (day,) = [day for day in days if local(day.now) == "18 May"]
    assert day.quarter is not None
    target = day.quarter.target
    assert target is not None
    planned = target.bookings * target.margin
    assert planned + target.volume + target.rate + target.overload == pytest.approx(day.quarter.margin, abs=1)
    parts = (planned, target.volume, target.rate, target.overload, day.quarter.margin)
    said = "{:,.0f} k {:+,.0f} k (volume) {:+,.0f} k (rate) {:+,.0f} k (overload) = {:,.0f} k€".format(
        *(part / 1000 for part in parts)
    ).replace("-", "−")
    assert said in README, said


def test_the_crowded_weeks_are_asked_about_before_hiring_is_too_late(told: Told, days: list[Standing]) -> None:
    asked = fired(told, "implementation-overcommitted")
    then = next(day for day in days if day.now == asked)
    assert asked < hire_by(then, [week for week, row in then.implementation.items() if (row.utilisation or 0) > 1.2])
    assert f"asks on {local(asked)}" in README
