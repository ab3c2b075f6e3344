"""The parts of a row of the capacity table, for all weeks at once, against one week after the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.capacity.domain.attribution import TOP, Askers
from services.capacity.domain.backlog import backlog_of, delay_of
from services.capacity.domain.kernels import Kernel
from services.capacity.domain.lines import Lines, Shapes
from services.capacity.domain.rounding import figure, figures

AMOUNTS = st.sampled_from([0.0, 1.0, 2.5, 40.0, 40.000001, 1e6]) | st.floats(0.0, 100.0)
WEEKS = st.lists(st.tuples(AMOUNTS, AMOUNTS), min_size=1, max_size=12)


@given(st.lists(st.floats(-1e15, 1e15) | st.floats(-1e-8, 1e-8) | st.floats(1e15, 1e30), max_size=20))
def test_many_figures_are_rounded_as_each_by_itself(values: list[float]) -> None:
    found = figures(np.array(values)).tolist()
    assert found == pytest.approx([figure(value) for value in values], rel=1e-9, abs=1e-9)
    assert figures(np.array(found)).tolist() == found


@given(WEEKS, st.dictionaries(st.integers(0, 11), AMOUNTS, max_size=3))
def test_what_is_undone_waits_for_the_next_week(weeks: list[tuple[float, float]], reported: dict[int, float]) -> None:
    demand, capacity = np.array(weeks).T
    waiting, undone = 0.0, []
    for week, (asked, can) in enumerate(weeks):
        waiting = max(reported.get(week, waiting) + asked - can, 0.0)
        undone.append(waiting)
    assert backlog_of(demand, capacity, reported).tolist() == pytest.approx(undone, abs=1e-6)


@given(WEEKS)
def test_a_backlog_is_late_by_the_weeks_whose_capacity_it_takes(weeks: list[tuple[float, float]]) -> None:
    backlog, capacity = np.array(weeks).T
    found = delay_of(backlog, capacity)
    for week, left in enumerate(backlog.tolist()):
        delay, after = 0.0, week + 1
        while left > 1e-9 and after < len(weeks) and capacity[after] + 1e-9 < left:
            left, delay, after = left - capacity[after], delay + 1.0, after + 1
        if left > 1e-9:
            last = capacity[min(after, len(weeks) - 1)]
            delay += left / last if last > 1e-9 else 0.0
        # A sliver of capacity that just does not do is a whole week later.
        assert found[week] == pytest.approx(delay, abs=1e-5)


LINE = st.tuples(st.integers(0, 6), st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.sampled_from([0.2, 0.5, 1.0]),
                 st.integers(0, 1), st.integers(-3, 9))  # fmt: skip
KERNELS = [Kernel(np.array([4.0, 2.0]), (1.0,), 0.0), Kernel(np.array([0.0, 3.0, 3.0]), (0.5, 0.5), 0.0)]
COUNT = 8


def lines_of(rows: list[tuple[int, float, float, int, int]], since: int | None = None) -> Lines:
    rows = sorted(rows, key=lambda row: row[0])
    names = sorted({f"crm/{row[0]}" for row in rows})
    shapes = sorted({row[3:] for row in rows})
    group = np.array([row[3] for row in rows], np.intp)
    return Lines(
        deals=names,
        deal=np.array([names.index(f"crm/{row[0]}") for row in rows], np.intp),
        products=["basic", "pushed"],
        units=np.array([row[1] for row in rows]),
        probability=np.array([row[2] for row in rows]),
        open=np.ones(len(rows), bool),
        group=group,
        place=np.array([row[4] for row in rows], np.intp),
        shape=np.array([shapes.index(row[3:]) for row in rows], np.intp),
        shapes=Shapes([KERNELS[g] for g, _ in shapes], np.array([at for _, at in shapes], np.intp), COUNT, since),
        cv=np.zeros(len(rows)),
    )


def asked(row: tuple[int, float, float, int, int], week: int) -> float:
    _, units, probability, group, place = row
    mean = KERNELS[group].mean
    return units * probability * (float(mean[week - place]) if 0 <= week - place < len(mean) else 0.0)


@settings(deadline=None)
@given(st.lists(LINE, max_size=20), st.integers(0, 4))
def test_the_deals_that_ask_most_are_named_week_by_week(rows: list[tuple[int, float, float, int, int]], begin: int):
    total = np.array([10.0 + sum(asked(row, week) for row in rows) for week in range(COUNT)])
    total[COUNT - 1] = 0.0
    named, others = Askers(lines_of(rows)).each_week(range(begin, COUNT), total)
    assert len(named) == len(others) == COUNT - begin
    for week, tops, rest in zip(range(begin, COUNT), named, others, strict=True):
        effort: dict[str, float] = {}
        for row in rows:
            effort[f"crm/{row[0]}"] = effort.get(f"crm/{row[0]}", 0.0) + asked(row, week)
        all_of = sorted((-figure(amount), deal) for deal, amount in effort.items() if amount > 0)
        first = all_of[:TOP] if total[week] > 0 else []
        assert [(-top.effort, top.deal) for top in tops] == first
        assert [top.share for top in tops] == pytest.approx([-amount / total[week] for amount, _ in first])
        assert rest == pytest.approx(1.0 - sum(top.share for top in tops) if total[week] > 0 else 0.0)
        for top in tops:
            own = {row: sum(asked(row, at) for at in range(COUNT)) for row in rows if f"crm/{row[0]}" == top.deal}
            largest = [row for row, effort in own.items() if effort == pytest.approx(max(own.values()))]
            best = {(row[2], ("basic", "pushed")[row[3]]) for row in largest}
            assert (top.probability, top.product) in best


@settings(deadline=None)
@given(st.lists(LINE, min_size=1, max_size=6), st.none() | st.integers(0, 4))
def test_the_mean_of_a_shape_is_that_of_what_is_asked_however_late(rows, since: int | None) -> None:
    shapes = lines_of(rows, since).shapes
    assert shapes.mean == pytest.approx(shapes.power(1), abs=1e-9)
    for number, (kernel, place) in enumerate(zip(shapes.kernels, shapes.places.tolist(), strict=True)):
        for late in range(shapes.pushes.shape[1]):
            in_time = [
                float(kernel.effort[week - place - late]) if 0 <= week - place - late < len(kernel.effort) else 0.0
                for week in range(COUNT)
            ]
            told = in_time
            if since is not None:
                told = [sum(in_time[since : week + 1]) if week >= since else 0.0 for week in range(COUNT)]
            if late < len(kernel.pushes):
                assert shapes.asked[number, late].tolist() == pytest.approx(told)
