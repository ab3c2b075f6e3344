"""The plan that an overlay makes of the one in force: parts of it changed, or another, and none that is too large."""

from pathlib import Path

import pytest

from services.capacity.domain.overlay_plan import LARGEST_TEXT, UnfitOverlay, merge, plan_of
from services.capacity.domain.projector import PlanInForce
from shared.schemas.plan import Plan
from shared.schemas.plan_file import canonical_json, parse_plan
from shared.schemas.what_if import WhatIf
from tests.unit.capacity.plans import plan, work_pool

EXAMPLES = Path(__file__).parents[3] / "examples"
IN_FORCE = PlanInForce("small@1", plan({name: work_pool(60.0) for name in ("eng", "ops")}, {}))
MANY = {f"p{number}": work_pool(60.0) for number in range(400)}
WIDE = canonical_json(plan(MANY, {}, horizon_weeks=260)).decode()
"""The text of a plan with more positions than may be asked about."""


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        ({"plan_text": "x" * (LARGEST_TEXT + 1)}, "the plan has 400,001 characters and would hold up other questions"),
        ({"plan_text": WIDE}, "400 pools over 260 weeks are 104,000 positions"),
        (
            {"plan_changes": {"horizon_weeks": 260, "pools": MANY}},
            "402 pools over 260 weeks are 104,520 positions, 60,000 are possible",
        ),
    ],
    ids=["text", "plan", "changes"],
)
def test_a_plan_too_large_to_ask_about_is_refused_with_its_place_and_what_to_do(overlay, said):
    with pytest.raises(UnfitOverlay) as wrong:
        plan_of(IN_FORCE, WhatIf.model_validate(overlay))
    ((path, reason),) = wrong.value.findings
    assert path == tuple(overlay)
    assert reason.startswith(said)
    assert "plan_changes" in reason or "horizon_weeks" in reason, "it says what to do instead"


def test_a_plan_as_large_as_the_one_in_force_may_be_asked_about():
    in_force = PlanInForce("wide@1", parse_plan(WIDE, "plan.yaml"))
    assert len(plan_of(in_force, WhatIf.model_validate({"plan_text": WIDE})).plan.pools) == 400


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*/plan.yaml")), ids=lambda file: file.parent.name)
def test_a_published_plan_can_be_changed_in_part(file):
    """Published, a plan says all its defaults, and is still the plan that it was."""
    published = Plan.model_validate_json(canonical_json(parse_plan(file.read_text(), str(file))))
    overlay = WhatIf.model_validate({"plan_changes": {"horizon_weeks": 20}})
    changed = plan_of(PlanInForce("small@1", published), overlay).plan
    assert changed.horizon_weeks == 20
    assert changed.model_copy(update={"horizon_weeks": published.horizon_weeks}) == published


def test_merging_is_that_of_rfc_7396():
    table = [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": "foo"}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ]
    for target, changes, wanted in table:
        assert merge(target, changes) == wanted
