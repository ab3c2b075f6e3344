"""The guide to plans tells the truth: its examples are plans, and it says of a wrong one what the check says."""

import re
import textwrap
from pathlib import Path
from typing import get_args

import pytest

from shared.errors import PlanError
from shared.schemas.plan import Curve
from shared.schemas.plan_file import parse_plan
from shared.schemas.plan_pools import Pool
from shared.schemas.plan_yaml import read_yaml

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "plan.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARTS = ("pools", "products", "work", "milestones", "triggers")


def blocks(language: str, about: str = "") -> list[str]:
    """The code blocks in a language, those of YAML by the comment in their first line."""
    found = [text for kind, text in BLOCK.findall(GUIDE.read_text("utf-8")) if kind == language]
    return [text for text in found if text.startswith(f"# {about}\n")] if about else found


def whole() -> str:
    [text] = blocks("yaml", "whole plan")
    return text


def with_parts() -> str:
    """The whole plan and every part that the guide shows besides, put where it belongs."""
    text = whole()
    for part in PARTS:
        added = "".join(textwrap.indent(block, "  ") for block in blocks("yaml", part))
        assert added, f"the guide shows no {part}"
        assert text.count(f"\n{part}:\n") == 1
        text = text.replace(f"\n{part}:\n", f"\n{part}:\n{added}")
    return text


def test_every_block_of_yaml_says_what_it_is() -> None:
    known = tuple(f"# {about}\n" for about in ("whole plan", "wrong", *PARTS))
    assert [text for text in blocks("yaml") if not text.startswith(known)] == []


def test_the_whole_plan_is_sound() -> None:
    assert parse_plan(whole(), "plan.yaml").plan == "fy26"


def test_the_parts_fit_into_it() -> None:
    plan = parse_plan(with_parts(), "plan.yaml")
    assert "metering" in plan.products
    assert "gateway-slips" in {trigger.trigger for trigger in plan.triggers}


def test_it_shows_a_pool_of_every_kind_there_is() -> None:
    union, *_ = get_args(Pool)
    kinds = {kind for one in get_args(union) for kind in get_args(one.model_fields["kind"].annotation)}
    assert {pool.kind for pool in parse_plan(with_parts(), "plan.yaml").pools.values()} == kinds


def test_every_shape_of_a_curve_is_explained() -> None:
    rows = [line.split("|")[1] for line in GUIDE.read_text("utf-8").splitlines() if line.startswith("| `")]
    explained = set(re.findall(r"`(\w+)`", "".join(rows)))
    assert set(get_args(Curve.model_fields["shape"].annotation)) <= explained


def test_what_it_says_of_the_wrong_plan_is_what_the_check_says() -> None:
    [wrong] = blocks("yaml", "wrong")
    [said] = [text for text in blocks("") if text.startswith("plan.yaml:")]
    text = wrong.removeprefix("# wrong\n")
    assert read_yaml(text).problems == []
    with pytest.raises(PlanError) as caught:
        parse_plan(text, "plan.yaml")
    assert [f"{problem.place}: {problem.message}" for problem in caught.value.problems] == said.splitlines()
