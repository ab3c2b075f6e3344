"""Curves conserve effort, and have the shapes the plan names."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.curves import effort_by_week, shares
from shared.schemas.plan import Curve, Need

SHAPES = st.sampled_from(["flat", "front", "back", "triangle", "rayleigh"])
CURVES = st.one_of(
    st.builds(Curve, shape=SHAPES, weeks=st.integers(1, 60)),
    st.builds(
        Curve,
        shape=st.just("list"),
        amounts=st.lists(st.floats(0, 10), min_size=1, max_size=20).filter(lambda a: sum(a) > 0.1),
    ),
)


@given(curve=CURVES, effort=st.floats(0.1, 1e6), after=st.integers(0, 30), custom=st.booleans())
def test_every_curve_conserves_effort(curve, effort, after, custom):
    need = Need(pool="p", effort=effort, custom_factor=2.5, curve=curve, after_weeks=after)
    amounts = effort_by_week(need, custom)
    assert amounts.sum() == pytest.approx(effort * (2.5 if custom else 1.0))
    assert len(amounts) == after + curve.length
    assert not amounts[:after].any()
    assert (amounts >= 0).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("flat", [1, 1, 1, 1]),
        ("front", [4, 3, 2, 1]),
        ("back", [1, 2, 3, 4]),
        ("triangle", [1, 2, 2, 1]),
    ],
)
def test_shapes(shape, expected):
    assert shares(Curve(shape=shape, weeks=4)) == pytest.approx(np.array(expected) / sum(expected))


def test_rayleigh_peaks_at_a_third_of_its_weeks_where_the_continuous_curve_does():
    # m(t) = 2 K a t exp(-a t²) with a = 1 / (2 t_d²) peaks at t_d with K / (t_d √e).
    weeks = 300
    amounts = shares(Curve(shape="rayleigh", weeks=weeks))
    # Over three times its peak the curve holds all but exp(-4.5) of its effort.
    assert amounts.max() * (1 - math.exp(-4.5)) == pytest.approx(1 / (weeks / 3 * math.sqrt(math.e)), rel=1e-3)
    assert abs(int(amounts.argmax()) - weeks / 3) <= 1


def test_per_week_gives_the_effort_each_week():
    need = Need(pool="p", effort=6.0, per="week", after_weeks=4, weeks=26)
    assert effort_by_week(need, custom=False).tolist() == [0.0] * 4 + [6.0] * 26


def test_custom_effort_stands_instead():
    need = Need(pool="p", effort=10.0, custom_effort=60.0, curve=Curve(weeks=4))
    assert effort_by_week(need, custom=True).tolist() == [15.0] * 4
    assert effort_by_week(need, custom=False).tolist() == [2.5] * 4
