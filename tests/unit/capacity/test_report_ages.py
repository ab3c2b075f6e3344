"""How old the last report about a pool is, when reports are replaced, withdrawn and deleted from the log."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from services.capacity.domain.effects import Reports
from shared.schemas.deal import Stamp
from shared.schemas.report import Report, record_key

NOW = datetime(2026, 4, 1, tzinfo=UTC)
MILLIS = int(NOW.timestamp() * 1000)


def said(object: str, hours_ago: float, pool: str = "eng", *, withdrawn: bool = False) -> Report:
    stamp = Stamp(time=MILLIS - int(hours_ago * 3_600_000), sequence=0, mapping=1)
    return Report(
        kind="capacity", pool=pool, week="2026-W15", amount=None if withdrawn else 60.0, source="ops", object=object,
        reporter="ana", stamp=stamp, withdrawn=withdrawn,
    )  # fmt: skip


def hours(reports: Reports, pool: str = "eng") -> float | None:
    age = reports.age(pool, NOW)
    return None if age is None else age / 3600


def test_a_report_that_is_taken_back_leaves_the_age_of_the_one_before():
    reports = Reports()
    assert hours(reports) is None
    for report in (said("a", 48.0), said("b", 2.0), said("other", 1.0, pool="ops")):
        reports.put(record_key(report), report)
    assert hours(reports) == 2.0
    assert reports.put(record_key(said("b", 2.0)), said("b", 1.0, withdrawn=True)) == "eng"
    assert hours(reports) == 48.0
    assert reports.drop(record_key(said("a", 48.0))) == "eng"
    assert hours(reports) is None
    assert hours(reports, "ops") == 1.0


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.sampled_from(["eng", "ops"]), st.sampled_from(["said", "withdrawn", "dropped"]),
        st.booleans(),
    ),
    max_size=30,
)  # fmt: skip


@given(STEPS)
def test_the_age_is_that_of_the_newest_that_counts_whatever_came_before(steps):
    reports, standing = Reports(), {}
    for at, (object, pool, what, look) in enumerate(steps):
        report = said(object, 1000.0 - at, pool, withdrawn=what == "withdrawn")
        key = record_key(report)
        if what == "dropped":
            reports.drop(key)
            standing.pop(key, None)
        else:
            reports.put(key, report)
            standing[key] = report
        if look or at == len(steps) - 1:
            for name in ("eng", "ops"):
                times = [r.stamp.time for r in standing.values() if r.pool == name and not r.withdrawn]
                expected = (MILLIS - max(times)) / 3_600_000 if times else None
                assert hours(reports, name) == expected
