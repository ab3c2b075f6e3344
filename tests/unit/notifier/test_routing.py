"""Routing: every filter, alone and together, against an oracle that counts objections."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notifier.domain.routing import Filters, filters_from, route
from shared.schemas.episode import SEVERITIES
from shared.schemas.recalibration import Kind, Recalibration
from tests.unit.notifier.asked import MOMENT, recalibration

KINDS = get_args(Kind)
POOLS, TRIGGERS = ("implementation", "engineering", "support"), ("overcommitted", "slip")

recalibrations = st.builds(
    Recalibration,
    id=st.just("r1"),
    event_id=st.just("e1"),
    kind=st.sampled_from(KINDS),
    transition=st.integers(0, 9),
    trigger=st.sampled_from(TRIGGERS),
    scope=st.just("s"),
    watch=st.just("position"),
    severity=st.sampled_from(SEVERITIES),
    at=st.just(MOMENT),
    fired=st.just(MOMENT),
    plan=st.just("p@1"),
    summary=st.just(""),
    pool=st.sampled_from((*POOLS, None)),
)
filters = st.builds(
    Filters,
    pools=st.frozensets(st.sampled_from(POOLS)),
    triggers=st.frozensets(st.sampled_from(TRIGGERS)),
    kinds=st.frozensets(st.sampled_from(KINDS)),
    severity=st.sampled_from(SEVERITIES),
)


@given(filters, recalibrations)
def test_a_recalibration_goes_where_no_filter_objects(wanted: Filters, recalibration: Recalibration) -> None:
    order = {"info": 0, "warning": 1, "critical": 2}
    objections = 0
    for allowed, value in (
        (wanted.pools, recalibration.pool),
        (wanted.triggers, recalibration.trigger),
        (wanted.kinds, recalibration.kind),
    ):
        objections += bool(len(allowed)) and not any(value == one for one in allowed)
    objections += order[recalibration.severity] < order[wanted.severity]
    assert route(wanted, recalibration).goes == (objections == 0)


@given(filters)
def test_filters_are_stored_and_read_again(wanted: Filters) -> None:
    assert filters_from(wanted.stored()) == wanted


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [
        (Filters(), "no filter objects"),
        (Filters(pools=frozenset({"support"})), "pool engineering is not among support"),
        (Filters(severity="critical"), "severity warning is below critical"),
        (Filters(triggers=frozenset({"slip"})), "trigger overcommitted is not among slip"),
        (Filters(kinds=frozenset({"resolved"})), "firing is not among resolved"),
    ],
)
def test_the_reason_names_the_filter_that_objects(wanted: Filters, reason: str) -> None:
    assert route(wanted, recalibration(pool="engineering")).reason == reason
