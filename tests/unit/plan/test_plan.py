"""What a plan means, and that its hash speaks of its content only."""
# ruff: noqa: E501, PT017 — the alphabet of damage is one list; a plan may be whole, so nothing need be raised.

import json
import random
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import PlanError
from shared.schemas.plan import Plan
from shared.schemas.plan_file import canonical_json, parse_plan, plan_json_schema, plan_sha256
from shared.schemas.plan_values import format_duration, parse_duration
from tests.unit.plan.plans import SMALL

PLAN = parse_plan(SMALL, "small.yaml")


def test_values_become_what_they_mean() -> None:
    assert PLAN.stages["commit"].stale_after == timedelta(days=120)
    assert PLAN.milestones["q2"].from_ == date(2026, 4, 1)
    assert PLAN.triggers[0].ask.decide_within == timedelta(days=2)
    assert PLAN.triggers[0].for_ == timedelta(days=1)
    assert PLAN.work["core-release"].due == "2026-W25"


def test_a_published_plan_is_read_back_from_its_json_whole() -> None:
    assert Plan.model_validate_json(PLAN.model_dump_json()) == PLAN


@pytest.mark.parametrize(
    ("stage", "pushes", "won"),
    [("commit", [0.5, 0.3, 0.2], 0.5), ("won", [1.0], 1.0)],
)
def test_a_stage_knows_its_pushes_and_its_chance(stage: str, pushes: list[float], won: float) -> None:
    assert PLAN.stages[stage].pushes == pushes
    assert PLAN.stages[stage].win_probability == won


def test_what_push_weeks_lack_to_a_whole_closes_a_week_later() -> None:
    stage = parse_plan(SMALL.replace("[0.5, 0.3, 0.2]", "[0.5, 0.25]"), "small.yaml").stages["commit"]
    assert stage.pushes == [0.5, 0.25, 0.25]


def test_effort_of_a_custom_deal_replaces_or_multiplies() -> None:
    assert [PLAN.products["enterprise"].needs[0].effort_of(custom) for custom in (False, True)] == [10, 60]
    factor = parse_plan(SMALL.replace("custom_effort: 60", "custom_factor: 2.5"), "small.yaml")
    assert factor.products["enterprise"].needs[0].effort_of(True) == 25


def test_roles_are_resolved_through_the_pool() -> None:
    asked = PLAN.people_for(["pool.owner", "pool.escalation", "ana"], "engineering")
    assert asked == ["ana", "ben"]
    assert PLAN.people_for(["pool.owner", "ben"], None) == ["ben"]
    assert PLAN.people_for(["deals.pools.owners"], "engineering") == []


def test_needs_are_found_by_pool() -> None:
    assert [(product, need.effort) for product, need in PLAN.needs_on("support")] == [("enterprise", 6)]


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=4000)))
def test_a_duration_is_written_as_it_is_read(duration: timedelta) -> None:
    whole = timedelta(seconds=int(duration.total_seconds()))
    assert parse_duration(format_duration(whole)) == whole


def shuffled(data: object, chance: random.Random) -> object:
    if isinstance(data, dict):
        keys = list(data)
        chance.shuffle(keys)
        return {key: shuffled(data[key], chance) for key in keys}
    return [shuffled(item, chance) for item in data] if isinstance(data, list) else data


@given(st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_the_hash_does_not_depend_on_the_order_of_keys_nor_on_the_layout(chance: random.Random) -> None:
    data = shuffled(json.loads(PLAN.model_dump_json(exclude_unset=True)), chance)
    again = parse_plan(json.dumps(data, indent=chance.randrange(0, 6)), "small.yaml")
    assert plan_sha256(again) == plan_sha256(PLAN)


def test_the_hash_depends_on_content_but_not_on_the_version() -> None:
    assert plan_sha256(parse_plan("version: 7\n" + SMALL, "x")) == plan_sha256(PLAN)
    assert plan_sha256(parse_plan("start: 2026-W14\n" + SMALL, "x")) != plan_sha256(PLAN)
    assert plan_sha256(parse_plan(SMALL.replace("320,", "320.0,"), "x")) == plan_sha256(PLAN)
    assert b'"version"' not in canonical_json(PLAN)


def test_the_json_schema_speaks_the_words_of_the_file_and_allows_no_others() -> None:
    schema = plan_json_schema()
    assert set(schema["required"]) == {"plan", "currency", "people", "stages", "pools"}
    assert {"class", "push_weeks"} < set(schema["$defs"]["Stage"]["properties"])
    assert {"for", "ask"} < set(schema["$defs"]["Trigger"]["properties"])
    assert all(part["additionalProperties"] is False for part in [schema, *schema["$defs"].values()])


TOKENS = ["plan", ": ", "\n", "  ", "- ", "[", "]", "{", "}", ",", "&a ", "*a", "!!x ", "'", '"', "|", ">", "%YAML 1.1\n", "---\n",
          "pools", "kind", "work", "\t", "\\u", "\ud800", "\x00", "?", "#", "0.5", ".nan", "1e999", "<<", "\x85", "\u2028", "\ufeff", "..."]  # fmt: skip


@given(st.one_of(st.text(), st.lists(st.sampled_from(TOKENS), max_size=40).map("".join)))
@settings(max_examples=600)
def test_any_text_is_a_plan_or_a_plan_error(text: str) -> None:
    try:
        parse_plan(text, "any.yaml")
    except PlanError as error:
        assert error.problems
        assert str(error)


@given(st.data())
@settings(max_examples=300)
def test_any_damage_to_a_plan_gives_a_plan_or_a_plan_error_with_a_place_in_the_file(data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(SMALL)))
    end = data.draw(st.integers(start, min(len(SMALL), start + 60)))
    text = SMALL[:start] + data.draw(st.one_of(st.text(max_size=10), st.sampled_from(TOKENS))) + SMALL[end:]
    try:
        parse_plan(text, "any.yaml")
    except PlanError as error:
        for problem in error.problems:
            assert 1 <= problem.place.line <= text.count("\n") + text.count("\r") + text.count("\x85") + 3
            assert problem.place.column >= 1
