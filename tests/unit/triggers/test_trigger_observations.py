"""What a rule sees in the table."""

import json
from typing import Any

import pytest

from services.triggers.domain.burn import Slacks
from services.triggers.domain.episodes import beginning, step
from services.triggers.domain.observation import Scene
from services.triggers.domain.observation import observe as observe_scene
from services.triggers.domain.rules import compile_rules
from services.triggers.domain.table import Table
from shared.schemas.episode import Episode
from shared.schemas.plan import Plan
from shared.schemas.position import Position
from tests.unit.triggers.scenes import MONDAY, at, plan, plan_json, position, slipping, trigger


def observe(rule: Any, scope: str, at_: Table, episode: Episode | None) -> Any:
    return observe_scene(rule, scope, Scene(at_, Slacks()), episode)


def table(*positions: Position, **changes: Any) -> Table:
    made = Table()
    made.apply(at(0, *positions, complete=True, **changes))
    return made


def firing(*weeks: str) -> Episode:
    fired = step(
        beginning("overcommitted", "implementation"), seen(table(position(0, 0.9)), None), MONDAY, RULE.trigger
    )
    fired.episode.weeks = list(weeks)
    return fired.episode


RULE = compile_rules("p@1", plan(trigger())).rules["overcommitted"]


def seen(at_: Table, episode: Episode | None, **changes: Any) -> Any:
    rule = compile_rules("p@1", plan(trigger(**changes))).rules["overcommitted"] if changes else RULE
    return observe(rule, "implementation", at_, episode)


def test_one_breached_week_breaches_the_pool() -> None:
    found = seen(table(position(0, 0.1), position(1, 0.4), position(2, 0.2), position(3, 0.5)), None)
    assert (found.breach, found.weeks) == (True, ("2026-W15", "2026-W17"))
    assert found.size == pytest.approx(40.0 + 50.0)


@pytest.mark.parametrize(("ahead", "breach"), [(7, True), (8, False), (-1, False)])
def test_only_the_first_so_many_weeks_from_now_count(ahead: int, breach: bool) -> None:
    weeks = [position(i, 0.9 if i == ahead else 0.1) for i in range(-2, 12)]
    assert seen(table(*weeks), None).breach is breach


@pytest.mark.parametrize(
    ("positions", "breach"),
    [
        pytest.param([], None, id="no position at all"),
        pytest.param([position(-3, 0.9)], None, id="only past ones"),
        pytest.param([position(0, 0.1), position(2, 0.1)], None, id="a week missing"),
        pytest.param([position(0, 0.1), position(2, 0.9)], True, id="a week missing beside a breach"),
        pytest.param([position(0, 0.1), position(1, 0.1)], False, id="all there"),
    ],
)
def test_what_is_missing_is_unknown(positions: list[Position], breach: bool | None) -> None:
    assert seen(table(*positions), None).breach is breach


def test_a_value_nobody_knows_is_unknown() -> None:
    dark = [position(0, 0.0, utilisation=None), position(1, 0.0)]
    found = seen(table(*dark), firing("2026-W14"), when="utilisation > 1", clear=None)
    assert (found.breach, found.clear) == (None, None)


@pytest.mark.parametrize(
    ("overloads", "weeks", "clear"),
    [
        pytest.param([0.1, 0.1], ["2026-W14"], True, id="all low"),
        pytest.param([0.2, 0.1], ["2026-W14"], False, id="the breached week is not low enough"),
        pytest.param([0.1, 0.2], ["2026-W14"], True, id="a week that was never breached need not be that low"),
        pytest.param([0.1, 0.4], ["2026-W14"], False, id="another is breached"),
        pytest.param([0.2, 0.2], ["2026-W12"], True, id="the breached weeks have passed"),
    ],
)
def test_clear_is_asked_of_the_weeks_that_were_breached(overloads: list[float], weeks: list[str], clear: bool) -> None:
    positions = [position(i, overload) for i, overload in enumerate(overloads)]
    assert seen(table(*positions), firing(*weeks)).clear is clear


