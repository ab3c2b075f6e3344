"""Decided effects as capacity: what they add up to, and that it is what is held against may_decide."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.effects import Decisions
from services.notifier.domain.answers import Words
from services.notifier.domain.authority import beyond
from shared.schemas.decision import Decision, Effect
from tests.unit.capacity.plans import plan, work_pool
from tests.unit.notifier.asked import recalibration

NOW = datetime(2026, 3, 30, 8, tzinfo=UTC)
WEEKS = st.lists(st.sampled_from(["2026-W14", "2026-W15", "2026-W16"]), min_size=1, max_size=6)
LIMIT = 100
PLAN = plan({"eng": work_pool(40.0, may_decide={"hours": LIMIT})}, {})


@given(effects=st.lists(st.builds(Effect, st.just("eng"), WEEKS, st.integers(1, 60).map(float)), max_size=3))
def test_what_an_owner_may_decide_is_all_that_capacity_gets(effects: list[Effect]) -> None:
    decisions = Decisions()
    decisions.put(Decision(id="d1", recalibration="r1", kind="decided", at=NOW, by="ana", effects=effects))
    added = sum(decisions.amounts(NOW, frozenset()).get("eng", {}).values())
    words = Words("decided", PLAN.pools["eng"].owner, "x", None, tuple(effects))
    assert (beyond(words, recalibration(), PLAN) is None) == (added <= LIMIT)


def test_the_answer_that_was_written_last_counts_whatever_the_clocks_said() -> None:
    decisions = Decisions()
    for number, (at, amount) in enumerate([(NOW, 8.0), (NOW - timedelta(seconds=3), 5.0)]):
        effect = Effect("eng", ["2026-W15"], amount)
        decisions.put(Decision(id=f"d{number}", recalibration="r", kind="decided", at=at, by="ana", effects=[effect]))
    assert decisions.amounts(NOW, frozenset()) == {"eng": {"2026-W15": 5.0}}
