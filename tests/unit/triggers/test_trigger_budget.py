"""The alert budget's memory: it answers as a look at all episodes would, and holds no more than took from a budget."""

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from services.triggers.domain.budget import Spenders, spend
from services.triggers.domain.episodes import beginning
from shared.schemas.episode import Episode

FIRINGS = st.lists(
    st.tuples(
        st.sampled_from(["s1", "s2", "s3", "s4", "s5"]),
        st.sampled_from(["info", "warning", "critical"]),
        st.lists(st.sampled_from(["ana", "ben", "cfo"]), min_size=1, max_size=2, unique=True),
        st.booleans(),  # whether a week has passed since
    ),
    max_size=20,
)


@given(firings=FIRINGS, limit=st.integers(1, 3))
def test_spending_against_what_is_kept_is_spending_against_all(firings, limit: int) -> None:
    every: dict[str, Episode] = {}
    spenders, number = Spenders(), 14
    for scope, severity, owners, later in firings:
        number += later
        week = f"2026-W{number}"
        fired = replace(every.get(scope) or beginning("t", scope), phase="firing", severity=severity)
        known = spenders.of(week)
        assert len(known) <= sum(any(asked.week == week for asked in one.singly) for one in every.values())
        spent = spend(fired, owners, known, week=week, limit=limit)
        assert spent == spend(fired, owners, every.values(), week=week, limit=limit)
        every[scope] = spent
        spenders.keep(spent)