def test_clear_is_unknown_while_a_week_is_missing() -> None:
    assert seen(table(position(0, 0.1), position(2, 0.1)), firing("2026-W14")).clear is None


def test_without_a_clear_condition_no_week_may_be_breached() -> None:
    assert seen(table(position(0, 0.29)), firing("2026-W14"), clear=None).clear is True


@pytest.mark.parametrize(
    ("changes", "breach"),
    [({"min_weeks": 2}, True), ({"min_weeks": 3}, False), ({"min_excess": 90.0}, True), ({"min_excess": 91.0}, False)],
)
def test_little_is_not_enough(changes: dict[str, Any], breach: bool) -> None:
    two = table(position(0, 0.4), position(1, 0.5), position(2, 0.1))
    assert seen(two, None, **changes).breach is breach


def test_decided_effects_count_where_it_was_breached() -> None:
    positions = [position(0, 0.1, decided=40.0), position(1, 0.1)]
    assert seen(table(*positions), firing("2026-W14")).decided is True
    assert seen(table(*positions), firing("2026-W15")).decided is False


@pytest.mark.parametrize(("slip", "breach", "clear"), [(3.0, True, False), (2.0, False, False), (1.0, False, True)])
def test_work_items(slip: float, breach: bool, clear: bool) -> None:
    late = trigger(trigger="late", watch="work", where={}, when="slip_weeks > 2", clear="slip_weeks <= 1")
    rule = compile_rules("p@1", plan(late)).rules["late"]
    found = observe(rule, "release", table(work=[slipping(slip)]), None)
    assert (found.breach, found.clear, found.size) == (breach, clear, slip)
    assert observe(rule, "release", table(), None).breach is None


def test_what_cannot_be_evaluated_is_put_aside_with_the_reason() -> None:
    book = compile_rules(
        "p@1",
        plan(
            trigger(trigger="bad", when="overlaod > 1"),
            trigger(trigger="early", watch="forecast"),
            trigger(),
        ),
    )
    assert list(book.rules) == ["overcommitted"]
    assert [rejected.trigger for rejected in book.rejected] == ["bad", "early"]
    assert "column 1" in book.rejected[0].reason
    assert all(rejected.reason for rejected in book.rejected)


@pytest.mark.parametrize(
    ("where", "scopes"),
    [
        ({}, ("release",)),
        ({"pool": "engineering"}, ("release",)),
        ({"pool": "implementation"}, ()),
        ({"work": "release"}, ("release",)),
    ],
)
def test_scopes_of_work(where: dict[str, str], scopes: tuple[str, ...]) -> None:
    late = trigger(trigger="late", watch="work", where=where, when="slip_weeks > 2", clear=None)
    assert compile_rules("p@1", plan(late)).rules["late"].scopes == scopes


def test_without_a_pool_every_pool_is_watched() -> None:
    assert compile_rules("p@1", plan(trigger(where={}))).rules["overcommitted"].scopes == (
        "implementation",
        "engineering",
    )


def test_what_is_missing_adds_up_over_weeks_of_work_but_not_over_weeks_of_stock() -> None:
    shelf = {"function": "supply", "kind": "stock", "unit": "boxes", "owner": "ana", "stock": {"level": 10.0}}
    content = plan_json(trigger(where={}))
    content["pools"]["shelf"] = shelf
    rule = compile_rules("p@1", Plan.model_validate_json(json.dumps(content))).rules["overcommitted"]
    weeks = [
        position(i, overload, pool=pool) for pool in ("shelf", "implementation") for i, overload in ((0, 0.4), (1, 0.5))
    ]
    at_ = table(*weeks)
    assert observe(rule, "implementation", at_, None).size == pytest.approx(90.0)
    assert observe(rule, "shelf", at_, None).size == pytest.approx(50.0)
