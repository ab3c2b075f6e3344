"""Who may decide how much about which pool."""

from typing import Any

import pytest

from services.notifier.domain.answers import Words
from services.notifier.domain.authority import beyond, no_pool, unknown
from shared.schemas.decision import Effect
from shared.schemas.recalibration import AskedPerson
from tests.integration.notifier.made import recalibration
from tests.unit.triggers.scenes import plan

WEEKS = ["2026-W14", "2026-W15"]
HELD = Effect("engineering", deals=["crm/1"])


def pools(**engineering: Any) -> dict[str, Any]:
    work = {"kind": "work", "unit": "hours", "capacity": {"per_week": 100.0}}
    return {
        "engineering": work | {"owner": "ada", "escalation": ["grace"], "cost_per_unit": 50.0} | engineering,
        "support": work | {"owner": "alan"},
    }


def made(**engineering: Any) -> Any:
    people = {person: {"name": person.title()} for person in ("ada", "grace", "alan", "cfo")}
    return plan(people=people, pools=pools(**engineering), products={}, work={})


def more(amount: float, pool: str = "engineering", weeks: list[str] = WEEKS) -> Effect:
    return Effect(pool, weeks, amount)


@pytest.mark.parametrize(
    ("by", "limit", "effects", "may"),
    [
        # who, may_decide of engineering, what, who may instead (None: it is taken)
        pytest.param("ada", None, [more(9999)], None, id="without a limit the owner decides"),
        pytest.param("ada", {"hours": 100}, [more(50)], None, id="up to the limit"),
        pytest.param("ada", {"hours": 100}, [more(50.5)], ["grace", "cfo"], id="above it, in both weeks together"),
        pytest.param("ada", {"hours": 100}, [more(-60)], ["grace", "cfo"], id="taking away counts as much"),
        pytest.param("ada", {"hours": 100}, [more(40), more(20)], ["grace", "cfo"], id="all effects together"),
        pytest.param("ada", {"hours": 100}, [more(100, weeks=WEEKS[:1] * 2)], None, id="a week said twice is one"),
        pytest.param("ada", {"money": 5000}, [more(50)], None, id="money at the cost of a unit"),
        pytest.param("ada", {"money": 5000}, [more(51)], ["grace", "cfo"], id="more than the money"),
        pytest.param("ada", {"hours": 0}, [HELD], None, id="holding deals back costs no capacity"),
        pytest.param("ada", {"hours": 0}, [], None, id="a decision without effects"),
        pytest.param("grace", {"hours": 0}, [more(9999)], None, id="the escalation of the pool may"),
        pytest.param("cfo", {"hours": 0}, [more(9999)], None, id="and that of what is asked"),
        pytest.param("ada", None, [more(1, "support")], ["alan", "cfo"], id="not about another's pool"),
        pytest.param("ada", None, [more(1), more(1, "support")], ["alan", "cfo"], id="nor among others"),
        pytest.param("alan", None, [more(1)], ["ada", "grace", "cfo"], id="whoever else is asked"),
    ],
)
def test_who_may_decide_how_much(by: str, limit: Any, effects: list[Effect], may: list[str] | None) -> None:
    asked = recalibration(escalation=[AskedPerson("cfo")])
    found = beyond(Words("decided", by, "x", None, tuple(effects)), asked, made(may_decide=limit))
    if may is None:
        assert found is None
    else:
        assert found is not None
        assert found.cause == "not-allowed"
        assert list(found.may) == may


@pytest.mark.parametrize(
    ("effect", "unit", "said"),
    [
        (more(1), None, []),
        (more(1), "hours", []),
        (more(1), "tickets", ["effects[0]: engineering is counted in hours, not in 'tickets'"]),
        (more(1, "sales"), None, ["effects[0]: plan p has no pool 'sales'"]),
    ],
)
def test_pools_and_units_must_be_those_of_the_plan(effect: Effect, unit: str | None, said: list[str]) -> None:
    assert unknown([effect], [unit], made()) == said


def test_a_pool_that_the_plan_has_not_is_named_beside_those_it_has() -> None:
    the_plan = made()
    assert no_pool("support", the_plan) is None
    assert no_pool("suport", the_plan) == f"Plan {the_plan.plan} has no pool 'suport'; it has engineering, support."
