"""Spreading sums of lines by kernels against enumerating every outcome of every line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.kernels import Kernel
from services.capacity.domain.moments import EXPOSURE, MEAN, THIRD, VARIANCE, weights_of_line
from tests.unit.capacity import oracle

COUNT, LEAD = 8, 6
EFFORTS = st.lists(st.sampled_from([0.0, 1.0, 2.5, 4.0]), min_size=1, max_size=4)
PUSHES = st.sampled_from([(1.0,), (0.5, 0.5), (0.5, 0.3, 0.2)])
LINES = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 7.0]), st.sampled_from([0.1, 0.5, 1.0]), st.integers(-6, 7)), max_size=4
)


def weights_by_week(lines) -> np.ndarray:
    weights = np.zeros((7, LEAD + COUNT))
    for quantity, p, close in lines:
        weights[:, close + LEAD] += weights_of_line(quantity, p)
    return weights


@settings(deadline=None)
@given(effort=EFFORTS, pushes=PUSHES, lines=LINES)
def test_moments_of_each_week_are_those_of_the_enumerated_outcomes(effort, pushes, lines):
    spread = Kernel(np.array(effort), pushes, 0.0).spread(weights_by_week(lines), LEAD, COUNT)
    for week in range(COUNT):
        deals = [(quantity, p, close, effort, list(pushes)) for quantity, p, close in lines]
        mean, variance, third = oracle.moments(oracle.distribution(deals, week))
        assert spread[MEAN, week] == pytest.approx(mean, abs=1e-9)
        assert spread[VARIANCE, week] == pytest.approx(variance, abs=1e-8)
        assert spread[THIRD, week] == pytest.approx(third, abs=1e-6)


@settings(deadline=None)
@given(effort=EFFORTS, pushes=PUSHES, lines=LINES, start=st.integers(0, 4))
def test_running_totals_are_those_of_the_enumerated_outcomes(effort, pushes, lines, start):
    spread = Kernel(np.array(effort), pushes, 0.0).spread_cumulative(weights_by_week(lines), LEAD, COUNT, start)
    for week in range(COUNT):
        mean = variance = 0.0
        for quantity, p, close in lines:
            totals = [(1 - p, 0.0)]
            for late, share in enumerate(pushes):
                asked = sum(
                    quantity * effort[at - close - late]
                    for at in range(start, week + 1)
                    if 0 <= at - close - late < len(effort)
                )
                totals.append((p * share, asked))
            own = sum(q * amount for q, amount in totals)
            mean += own
            variance += sum(q * (amount - own) ** 2 for q, amount in totals)
        assert spread[MEAN, week] == pytest.approx(mean, abs=1e-9)
        assert spread[VARIANCE, week] == pytest.approx(variance, abs=1e-8)


@given(effort=EFFORTS, pushes=PUSHES, lines=LINES, factor=st.sampled_from([0.5, 3.0]))
def test_scaling_quantities_scales_demand(effort, pushes, lines, factor):
    kernel = Kernel(np.array(effort), pushes, 0.4)
    once = kernel.spread(weights_by_week(lines), LEAD, COUNT)
    more = kernel.spread(weights_by_week([(q * factor, p, c) for q, p, c in lines]), LEAD, COUNT)
    for row, power in ((MEAN, 1), (EXPOSURE, 1), (VARIANCE, 2), (THIRD, 3)):
        assert more[row] == pytest.approx(once[row] * factor**power)


def test_uncertain_effort_widens_a_certain_deal_as_a_lognormal_does():
    cv = 0.4
    spread = Kernel(np.array([10.0]), (1.0,), cv).spread(weights_by_week([(2.0, 1.0, 3)]), LEAD, COUNT)
    assert spread[:, 3] == pytest.approx([20.0, 20.0, (20 * cv) ** 2, 20**3 * (3 * cv**4 + cv**6)])
